"""Sensors that notice changes: one for each kind of source, and one for encoders. None of them opens an image.

A look is compared with what the last scan kept in the store, so that whatever else brought a dataset up to date (a
command, a schedule) leaves nothing to ask for. The cursor holds what was asked for already, so that a dataset that
fails is asked for once, and where to go on when the time of a tick was over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import dagster as dg

from semsim_pipeline.datasets.base import SOURCES
from semsim_pipeline.defs.resources import workspace_now
from semsim_pipeline.defs.unfinished import Unfinished
from semsim_pipeline.defs.watching import watching
from semsim_pipeline.errors import SemsimError
from semsim_pipeline.stages.watched import Look, Watcher
from semsim_pipeline.stages.workspace import Workspace, split_embedding_key

BUDGET = 10.0
"""Seconds of one tick; the next one goes on from there. Dagster gives a tick a minute."""
PATIENCE = 20
"""Looks in a row at a dataset that is being written to, before it is scanned all the same."""
WATCHER = Watcher()


@dataclass(slots=True)
class Cursor:
    """asked: name to what a run was asked for last. waited: looks at a dataset that was being written to. start: where
    the next tick begins."""

    asked: dict[str, str] = field(default_factory=dict)
    waited: dict[str, int] = field(default_factory=dict)
    start: str = ""

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """A new one where there is none, or of another version."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()

    def text(self) -> str:
        """To keep."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(slots=True)
class Tick:
    """What one evaluation found. ask: partitions to request. away: what could not be looked at, and why."""

    cursor: Cursor
    looked: int = 0
    ask: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)

    def result(self, asset: str) -> dg.SensorResult:
        """As Dagster takes it."""
        tags = {"semsim/started_by": "change"}
        requests = [
            dg.RunRequest(asset_selection=[dg.AssetKey(asset)], partition_key=key, tags=tags) for key in self.ask
        ]
        said = [f"{self.looked} looked at, nothing new to ask for.", *self.away]
        quiet = None if self.ask else " ".join(said)
        return dg.SensorResult(run_requests=requests, skip_reason=quiet, cursor=self.cursor.text())


def change_sensors() -> list[dg.SensorDefinition]:
    """One for each kind of source that can change, and one for encoders."""
    kinds = [kind.name for kind in SOURCES if not kind.embedded]
    return [*map(_source_sensor, kinds), _encoder_sensor()]


def sensor_name(kind: str) -> str:
    """Of a kind of source, `folder_changes`."""
    return f"{kind.replace('-', '_')}_changes"


def _source_sensor(kind: str) -> dg.SensorDefinition:
    watch = watching()
    remote = SOURCES.get(kind).remote
    told_by = "what its server says of its version" if remote else "the names, sizes and times of its files"

    @dg.sensor(
        name=sensor_name(kind),
        target=dg.AssetSelection.assets("dataset_manifest"),
        default_status=watch.sensor,
        minimum_interval_seconds=watch.seconds,
        description=f"Scans a `{kind}` dataset again after it changed, told by {told_by}; what follows is the sensor "
        "`automation`'s matter.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return look_at_sources(context, kind)

    return look


def look_at_sources(context: dg.SensorEvaluationContext, kind: str) -> dg.SensorResult:
    """One tick over the datasets of a kind. Raises SemsimError for a catalogue that cannot be read."""
    workspace = workspace_now()
    datasets = workspace.catalog.datasets
    tick = Tick(Cursor.read(context.cursor))
    names = [name for name in datasets if _kind_of(workspace, name) == kind]
    unfinished = Unfinished(context.instance)
    for name in _within_budget(names, tick):
        look = WATCHER.look(workspace.home, datasets[name])
        if look.change == "away":
            context.log.warning(f"{name}: {look.why}")
            tick.away.append(f"{name}: {look.why}")
        if _is_new(tick.cursor, name, look) and not unfinished.has("dataset_manifest", name):
            tick.cursor.asked[name] = look.stamp
            tick.ask.append(name)
    _forget(tick.cursor, names)
    return tick.result("dataset_manifest")


def _kind_of(workspace: Workspace, name: str) -> str:
    """Who looks after a dataset; one that cannot be opened and does not say its kind is the folders' matter."""
    dataset = workspace.catalog.datasets[name]
    try:
        return dataset.kind or WATCHER.view(dataset).source.kind
    except (SemsimError, OSError):
        return "folder"


def _is_new(cursor: Cursor, name: str, look: Look) -> bool:
    """Whether this look is worth a scan that was not asked for before."""
    if look.change == "away":
        cursor.asked.pop(name, None)  # what failed because of it is worth another try when it is back
        return False
    if look.change == "none" or cursor.asked.get(name) == look.stamp:
        cursor.waited.pop(name, None)
        return False
    if look.change == "writing" and cursor.waited.get(name, 0) < PATIENCE:
        cursor.waited[name] = cursor.waited.get(name, 0) + 1
        return False
    cursor.waited.pop(name, None)
    return True


def _encoder_sensor() -> dg.SensorDefinition:
    watch = watching()

    @dg.sensor(
        name="encoder_changes",
        target=dg.AssetSelection.assets("embeddings"),
        default_status=watch.sensor,
        minimum_interval_seconds=watch.seconds,
        description="Embeds a dataset again after its encoder's weights or background changed, as far as they are "
        "files on this machine.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return look_at_encoders(context)

    return look


def look_at_encoders(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """One tick over everything that was embedded. Raises SemsimError for a catalogue that cannot be read."""
    from semsim_pipeline.stages.encoders import Encoders
    from semsim_pipeline.stages.state import read_embedding

    workspace = workspace_now()
    tick = Tick(Cursor.read(context.cursor))
    encoders, unfinished = Encoders(workspace), Unfinished(context.instance)
    keys = workspace.catalog.embedding_keys()
    for key in _within_budget(keys, tick):
        state = read_embedding(workspace.home, key)
        if state is None:
            continue  # nothing to be behind of: the condition `missing` is the automation's
        try:
            digest, background = encoders.identity(split_embedding_key(key)[1])
        except SemsimError as error:
            context.log.warning(f"{key}: {error}")
            continue
        now = f"{digest} {background}"
        if (state.key.digest, state.background) == (digest, background):
            tick.cursor.asked.pop(key, None)
        elif tick.cursor.asked.get(key) != now and not unfinished.has("embeddings", key):
            tick.cursor.asked[key] = now
            tick.ask.append(key)
    _forget(tick.cursor, keys)
    return tick.result("embeddings")


def _within_budget(names: Sequence[str], tick: Tick) -> Iterator[str]:
    """The names in turn, from where the last tick stopped, until its time is over."""
    deadline = time.monotonic() + BUDGET
    first = names.index(tick.cursor.start) if tick.cursor.start in names else 0
    tick.cursor.start = ""
    for name in [*names[first:], *names[:first]]:
        if tick.looked and time.monotonic() > deadline:
            tick.cursor.start = name
            return
        tick.looked += 1
        yield name


def _forget(cursor: Cursor, names: Sequence[str]) -> None:
    """Leave out what the catalogue no longer has."""
    known = set(names)
    cursor.asked = {name: stamp for name, stamp in cursor.asked.items() if name in known}
    cursor.waited = {name: looks for name, looks in cursor.waited.items() if name in known}
