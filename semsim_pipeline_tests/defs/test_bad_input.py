"""What goes wrong outside, as a person meets it: in a run of the UI's kind, in the shell, and in `semsim status`.

`stages/test_bad_input.py` has what the stages themselves say and keep.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from semsim_pipeline.catalog import load_catalog
from semsim_pipeline.cli.app import run
from semsim_pipeline.defs.assets import assets_of
from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.defs.instance import instance_of
from semsim_pipeline.defs.partitions import partitions_of
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.progress import Silent
from semsim_pipeline.stages.score_store import current_score
from semsim_pipeline.stages.state import read_embedding
from semsim_pipeline_tests.pictures import write_pictures

N = 12
GOOD, BAD = "left~right@classical", "left~odd.blobs@classical"
CATALOG = """
datasets: {left: left, right: right, odd: {spec: odd.zip, values: {label: [blobs, stripes]}}}
encoders: {classical: classical}
comparisons:
  whole: {pairs: [[left, right], [left, 'odd[label=blobs]']], encoders: [classical]}
"""
Break = Callable[[Path, pytest.MonkeyPatch], None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three datasets and two pairs, all scored."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SEMSIM_HOME", str(folder))
    monkeypatch.setattr(draw, "PLOTS", [PLOTS.get("scale")])
    for number, name in enumerate(("left", "right", "odd/blobs", "odd/stripes")):
        write_pictures(folder / name, N, seed=number, kind="blobs" if name == "odd/blobs" else "stripes")
    pack(folder)
    (folder / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    assert rescore_in_process(folder, Silent()).failures == ()
    return folder


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with instance_of(home) as found:
        yield found


def pack(home: Path, *classes: str) -> None:
    """`odd.zip` of these classes of `odd`; of all where none is named."""
    with zipfile.ZipFile(home / "odd.zip", "w") as archive:
        for path in sorted((home / "odd").rglob("*.png")):
            if not classes or path.parent.name in classes:
                archive.write(path, f"{path.parent.name}/{path.name}")


def vanish(home: Path, _patch: pytest.MonkeyPatch) -> None:
    (home / "odd.zip").unlink()


def empty(home: Path, _patch: pytest.MonkeyPatch) -> None:
    pack(home, "no class of this name")


def end_half_way(home: Path, _patch: pytest.MonkeyPatch) -> None:
    content = (home / "odd.zip").read_bytes()
    (home / "odd.zip").write_bytes(content[: len(content) // 2])


def lose_a_class(home: Path, _patch: pytest.MonkeyPatch) -> None:
    pack(home, "stripes")


def lose_an_encoder(home: Path, patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        patch.delitem(sys.modules, name)
    patch.setitem(sys.modules, "timm", None)
    text = CATALOG.replace("{classical: classical}", "{classical: classical, network: 'timm:resnet18'}")
    (home / "catalog.yaml").write_text(f"{text}  more: {{pairs: [[left, right]], encoders: [network]}}\n")


CASES: dict[str, tuple[Break, str, str, str, str]] = {
    # what happens; stage and partition that say so; words of the line; the pair that cannot be scored
    "a source that vanished": (vanish, "dataset_manifest", "odd", "odd.zip", BAD),
    "a dataset that was emptied": (empty, "dataset_manifest", "odd", "no image", BAD),
    "a source that ends half-way": (end_half_way, "dataset_manifest", "odd", "odd.zip", BAD),
    "a class that was removed": (lose_a_class, "pair_metrics", BAD, "'blobs'", BAD),
    "an encoder that is not installed": (
        lose_an_encoder, "embeddings", "left@network", "not installed", "left~right@network",
    ),
}  # fmt: skip


def launch(instance: dg.DagsterInstance, stage: str, partition: str) -> tuple[bool, str]:
    """One partition by the UI's button; whether it went well, and what the run's page says else."""
    ran = dg.materialize(
        assets_of(partitions_of(load_catalog())), selection=[stage], partition_key=partition, instance=instance,
        resources={"workspace": SemsimWorkspace(workers=1)}, raise_on_error=False,
    )  # fmt: skip
    failed = [event.step_failure_data.user_failure_data for event in ran.all_events if event.is_step_failure]
    return ran.success, str(failed[0].description) if failed and failed[0] is not None else ""


@pytest.mark.parametrize("case", CASES)
def test_the_ui_the_shell_and_status_say_it_in_one_line_and_the_others_go_on(
    case: str,
    home: Path,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    happens, stage, partition, words, pair = CASES[case]
    before = {key: current_score(home, key) for key in (GOOD, BAD)}
    happens(home, monkeypatch)
    if case == "a class that was removed":  # its dataset is scanned and embedded as it is now
        assert launch(instance, "dataset_manifest", "odd") == (True, "")
        assert launch(instance, "embeddings", "odd@classical") == (True, "")
    if case == "an encoder that is not installed":
        assert launch(instance, "dataset_manifest", "left") == (True, "")

    went_well, said = launch(instance, stage, partition)
    assert not went_well
    assert words in said
    assert "\n" not in said
    assert launch(instance, "pair_metrics", GOOD) == (True, "")

    capsys.readouterr()
    assert run(["rescore", "-q"]) == 1
    shown = capsys.readouterr()
    [line] = [line for line in shown.err.splitlines() if line.startswith(f"semsim: {stage} of {partition}: ")]
    assert words in line
    assert "Traceback" not in shown.err

    run(["status", "--json"])
    states = json.loads(capsys.readouterr().out)["pairs"]
    assert states[GOOD] == {"state": "fresh"}
    assert states[pair]["state"] == "failed"
    assert words in states[pair]["why"]
    assert {key: current_score(home, key) for key in (GOOD, BAD)} == before  # nothing that was computed is lost


def test_a_damaged_part_is_named_and_the_next_embedding_mends_it(
    home: Path, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    state = read_embedding(home, "odd@classical")
    assert state is not None
    before = current_score(home, BAD)
    for path in (home / "embeddings").glob("*/part-*.parquet"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(bytes(content))
    shutil.rmtree(home / "scores" / "results")  # so that numbers must be read
    went_well, said = launch(instance, "pair_metrics", BAD)
    assert not went_well
    assert "part-" in said
    assert "check parts_whole of embeddings left@classical failed" in said
    assert "\n" not in said
    assert run(["verify"]) == 1
    assert "part-" in capsys.readouterr().out
    assert run(["rescore", "-q"]) == 0
    after = current_score(home, BAD)
    assert before is not None
    assert after is not None
    assert after.comparison.to_json() == before.comparison.to_json()


def test_a_clock_that_goes_back_computes_nothing_and_keeps_the_order(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    day = 24 * 3600
    nanoseconds, seconds = time.time_ns, time.time
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() - day * 10**9)
    monkeypatch.setattr(time, "time", lambda: seconds() - day)
    assert launch(instance, "dataset_manifest", "odd") == (True, "")
    assert launch(instance, "pair_metrics", BAD) == (True, "")
    capsys.readouterr()
    assert run(["status", "--check"]) == 0
    assert "2 fresh" in capsys.readouterr().out
    write_pictures(home / "odd" / "blobs", 1, seed=77, kind="blobs", name="new.png")
    pack(home)
    capsys.readouterr()
    assert run(["rescore", "-q"]) == 0
    assert " 6 computed now" in capsys.readouterr().out  # manifest, embeddings, the pair, its pictures, matrix, page
    assert run(["history", BAD, "--json", "-"]) == 0
    past = json.loads(capsys.readouterr().out)
    assert [each["order"] for each in past["history"]] == [1, 2]
