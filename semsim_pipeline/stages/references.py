"""What the catalogue and the histories of its pairs need of the store; all else is for `semsim gc`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.catalog import Catalog, KeyKind, removed_keys
from semsim_pipeline.comparison.score_store import result_file
from semsim_pipeline.stages.failures import Failures
from semsim_pipeline.stages.history import scored_pairs
from semsim_pipeline.stages.matrix import comparison_version, matrix_folder
from semsim_pipeline.stages.pictures import pictures_folder, pictures_version
from semsim_pipeline.stages.score_store import current_version, events_of, pair_file
from semsim_pipeline.stages.state import EmbeddingState, read_dataset, read_embedding
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline.store.manifest import INDEX_NAME, read_batches
from semsim_pipeline.store.reader import digests

if TYPE_CHECKING:
    import polars as pl

DAY = 24 * 3600.0
LEAST_AGE = 3600.0
"""Seconds. Whatever was written later than this may belong to a run under way, and stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What to keep beside what is needed.

    keep_days: what was written in so many days stays, needed or not: what `compare` and `embed` leave has no other
    protection. forget_removed: whether the histories of pairs that the catalogue no longer has may go.
    now: seconds since 1970.
    """

    keep_days: float = 30.0
    forget_removed: bool = False
    now: float = field(default_factory=time.time)

    def is_old(self, path: Path) -> bool:
        """Whether nobody wrote a file for so long that it may go. A time in the future is young."""
        return self.now - path.lstat().st_mtime > max(self.keep_days * DAY, LEAST_AGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Looks at the pointers each time that it is asked, so that it is asked while a lock is held.

    Raises StoreError, from everything here, where a pointer cannot be read: then nobody knows what it needs.
    """

    home: Path
    catalog: Catalog
    policy: Policy

    def check(self) -> None:
        """Raises StoreError where a pointer cannot be read, before anything goes."""
        self.manifests()
        self.results()

    def keys(self, kind: KeyKind) -> list[str]:
        """Of the catalogue, and those that an edit took out of it so lately that a backfill may still ask for them."""
        catalog = self.catalog
        every: dict[KeyKind, list[str]] = {
            "datasets": catalog.dataset_keys(),
            "embeddings": catalog.embedding_keys(),
            "pairs": list(catalog.pairs),
            "comparisons": list(catalog.comparisons),
        }
        gone = {} if self.policy.forget_removed else removed_keys(self.home).get(kind, {})
        return list(dict.fromkeys([*every[kind], *gone]))

    def pointers(self) -> dict[str, set[str]]:
        """Folder of `pipeline` to the keys that need what is in it."""
        datasets, embeddings = set(self.keys("datasets")), set(self.keys("embeddings"))
        return {
            "datasets": datasets,
            "embeddings": embeddings,
            "checks": embeddings,
            "failures/dataset_manifest": datasets,
            "failures/embeddings": embeddings,
            "failures/pair_metrics": set(self.keys("pairs")),
        }

    def embeddings(self) -> Iterator[EmbeddingState]:
        """The states of the catalogue's embeddings."""
        for key in self.keys("embeddings"):
            state = read_embedding(self.home, key)
            if state is not None:
                yield state

    def manifests(self) -> set[Path]:
        """Of the catalogue's datasets: the last scan's, and the ones that scores rest on."""
        found = [read_dataset(self.home, name) for name in self.keys("datasets")]
        paths = [state.path for state in (*found, *(each.dataset for each in self.embeddings())) if state is not None]
        return {Path(path).resolve() for path in paths}

    def kept_manifests(self) -> Iterator[Path]:
        """The needed ones, and those that are too young to go."""
        needed = self.manifests()
        for path in all_manifests(self.home):
            if path.resolve() in needed or not self.policy.is_old(path):
                yield path

    def sets(self) -> set[str]:
        """The folder names of the sets that the catalogue's scores rest on."""
        return {state.key.folder_name for state in self.embeddings()}

    def images(self) -> LiveImages:
        """The images of all kept manifests. Memory: 8 bytes an image."""
        return LiveImages(list(self.kept_manifests()))

    def forgotten(self) -> list[str]:
        """The pairs whose history goes."""
        if not self.policy.forget_removed:
            return []
        gone = [key for key in scored_pairs(self.home) if key not in self.catalog.pairs]
        return [key for key in gone if self.policy.is_old(pair_file(self.home, key))]

    def results(self) -> set[Path]:
        """The results that a history names which stays."""
        forgotten = set(self.forgotten())
        return {
            result_file(self.home, event.version)
            for key in scored_pairs(self.home)
            if key not in forgotten
            for event in events_of(self.home, key)
        }

    def pictures(self) -> set[Path]:
        """The folders of the pictures of the catalogue's pairs as they are scored now."""
        found = ((key, current_version(self.home, key)) for key in self.keys("pairs"))
        return {
            pictures_folder(self.home, key, pictures_version(version)) for key, version in found if version is not None
        }

    def matrices(self) -> set[Path]:
        """The folders of the tables and heat maps of the catalogue's comparisons as they are now."""
        workspace, failures = Workspace(home=self.home, catalog=self.catalog), Failures(self.home)
        out = {
            matrix_folder(self.home, comparison.name, comparison_version(workspace, comparison, failures))
            for comparison in self.catalog.comparisons.values()
        }
        for name in set(self.keys("comparisons")) - set(self.catalog.comparisons):
            out.update((self.home / "matrices" / name).glob("*/"))  # which is the current one nobody can tell any more
        return out


class LiveImages:
    """The images that some manifests name, by the first 64 bits of their ids: two that share them keep one too many."""

    def __init__(self, manifests: Sequence[Path]) -> None:
        """Raises StoreError where one cannot be read."""
        known = [np.empty(0, dtype=np.uint64)]
        for path in manifests:
            known += [digests(batch["image_id"].drop_nulls())[:, 0] for batch in read_batches(path, ["image_id"])]
        self._known: NDArray[np.uint64] = np.unique(np.concatenate(known))

    def among(self, image_ids: pl.Series) -> NDArray[np.bool_]:
        """[n]: which of these are named."""
        ids = digests(image_ids)[:, 0]
        place = np.searchsorted(self._known, ids)
        found = place < len(self._known)
        found[found] = self._known[place[found]] == ids[found]
        return found


def all_manifests(home: Path, source: str = "*") -> list[Path]:
    """Every manifest of every source, or of the one in this folder, sorted."""
    return sorted(path for path in (home / "manifests").glob(f"{source}/*.parquet") if path.name != INDEX_NAME)
