"""What ran since, counted by events, and when a running `semsim ui --watch` has nothing left to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from semsim_pipeline.defs.automation import automation_sensor
from semsim_pipeline.defs.instance import instance_of
from semsim_pipeline.defs.sensors import change_sensors
from semsim_pipeline.stages.outcome import STAGES
from semsim_pipeline.stages.status import status_of
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.defs.live import Live

SECONDS = 900.0
SENSORS = len([*change_sensors(), automation_sensor()])
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


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
            for stage in STAGES:
                records = instance.fetch_materializations(dg.AssetKey(stage), limit=1000, ascending=True).records
                for record in records:
                    assert record.asset_materialization is not None
                    facts = {name: each.value for name, each in record.asset_materialization.metadata.items()}
                    found.setdefault((stage, str(record.partition_key)), []).append(facts)
        return found


def of(stages: Sequence[str], *keys: str) -> set[tuple[str, str]]:
    """Every key in every stage."""
    return {(stage, key) for stage in stages for key in keys}


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
