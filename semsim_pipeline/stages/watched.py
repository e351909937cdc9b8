"""Whether a dataset may have changed since its last scan: its stamp against the one that the scan kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semsim_pipeline.catalog import Dataset
from semsim_pipeline.datasets.base import Fetchable, Source
from semsim_pipeline.datasets.resolve import DatasetView
from semsim_pipeline.datasets.stamp import Watchable
from semsim_pipeline.errors import SemsimError, UnreachableError
from semsim_pipeline.stages.failures import failure_of
from semsim_pipeline.stages.state import read_dataset

FIXED = "travels with the package"
"""The stamp of a source that cannot change."""

LOST = "lost"

Change = Literal["none", "changed", "writing", "lost", "away"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """change: `none` since the last scan; `changed`; `writing`: changed within the last seconds, and perhaps still
    being copied; `lost`: it cannot be listed; `away`: whoever knows does not answer at present, which is no change.
    stamp: what to compare the next look with. why: it is away, in one line."""

    change: Change
    stamp: str
    why: str = ""


class Watcher:
    """Looks at datasets and keeps their sources open to be asked again: telling a folder from shards costs a walk."""

    def __init__(self) -> None:
        self._views: dict[tuple[str, str, Path], DatasetView] = {}

    def view(self, dataset: Dataset) -> DatasetView:
        """A dataset, opened once. Raises what `Dataset.view` raises."""
        key = (dataset.name, dataset.spec, dataset.folder)
        if key not in self._views:
            self._views[key] = dataset.view()
        return self._views[key]

    def look(self, home: Path, dataset: Dataset) -> Look:
        """What became of a dataset since its last scan; no image is opened. Raises StoreError.

        Cost: of a folder a stat a file (8 s for a million), of an archive one, of Parquet one a shard; of what comes
        over a network a request, of 6 s at most.
        """
        try:
            view = self.view(dataset)
            stamp, settled = stamp_of(view.source)
        except UnreachableError as error:
            return Look(change="away", stamp=LOST, why=str(error))
        except (SemsimError, OSError):
            self._views.pop((dataset.name, dataset.spec, dataset.folder), None)
            return Look(change="lost", stamp=LOST)  # why is for the scan to say, and one loss has several words
        known = read_dataset(home, dataset.name)
        failed = failure_of(home, "dataset_manifest", dataset.name)
        if known is not None and (known.stamp, known.view) == (stamp, view.key()) and failed is None:
            return Look(change="none", stamp=stamp)
        return Look(change="changed" if settled else "writing", stamp=stamp)


def stamp_of(source: Source) -> tuple[str, bool]:
    """A source's stamp, and whether a later write must show in it.

    Raises MissingPathError, CorruptSourceError, OSError.
    """
    if not isinstance(source, Watchable):
        return FIXED, True
    found = source.stamp()
    return found.digest, found.settled(time.time_ns())


def settled_stamp(source: Source) -> str:
    """A source's stamp where it can be relied on, else "": then the next look asks for another scan, which is cheap.

    Also where it cannot be listed: what is wrong is said by the scan. Of what was fetched it is the version that is
    here, whatever its publisher has by now.
    """
    try:
        if isinstance(source, Fetchable):
            return source.stamp_here()
        stamp, settled = stamp_of(source)
    except (SemsimError, OSError):
        return ""
    return stamp if settled else ""
