from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock, Timeout

from semsim_pipeline.catalog import load_catalog, standing
from semsim_pipeline.defs.assets import assets_of
from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.defs.instance import SETTINGS, fail_dead_runs, instance_of, prepare_dagster_home
from semsim_pipeline.defs.partitions import NOTHING, partitions_of
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.errors import StoreError, UnknownNameError
from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.progress import Silent
from semsim_pipeline.stages import bulk, manifest
from semsim_pipeline.stages.outcome import STAGES, Outcome
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.pictures import write_pictures

ROOT = Path(__file__).resolve().parents[2]
PAIR = "left~right@classical"
KEYS = {
    "dataset_manifest": "left",
    "embeddings": "left@classical",
    "pair_metrics": PAIR,
    "pair_plots": PAIR,
    "similarity_matrix": "whole",
    "report": "whole",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    for number, dataset in enumerate(("left", "right")):
        write_pictures(folder / dataset, 20, seed=number)
    (folder / "catalog.yaml").write_text(
        "datasets: {left: left, right: right, gone: gone}\nencoders: {classical: classical}\n"
        "comparisons: {whole: {pairs: [[left, right]]}, lost: {pairs: [[left, gone]]}}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("SEMSIM_HOME", str(folder))
    monkeypatch.setattr(draw, "PLOTS", [PLOTS.get("scale")])
    return folder


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def assets() -> list[dg.AssetsDefinition]:
    return assets_of(partitions_of(load_catalog()))


def materialise(asset: str, partition: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        assets(),
        selection=[asset],
        partition_key=partition,
        instance=instance,
        resources={"workspace": SemsimWorkspace(workers=1)},
        raise_on_error=False,
    )


def test_loading_needs_no_torch_and_finds_every_partition(home: Path) -> None:
    code = (
        "import sys; from semsim_pipeline.definitions import defs; heavy = {'torch', 'sklearn', 'matplotlib', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)));"
        "print(sorted(len(a.partitions_def.get_partition_keys()) for a in defs.assets))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["[]", "[2, 2, 2, 2, 3, 3]"]


def test_an_empty_catalogue_loads(home: Path) -> None:
    (home / "catalog.yaml").write_text("datasets: {}\n", encoding="utf-8")
    keys = {key for asset in assets() for key in asset.partitions_def.get_partition_keys()}  # type: ignore[union-attr]
    assert keys == {NOTHING}


def test_each_asset_by_itself_and_again(instance: dg.DagsterInstance) -> None:
    for key in ("right", "right@classical"):
        assert materialise("embeddings" if "@" in key else "dataset_manifest", key, instance).success
    versions = {}
    for asset in STAGES:
        ran = materialise(asset, KEYS[asset], instance)
        assert ran.success
        [event] = ran.asset_materializations_for_node(asset)
        assert event.metadata["dagster/row_count"].value
        assert event.metadata["computed"].value is True
        versions[asset] = event.tags["dagster/data_version"]  # type: ignore[index]
    for asset in STAGES:
        [event] = materialise(asset, KEYS[asset], instance).asset_materializations_for_node(asset)
        assert event.metadata["computed"].value is False
        assert event.tags["dagster/data_version"] == versions[asset]  # type: ignore[index]


def test_a_failure_is_one_line(instance: dg.DagsterInstance) -> None:
    ran = materialise("dataset_manifest", "gone", instance)
    [failure] = [event for event in ran.all_events if event.is_step_failure]
    data = failure.step_failure_data
    assert data.user_failure_data is not None
    assert "gone" in str(data.user_failure_data.description)
    assert "\n" not in str(data.user_failure_data.description)


def test_no_memory_is_one_line_too(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    def dear(*_: object) -> Outcome:
        raise MemoryError

    monkeypatch.setattr(manifest, "refresh_manifest", dear)
    ran = materialise("dataset_manifest", "left", instance)
    [failure] = [event for event in ran.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert data.description == "MemoryError"


def test_every_asset_says_what_it_is() -> None:
    for asset in assets():
        [spec] = asset.specs
        assert spec.description
        assert len(spec.description) > 60
        assert spec.owners == ["team:semsim"]
        assert spec.kinds
        assert spec.group_name in {"datasets", "embeddings", "similarity", "reports"}
        assert spec.code_version


def test_the_bulk_run_records_each_partition_once(home: Path) -> None:
    first = rescore_in_process(home, Silent())
    assert first.current == first.computed == 8
    assert [each.line.split(":")[0] for each in first.failures[:2]] == [
        "dataset_manifest of gone",
        "embeddings of gone@classical",
    ]
    assert any("not done, because dataset_manifest of gone failed" in each.line for each in first.failures)
    again = rescore_in_process(home, Silent())
    assert (again.current, again.computed) == (8, 0)
    with instance_of(home) as instance:
        for asset, key in KEYS.items():
            records = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key]), limit=10
            ).records
            assert len(records) == 1  # the second run had nothing to say
            assert records[0].run_id == first.run_id
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE] * 2


def test_one_comparison_alone_and_an_unknown_one(home: Path) -> None:
    found = rescore_in_process(home, Silent(), "whole")
    assert (found.current, found.failures) == (8, ())
    with pytest.raises(UnknownNameError, match="Did you mean 'whole'"):
        rescore_in_process(home, Silent(), "whol")


def test_what_breaks_the_run_off_is_raised(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_workspace: Workspace, _name: str) -> Outcome:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(bulk, "build_matrix", broken)
    with pytest.raises(ValueError, match="a fault of ours"):
        rescore_in_process(home, Silent(), "whole")


def test_an_interrupt_ends_the_run_and_nobody_starts_it_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_workspace: Workspace, _name: str) -> Outcome:
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the signal was ignored")

    monkeypatch.setattr(bulk, "build_matrix", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rescore_in_process(home, Silent(), "whole")
    with instance_of(home) as instance:
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert run.tags["dagster/will_retry"] == "false"


def test_assets_and_stages_write_the_same_score(home: Path, instance: dg.DagsterInstance) -> None:
    from semsim_pipeline.stages.score_store import current_score

    rescore_in_process(home, Silent())
    stored = current_score(home, PAIR)
    assert stored is not None
    [event] = materialise("pair_metrics", PAIR, instance).asset_materializations_for_node("pair_metrics")
    assert event.metadata["p_value"].value == stored.comparison.similarity.p_value  # type: ignore[union-attr]
    assert event.tags["dagster/data_version"] == stored.version  # type: ignore[index]
    for name, value in stored.comparison.metrics.items():
        if value.value is not None:
            assert event.metadata[name].value == value.value


def test_the_users_settings_are_kept_and_missing_ones_written(home: Path) -> None:
    folder = prepare_dagster_home(home)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    (folder / "workspace.yaml").unlink()
    prepare_dagster_home(home)
    assert (folder / "dagster.yaml").read_text(encoding="utf-8") == "telemetry: {enabled: false}\n"
    assert (folder / "workspace.yaml").is_file()


@pytest.mark.parametrize("text", ["storage: [", "telemetri: {enabled: false}"])
def test_settings_that_dagster_refuses_are_one_line(home: Path, text: str) -> None:
    (prepare_dagster_home(home) / "dagster.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"dagster\.yaml: .* Correct it, or remove it") as said, instance_of(home):
        pass
    assert len(str(said.value)) < 600


@pytest.mark.parametrize("name", ["50%20off", "what?"])
def test_a_home_whose_databases_would_be_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="Set SEMSIM_HOME to a folder without"):
        prepare_dagster_home(tmp_path / name)


def test_one_process_at_a_time_makes_the_tables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = dg.DagsterInstance.get
    held = []

    def get() -> dg.DagsterInstance:
        with pytest.raises(Timeout), FileLock(home / "dagster" / ".start.lock", timeout=0):
            pass
        held.append(True)
        return original()

    monkeypatch.setattr(dg.DagsterInstance, "get", get)
    with instance_of(home):
        assert held


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="needs a checkout")
def test_the_checkouts_settings_are_the_packaged_ones(name: str, home: Path) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == (prepare_dagster_home(home) / name).read_text(encoding="utf-8")


def test_ten_thousand_pairs_make_partitions(home: Path) -> None:
    classes = ", ".join(f"c{i}" for i in range(142))
    (home / "catalog.yaml").write_text(
        f"datasets: {{big: {{spec: big, values: {{label: [{classes}]}}}}}}\nencoders: {{classical: classical}}\n"
        "comparisons: {all: {across: big, by: label}}\n",
        encoding="utf-8",
    )
    partitions = partitions_of(load_catalog())
    assert len(partitions.pairs.get_partition_keys()) == 142 * 141 // 2
    assert Workspace.open(home).catalog.embedding_keys() == ["big@classical"]


def test_a_run_whose_terminal_was_killed_is_marked_and_blocks_nobody(home: Path) -> None:
    code = (
        "import os; from semsim_pipeline.stages import bulk; bulk.refresh_manifest = lambda *_: os._exit(9);"
        "from semsim_pipeline.defs.inprocess import rescore_in_process; from pathlib import Path;"
        "from semsim_pipeline.progress import Silent;"
        f"rescore_in_process(Path({str(home)!r}), Silent())"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with instance_of(home) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]
    assert rescore_in_process(home, Silent(), "whole").failures == ()
    with instance_of(home) as instance:
        statuses = [run.status for run in instance.get_runs()]
        assert statuses == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
        assert fail_dead_runs(instance) == 0


def test_a_removed_key_is_a_partition_that_fails_with_one_sentence_and_touches_nothing(
    home: Path, instance: dg.DagsterInstance
) -> None:
    standing(home)
    assert materialise("dataset_manifest", "right", instance).success
    text = (home / "catalog.yaml").read_text(encoding="utf-8")
    shorter = text.replace(", right: right", "").replace("whole: {pairs: [[left, right]]}, ", "")
    (home / "catalog.yaml").write_text(shorter, encoding="utf-8")
    found = standing(home)
    graph = assets_of(partitions_of(found.catalog, found.removed))
    keys = {asset.key.to_user_string(): asset.partitions_def.get_partition_keys() for asset in graph}  # type: ignore[union-attr]
    assert keys["dataset_manifest"] == ["gone", "left", "right"]
    assert keys["pair_metrics"] == ["left~gone@classical", PAIR]
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    for asset, key in (*KEYS.items(), ("dataset_manifest", "right"), ("embeddings", "right@classical")):
        if key in {"left", "left@classical"}:
            continue
        ran = dg.materialize(
            graph, selection=[asset], partition_key=key, instance=instance, raise_on_error=False,
            resources={"workspace": SemsimWorkspace(workers=1)},
        )  # fmt: skip
        assert not ran.success
        [failure] = ran.filter_events(lambda event: event.is_step_failure)
        data = failure.step_failure_data.user_failure_data
        assert data is not None
        assert str(data.description).startswith(f"{key} was removed from the catalogue (")
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == before
    (home / "catalog.yaml").write_text(text, encoding="utf-8")
    standing(home)
    assert materialise("dataset_manifest", "right", instance).success


def test_a_run_goes_by_the_last_right_catalogue(home: Path, instance: dg.DagsterInstance) -> None:
    graph = assets_of(partitions_of(standing(home).catalog))
    (home / "catalog.yaml").write_text("datasets: [", encoding="utf-8")
    ran = dg.materialize(
        graph, selection=["dataset_manifest"], partition_key="left", instance=instance, raise_on_error=False,
        resources={"workspace": SemsimWorkspace(workers=1)},
    )  # fmt: skip
    assert ran.success
