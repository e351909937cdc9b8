"""The gates as Dagster sees them: in a run of the UI's kind, in the bulk job, and in the shell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from semsim_pipeline.catalog import load_catalog
from semsim_pipeline.cli import main
from semsim_pipeline.defs.assets import assets_of
from semsim_pipeline.defs.checks import checks_of
from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.defs.instance import instance_of
from semsim_pipeline.defs.partitions import partitions_of
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.progress import Silent
from semsim_pipeline.stages import alerts
from semsim_pipeline.stages.checks import CHECKS, facts_of
from semsim_pipeline.stages.outcome import Stage
from semsim_pipeline_tests.pictures import write_pictures

PAIR = "left~right@classical"
CATALOG = """
datasets: {left: left, right: right}
encoders: {classical: classical}
comparisons: {whole: {pairs: [[left, right]]}}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    for number, dataset in enumerate(("left", "right")):
        write_pictures(folder / dataset, 20, seed=number)
    (folder / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    monkeypatch.setenv("SEMSIM_HOME", str(folder))
    monkeypatch.delenv(alerts.URL, raising=False)
    monkeypatch.setattr(draw, "PLOTS", [PLOTS.get("scale")])
    return folder


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def definitions() -> dg.Definitions:
    partitions = partitions_of(load_catalog())
    return dg.Definitions(
        assets=assets_of(partitions),
        asset_checks=checks_of(partitions),
        resources={"workspace": SemsimWorkspace(workers=1)},
        executor=dg.in_process_executor,
    )


def launch(
    instance: dg.DagsterInstance, partition: str, assets: set[str], checks: set[dg.AssetCheckKey] | None = None
) -> dg.ExecuteInProcessResult:
    """As the UI does. checks: None for those of the assets."""
    job = definitions().resolve_implicit_global_asset_job_def()
    part = job.get_subset(asset_selection={dg.AssetKey(name) for name in assets}, asset_check_selection=checks)
    # By its tag: `partition_key` is refused where no asset is selected.
    return part.execute_in_process(instance=instance, tags={"dagster/partition": partition}, raise_on_error=False)


def results(ran: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in ran.get_asset_check_evaluations()}


def statuses(instance: dg.DagsterInstance, stage: Stage, partition: str) -> dict[str, Status]:
    """What Dagster takes for the state of each check now; a result for an older materialisation is none."""
    keys = [dg.AssetCheckKey(dg.AssetKey(stage), name) for name in facts_of(stage)]
    return {
        info.check_key.name: info.latest_execution_status
        for info in instance.event_log_storage.get_asset_check_partition_info(keys)
        if info.partition_key == partition and info.is_current
    }


def evaluations(instance: dg.DagsterInstance) -> int:
    counter = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    return len(
        [
            entry
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id, of_type=counter)
        ]
    )  # fmt: skip


def test_every_check_is_partitioned_as_its_asset() -> None:
    repository = definitions().get_repository_def()
    graph = repository.asset_graph
    assert {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys} == {
        (facts.stage, facts.name) for facts in CHECKS
    }
    for key in graph.asset_check_keys:
        assert graph.get(key).partitions_def == graph.get(key.asset_key).partitions_def
        assert graph.get(key).description


def test_they_ride_along_one_by_one_or_not_at_all(instance: dg.DagsterInstance) -> None:
    ran = launch(instance, "left", {"dataset_manifest"})
    assert ran.success
    assert {name: each.passed for name, each in results(ran).items()} == dict.fromkeys(
        facts_of("dataset_manifest"), True
    )
    assert all(each.partition == "left" for each in results(ran).values())
    one = dg.AssetCheckKey(dg.AssetKey("dataset_manifest"), "images_kept")
    assert set(results(launch(instance, "left", set(), {one}))) == {"images_kept"}
    ran = launch(instance, "left", {"dataset_manifest"}, set())
    assert ran.success
    assert results(ran) == {}


def test_a_blocking_check_ends_its_run_and_says_why(home: Path, instance: dg.DagsterInstance) -> None:
    for number in range(6):
        (home / "left" / f"bad{number}.png").write_bytes(b"no image")
    ran = launch(instance, "left", {"dataset_manifest"})
    assert not ran.success
    assert ran.asset_materializations_for_node("dataset_manifest")  # what was found is known all the same
    found = results(ran)["images_readable"]
    assert (found.passed, found.blocking, found.severity) == (False, True, dg.AssetCheckSeverity.ERROR)
    assert "6 of 26 images (23.1%) cannot be opened" in str(found.description)
    assert statuses(instance, "dataset_manifest", "left")["images_readable"] == Status.FAILED


def test_what_stands_on_it_in_the_same_run_is_not_done(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pair_metrics and pair_plots share their partitions, so a run may hold both."""
    from dataclasses import replace

    from semsim_pipeline.stages.checks import records

    strict = tuple(
        replace(facts, blocking=True, severity="ERROR") if facts.name == "enough_images" else facts for facts in CHECKS
    )
    monkeypatch.setattr(records, "CHECKS", strict)
    monkeypatch.setattr("semsim_pipeline.defs.checks.CHECKS", strict)
    for dataset, n in (("left", 3), ("right", 3)):
        for path in sorted((home / dataset).iterdir())[n:]:
            path.unlink()
        assert launch(instance, dataset, {"dataset_manifest"}).success
        assert launch(instance, f"{dataset}@classical", {"embeddings"}).success
    ran = launch(instance, PAIR, {"pair_metrics", "pair_plots"})
    assert not ran.success
    assert ran.asset_materializations_for_node("pair_metrics")
    assert not ran.asset_materializations_for_node("pair_plots")


def test_a_run_of_its_own_does_not_get_past_a_blocking_check(home: Path, instance: dg.DagsterInstance) -> None:
    """As in a backfill, where Dagster asks for what stands on a failed check in the next run."""
    assert launch(instance, "left@classical", {"embeddings"}).success  # scans by itself
    for number in range(6):
        (home / "left" / f"bad{number}.png").write_bytes(b"no image")
    assert not launch(instance, "left", {"dataset_manifest"}).success
    ran = launch(instance, "left@classical", {"embeddings"})
    [failure] = [event.step_failure_data for event in ran.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    said = str(failure.user_failure_data.description)
    assert said.startswith("embeddings of left@classical is not done, because the check images_readable of")
    assert "6 of 26 images" in said
    assert not ran.asset_materializations_for_node("embeddings")


def test_a_check_without_a_result_to_judge_is_one_line(instance: dg.DagsterInstance) -> None:
    one = dg.AssetCheckKey(dg.AssetKey("pair_metrics"), "score_steady")
    ran = launch(instance, PAIR, set(), {one})
    [failure] = [event.step_failure_data for event in ran.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "is not scored yet" in str(failure.user_failure_data.description)


def test_the_bulk_path_tells_the_same_and_nothing_twice(home: Path) -> None:
    rescore_in_process(home, Silent())
    with instance_of(home) as instance:
        first = evaluations(instance)
        assert first == 2 * 4 + 2 * 4 + 6 + 1
        assert statuses(instance, "dataset_manifest", "left") == dict.fromkeys(
            facts_of("dataset_manifest"), Status.SUCCEEDED
        )
        assert len(statuses(instance, "pair_metrics", PAIR)) == 6
        rescore_in_process(home, Silent())
        assert evaluations(instance) == first
        write_pictures(home / "left", 1, seed=99, name="new.png")
        rescore_in_process(home, Silent())
        assert evaluations(instance) == first + 4 + 4 + 6 + 1  # of what is new; `right` is as it was
        for stage, partition in (("embeddings", "left@classical"), ("pair_metrics", PAIR), ("report", "whole")):
            assert len(statuses(instance, stage, partition)) == len(facts_of(stage))  # type: ignore[arg-type]
        ran = launch(instance, PAIR, {"pair_metrics"})  # and a run of the UI's kind agrees
        assert {name: each.passed for name, each in results(ran).items()} == {
            name: status == Status.SUCCEEDED for name, status in statuses(instance, "pair_metrics", PAIR).items()
        }


def test_the_shell_says_what_drifted_and_only_a_flag_makes_it_an_error(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    monkeypatch.setenv(alerts.URL, "http://127.0.0.1:9")
    monkeypatch.setattr(alerts, "_post", lambda _url, body: sent.append(body))
    text = CATALOG.replace("[[left, right]]", "[[left, right]], thresholds: {similarity: 0.5}")
    (home / "catalog.yaml").write_text(text, encoding="utf-8")
    assert shell("rescore", "-q") == 0
    assert "failed for" not in capsys.readouterr().err
    shutil.rmtree(home / "right")
    write_pictures(home / "right", 20, seed=3, kind="blobs")
    assert shell("rescore", "-q", "--fail-on-drift") == 1
    said = capsys.readouterr().err
    assert f"semsim: score_steady failed for {PAIR}: " in said
    assert f"semsim: above_threshold failed for {PAIR}: " in said
    assert [each["reason"] for each in json.loads(sent[0])["alerts"]] == ["score_steady", "above_threshold"]
    monkeypatch.setattr(alerts, "_post", lambda *_: "the webhook answered 500.")
    assert shell("rescore", "-q") == 0  # still so, and not told again
    said = capsys.readouterr().err
    assert f"score_steady failed for {PAIR}" in said
    assert "webhook" not in said
    with instance_of(home) as instance:
        found = statuses(instance, "pair_metrics", PAIR)
        assert {name for name, status in found.items() if status == Status.FAILED} >= {
            "score_steady",
            "above_threshold",
        }


def shell(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_a_failing_dataset_is_on_the_standing_check(home: Path) -> None:
    rescore_in_process(home, Silent())
    shutil.rmtree(home / "right")
    found = rescore_in_process(home, Silent())
    assert any("right" in each.line for each in found.failures)
    with instance_of(home) as instance:
        assert statuses(instance, "report", "whole") == {"all_pairs_current": Status.FAILED}
        ran = launch(instance, "whole", set(), {dg.AssetCheckKey(dg.AssetKey("report"), "all_pairs_current")})
        [check] = results(ran).values()
        assert not check.passed
        assert check.severity == dg.AssetCheckSeverity.ERROR
        assert PAIR in str(check.description)
        assert "table" in check.metadata
