"""What failed last and why, a small file for each failed partition; gone as soon as the partition succeeds.

A pair that cannot be scored at present keeps its last score; pages say with these that it is from before, and why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path

from semsim_pipeline.catalog import Pair
from semsim_pipeline.errors import SemsimError, StoreError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.stages.outcome import Failure, Outcome, Stage
from semsim_pipeline.stages.workspace import Workspace

WORK_ERRORS = (SemsimError, OSError, MemoryError)
"""What one partition may fail with while the others go on; anything else is a fault of ours."""

NOTED: tuple[Stage, ...] = ("dataset_manifest", "embeddings", "pair_metrics")

logger = logging.getLogger(__name__)

StageFunction = Callable[[Workspace, str], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A partition that failed last. reason: one line. at: UTC, ISO 8601."""

    stage: Stage
    partition: str
    reason: str
    at: str


def noting(stage: Stage) -> Callable[[StageFunction], StageFunction]:
    """A stage's function whose failures are noted, and whose success takes the note away."""

    def decorated(run: StageFunction) -> StageFunction:
        @wraps(run)
        def noted(workspace: Workspace, partition: str) -> Outcome:
            try:
                found = run(workspace, partition)
            except WORK_ERRORS as error:
                note(workspace.home, Failure(stage=stage, partition=partition, error=error))
                raise
            note(workspace.home, found)
            return found

        return noted

    return decorated


def note(home: Path, found: Outcome | Failure) -> None:
    """Keep why a partition failed, or forget that it did."""
    path = _folder(home, found.stage) / f"{found.partition}.json"
    try:
        if isinstance(found, Outcome):
            path.unlink(missing_ok=True)
            return
        before = failure_of(home, found.stage, found.partition)
        if before is None or before.reason != found.reason:  # since when it has failed, not when it was last tried
            write_json(path, {"reason": found.reason, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    except (StoreError, OSError) as error:  # a full disk: whoever ran the stage is told of the failure itself
        logger.warning("The note %s cannot be kept: %s", path, error)


def failure_of(home: Path, stage: Stage, partition: str) -> Noted | None:
    """Why a partition failed last, None where it did not (a damaged note counts as none)."""
    return _read(stage, _folder(home, stage) / f"{partition}.json")


def failures_stamp(home: Path) -> str:
    """Changes with every note that is written or taken away, and costs no reading."""
    found = (path for stage in NOTED for path in _folder(home, stage).glob("*.json"))
    return digest_of("\n".join(sorted(f"{path} {_written(path)}" for path in found)))


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # taken away meanwhile; the next look will say so too
        return 0


class Failures:
    """All notes of a home, read once."""

    def __init__(self, home: Path) -> None:
        self._by_stage = {
            stage: {
                found.partition: found for path in _folder(home, stage).glob("*.json") if (found := _read(stage, path))
            }
            for stage in NOTED
        }

    def behind(self, pair: Pair) -> Noted | None:
        """What keeps a pair from being scored as things are: the first failure on the way to it."""
        steps = [
            *(self._by_stage["dataset_manifest"].get(key.rpartition("@")[0]) for key in pair.embeddings),
            *(self._by_stage["embeddings"].get(key) for key in pair.embeddings),
            self._by_stage["pair_metrics"].get(pair.key),
        ]
        return next((each for each in steps if each is not None), None)


def _read(stage: Stage, path: Path) -> Noted | None:
    try:
        found = read_json(path)
    except StoreError as error:
        logger.warning("%s", error)
        return None
    if found is None:
        return None
    return Noted(stage=stage, partition=path.stem, reason=str(found.get("reason")), at=str(found.get("at")))


def _folder(home: Path, stage: Stage) -> Path:
    return home / "pipeline" / "failures" / stage
