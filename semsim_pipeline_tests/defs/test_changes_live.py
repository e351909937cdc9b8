"""What runs after which change, on a real `semsim ui --watch`: real sensors, runs and events. Slow.

Each test starts from a home of its own at rest (everything current), whatever ran before it, and counts what was
materialised until it rests again.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import semsim_pipeline
from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.progress import Silent
from semsim_pipeline.stages.outcome import STAGES
from semsim_pipeline_tests.defs.at_rest import ENDED, SECONDS, Count, all_fresh, rest
from semsim_pipeline_tests.defs.live import live_ui
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

N = 12
CATALOG = """
datasets:
  left: {spec: left, values: {label: [blobs, stripes]}}
  right: {spec: right, values: {label: [blobs, stripes]}}
encoders: {classical: classical}
comparisons:
  inside: {across: left, by: label}
  sides: {reference: left, candidate: right, match: label}
"""
BLOBS, STRIPES = "left.blobs~right.blobs@classical", "left.stripes~right.stripes@classical"
INSIDE = "left.blobs~left.stripes@classical"
PARTITIONS = {
    "dataset_manifest": ["left", "right"],
    "embeddings": ["left@classical", "right@classical"],
    "pair_metrics": [INSIDE, BLOBS, STRIPES],
    "pair_plots": [INSIDE, BLOBS, STRIPES],
    "similarity_matrix": ["inside", "sides"],
    "report": ["inside", "sides"],
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "changes" / "home"
    for number, dataset in enumerate(("left", "right")):
        for kind in ("stripes", "blobs"):
            write_pictures(folder / dataset / kind, N, seed=10 * number, kind=kind)
    (folder / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    time.sleep(2.1)  # younger files are looked at once more, which is right and not the matter here
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(folder))
        assert rescore_in_process(folder, Silent()).computed == 14
        yield folder


def test_what_runs_after_a_change_is_what_rests_on_it(home: Path) -> None:
    with live_ui(home, "--watch", "--every", "1") as ui:
        # Started again, nothing changed, after a bulk run: no run at all beside that one.
        rest(ui, home)
        assert len(ui.runs()) == 1

        # Everything asked for in the UI, unchanged: found, not computed; nobody asks for more.
        count = Count(home)
        assert ui.backfill(PARTITIONS, SECONDS) == "COMPLETED_SUCCESS"
        rest(ui, home)
        assert set(count.new()) == {(stage, key) for stage, keys in PARTITIONS.items() for key in keys}
        assert all(len(events) == 1 for events in count.new().values())
        assert count.computed() == set()

        # Every file of one dataset touched: its manifest is looked at, and nothing below it runs.
        count, runs = Count(home), len(ui.runs())
        for path in (home / "left").rglob("*.png"):
            os.utime(path)
        rest(ui, home, lambda: len(ui.runs()) > runs)
        assert set(count.new()) == {("dataset_manifest", "left")}
        assert count.computed() == set()

        # One image of one class more, and while its pair is being scored another one: neither is lost.
        count = Count(home)
        write_pictures(home / "right" / "blobs", 1, seed=98, kind="blobs", name="one-more.png")
        scoring = lambda: any("pair_metrics" in run["assets"] and run["status"] not in ENDED for run in ui.runs())  # noqa: E731
        ui.wait_until(scoring, "the pair's run", SECONDS)
        write_pictures(home / "right" / "blobs", 1, seed=99, kind="blobs", name="and-another.png")
        rest(ui, home, lambda: all_fresh(home))
        expected = {("dataset_manifest", "right"), ("embeddings", "right@classical")}
        expected |= {
            ("pair_metrics", BLOBS),
            ("pair_plots", BLOBS),
            ("similarity_matrix", "sides"),
            ("report", "sides"),
        }
        assert set(count.new()) == count.computed() == expected
        assert [event["new_images"] for event in count.new()["embeddings", "right@classical"]] == [1, 1]
        assert count.new()["pair_metrics", BLOBS][-1]["n_candidate"] == N + 2


def test_other_code_runs_its_stage_and_what_changes_with_it(home: Path, tmp_path: Path) -> None:
    pairs = {(stage, pair) for stage in ("pair_metrics", "pair_plots") for pair in PARTITIONS["pair_metrics"]}
    pages = {(stage, name) for stage in ("similarity_matrix", "report") for name in ("inside", "sides")}
    drawn = {each for each in pairs if each[0] == "pair_plots"}

    count = Count(home)
    with live_ui(home, "--watch", "--every", "1", code=changed_code(tmp_path / "a", "plots/base.py", "PLOTS")) as ui:
        rest(ui, home, lambda: drawn | pages <= set(count.new()))
        assert set(count.new()) == count.computed() == drawn | pages

    both = changed_code(tmp_path / "a", "metrics/score_card.py", "SCORE")
    count = Count(home)
    with live_ui(home, "--watch", "--every", "1", code=both) as ui:
        rest(ui, home, lambda: pairs | pages <= set(count.new()))
        assert set(count.new()) == count.computed() == pairs | pages


def changed_code(folder: Path, module: str, what: str) -> Path:
    """A copy of the package, or the copy that is there, with one version raised, as whoever changes the code would."""
    package = folder / "semsim_pipeline"
    if not package.exists():
        shutil.copytree(Path(semsim_pipeline.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    path = package / module
    text, changes = re.subn(rf"(?m)^{what}_VERSION = \d+$", f"{what}_VERSION = 7777", path.read_text(encoding="utf-8"))
    assert changes == 1
    path.write_text(text, encoding="utf-8")
    return folder


def test_stages_are_all_counted() -> None:
    assert tuple(PARTITIONS) == STAGES
