"""What runs after which change, on a real `semsim ui --watch`: real sensors, runs and events. Slow.

Each test starts from a home of its own at rest (everything current), whatever ran before it, and counts what was
materialised until it rests again.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import semsim_pipeline
from semsim_pipeline.defs.automation import automation_sensor
from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.defs.instance import instance_of
from semsim_pipeline.defs.sensors import change_sensors
from semsim_pipeline.progress import Silent
from semsim_pipeline.stages.outcome import STAGES
from semsim_pipeline.stages.status import status_of
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.defs.live import Live, live_ui
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

N = 12
SECONDS = 900.0
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
SENSORS = len([*change_sensors(), automation_sensor()])
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


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


class Count:
    """What was materialised since it was made: (stage, partition) to the metadata of each event, oldest first.

    Read from Dagster's storage and not over GraphQL, so that one can be made before the daemon starts to run things.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._before = {each: len(events) for each, events in self._all().items()}

    def new(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        return {each: new for each, events in self._all().items() if (new := events[self._before.get(each, 0) :])}

    def computed(self) -> set[tuple[str, str]]:
        return {each for each, events in self.new().items() if any(event["computed"] for event in events)}

    def _all(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        with instance_of(self._home) as instance:
            for stage in PARTITIONS:
                records = instance.fetch_materializations(dg.AssetKey(stage), limit=1000, ascending=True).records
                for record in records:
                    assert record.asset_materialization is not None
                    facts = {name: each.value for name, each in record.asset_materialization.metadata.items()}
                    found.setdefault((stage, str(record.partition_key)), []).append(facts)
        return found


def rest(ui: Live, home: Path, ready: Callable[[], bool] = lambda: True) -> None:
    """Until `ready()`, no run is under way, and two evaluations of every sensor after that asked for nothing."""
    since = [datetime.max]

    def rests() -> bool:
        if not ready() or any(run["status"] not in ENDED for run in ui.runs()):
            since[0] = datetime.max
            return False
        since[0] = min(since[0], datetime.now(UTC).replace(tzinfo=None))
        return all(len([tick for tick in ticks if tick > since[0]]) >= 2 for ticks in ticks_of(home).values())

    ui.wait_until(rests, "everything to rest", SECONDS)


def ticks_of(home: Path) -> dict[str, list[datetime]]:
    """Sensor to when its evaluations began (UTC), of those that ended; none may have failed.

    From the database: over GraphQL, Dagster shows those of the first `dagster dev` of a home alone.
    """
    found: dict[str, list[datetime]] = {}
    with closing(sqlite3.connect(f"file:{home}/dagster/schedules/schedules.db?mode=ro", uri=True)) as database:
        for sensor, status, began in database.execute("SELECT selector_id, status, timestamp FROM job_ticks"):
            assert status != "FAILURE", "an evaluation failed"
            if status != "STARTED":
                found.setdefault(sensor, []).append(datetime.fromisoformat(began))
    return found if len(found) == SENSORS else {"not all of them yet": []}


def all_fresh(home: Path) -> bool:
    return {each.state for each in status_of(Workspace.open(home)).values()} == {"fresh"}


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
