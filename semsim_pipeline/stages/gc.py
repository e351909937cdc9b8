"""`semsim gc`: what neither the catalogue nor a history needs, found and (when told so) removed.

Only files that semsim itself names are looked at, only below the home, and only old ones. What another process works
on is left alone: sets, sources and pairs are held by their own locks while something of them is judged and removed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semsim_pipeline.catalog import Catalog
from semsim_pipeline.extract.hashes import image_hashes
from semsim_pipeline.stages.gc_sets import Dropped, drop_set, drop_unneeded_parts, ids_of
from semsim_pipeline.stages.picture_store import INDEX
from semsim_pipeline.stages.references import LEAST_AGE, LiveImages, Policy, References, all_manifests
from semsim_pipeline.stages.report import VERSION_FILE
from semsim_pipeline.stages.score_store import DAMAGED, pair_file, pairs_lock
from semsim_pipeline.store.embedding_set import DAMAGED as DAMAGED_PART
from semsim_pipeline.store.locks import held, locked
from semsim_pipeline.store.manifest import INDEX_NAME
from semsim_pipeline.store.writer import is_leftover
from semsim_pipeline.whole_file import TEMPORARY

Kind = Literal[
    "histories",
    "scores",
    "pictures",
    "matrices",
    "reports",
    "pointers",
    "embeddings",
    "hashes",
    "manifests",
    "temporary files",
]
FOLDER = re.compile(r"[0-9a-f]{32}")
FILE = re.compile(r"[0-9a-f]{32}\.(parquet|json)")
OURS = ("manifests", "embeddings", "hashes", "backgrounds", "pipeline", "scores", "pictures", "matrices", "reports")
"""Folders of a home that semsim alone writes to; datasets may lie beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """One thing that nobody needs. path: a file or a folder. bytes: that its removal frees. why: in a few words."""

    kind: Kind
    path: Path
    bytes: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """A folder that another process works on; nothing of it is judged."""

    path: Path


def collect(home: Path, catalog: Catalog, policy: Policy, *, delete: bool) -> Iterator[Garbage | InUse]:
    """What goes; with `delete`, what has gone.

    Raises StoreError where a pointer or a manifest cannot be read: then nobody knows what it needs, and nothing more
    goes.   Memory: 8 bytes an image of the kept manifests, and one part.
    """
    references = References(home=home.resolve(), catalog=catalog, policy=policy)
    references.check()
    sweep = _Sweep(references, delete=delete)
    yield from sweep.scores()
    yield from sweep.folders("pictures", references.pictures())
    yield from sweep.folders("matrices", references.matrices())
    yield from sweep.reports()
    yield from sweep.pointers()
    yield from sweep.sets()
    yield from sweep.hashes()
    yield from sweep.manifests()
    yield from sweep.temporary()


class _Sweep:
    """One kind of thing after the other. delete: False to tell only."""

    def __init__(self, references: References, *, delete: bool) -> None:
        self._references = references
        self._home = references.home
        self._policy = references.policy
        self._delete = delete

    def scores(self) -> Iterator[Garbage]:
        """Histories that are given up, and results that no history names."""
        folder = self._home / "scores"
        if not folder.is_dir():
            return
        with locked(pairs_lock(self._home)):  # so that nothing becomes valid while it goes
            for key in self._references.forgotten():
                yield from self._file("histories", pair_file(self._home, key), "the pair is not in the catalogue")
            needed = self._references.results()
            for path in sorted(folder.glob("results/*/*.json")):
                if FILE.fullmatch(path.name) and path not in needed:
                    yield from self._file("scores", path, "in no pair's history")

    def folders(self, kind: Literal["pictures", "matrices"], needed: set[Path]) -> Iterator[Garbage]:
        """Versions of pictures, or of tables and heat maps, that are not the current ones."""
        for path in sorted((self._home / kind).glob("*/*/")):
            if FOLDER.fullmatch(path.name) and path not in needed:
                yield from self._folder(kind, path, "of a score or a code that is not the current one")

    def reports(self) -> Iterator[Garbage]:
        """Pages of comparisons that the catalogue no longer has."""
        for path in sorted((self._home / "reports").glob("*/")):
            if path.name not in self._references.keys("comparisons") and (path / VERSION_FILE).is_file():
                yield from self._folder("reports", path, "the comparison is not in the catalogue")

    def pointers(self) -> Iterator[Garbage]:
        """Of datasets and embeddings that the catalogue no longer has."""
        for name, keys in self._references.pointers().items():
            for path in sorted((self._home / "pipeline" / name).glob("*.json")):
                if path.stem not in keys:
                    yield from self._file("pointers", path, "not in the catalogue")

    def sets(self) -> Iterator[Garbage | InUse]:
        """Sets that no dataset of the catalogue uses; of the others, images that no manifest names."""
        for folder in sorted((self._home / "embeddings").glob("*/")):
            if not self._is_ours(folder):
                continue
            with held(folder / ".run.lock") as mine:
                if not mine:
                    yield InUse(path=folder)
                    continue
                yield from (self._of_set(dropped) for dropped in self._dropped(folder))

    def hashes(self) -> Iterator[Garbage]:
        """Files of perceptual hashes that no current code makes, or that hold no image of a manifest."""
        current = image_hashes(self._home).folder
        images: LiveImages | None = None
        for path in sorted((self._home / "hashes").glob("*/hashes-*.parquet")):
            if path.parent != current:
                yield from self._file("hashes", path, "of another version of the code")
                continue
            images = images or self._references.images()
            if not images.among(ids_of(path)).any():
                yield from self._file("hashes", path, "none of its images is in a manifest")

    def manifests(self) -> Iterator[Garbage | InUse]:
        """Versions of datasets that are not the current ones, and the index of a source of which none stays."""
        for folder in sorted((self._home / "manifests").glob("*/")):
            if not self._is_ours(folder):
                continue
            with held(folder / ".scan.lock") as mine:
                if not mine:
                    yield InUse(path=folder)
                    continue
                needed = self._references.manifests()
                kept = 0
                for path in all_manifests(self._home, folder.name):
                    gone = list(self._file("manifests", path, "not a dataset's current one")) if (
                        FILE.fullmatch(path.name) and path.resolve() not in needed
                    ) else []  # fmt: skip
                    kept += not gone
                    yield from gone
                if not kept and (folder / INDEX_NAME).is_file():
                    yield from self._file("manifests", folder / INDEX_NAME, "no version of its source is kept")

    def temporary(self) -> Iterator[Garbage]:
        """Files of writers that are gone, and what was put aside because it was damaged."""
        places = [self._home.glob(f"{TEMPORARY}*"), *((self._home / name).rglob(f"{TEMPORARY}*") for name in OURS)]
        for path in (each for place in places for each in sorted(place)):
            with suppress(FileNotFoundError):
                if path.is_file() and is_leftover(path, LEAST_AGE):
                    yield from self._file("temporary files", path, "its writer is gone", old=True)
        for path in sorted(self._home.glob(".listing-*/")):
            yield from self._folder("temporary files", path, "its writer is gone")
        for pattern in (f"embeddings/*/{DAMAGED_PART}*.parquet", f"scores/pairs/*{DAMAGED}"):
            for path in sorted(self._home.glob(pattern)):
                yield from self._file("temporary files", path, "put aside because it was damaged")

    def _dropped(self, folder: Path) -> Iterator[Dropped]:
        if folder.name in self._references.sets():
            return drop_unneeded_parts(folder, self._references, delete=self._delete)
        return drop_set(folder, self._policy, delete=self._delete)

    def _of_set(self, dropped: Dropped) -> Garbage:
        return Garbage(kind="embeddings", path=dropped.path, bytes=dropped.bytes, why=dropped.why)

    def _file(self, kind: Kind, path: Path, why: str, *, old: bool = False) -> Iterator[Garbage]:
        """One file, if it is old (or known to be) and ours."""
        try:
            if not self._is_ours(path) or not (old or self._policy.is_old(path)):
                return
            found = Garbage(kind=kind, path=path, bytes=path.stat().st_size, why=why)
            if self._delete:
                path.unlink()
        except FileNotFoundError:
            return  # somebody else removed it, or wrote it anew
        yield found

    def _folder(self, kind: Kind, path: Path, why: str) -> Iterator[Garbage]:
        """One folder, if all in it is old and ours; what makes it count goes first."""
        files = [each for each in path.rglob("*") if each.is_file()]
        if not self._is_ours(path) or not all(self._policy.is_old(each) for each in (path, *files)):
            return
        size = sum(each.stat().st_size for each in files)
        if self._delete:
            (path / INDEX).unlink(missing_ok=True)
            shutil.rmtree(path)
            with suppress(OSError):  # versions are left
                path.parent.rmdir()
        yield Garbage(kind=kind, path=path, bytes=size, why=why)

    def _is_ours(self, path: Path) -> bool:
        """Whether it lies below the home: a folder may be a link to elsewhere, and nothing goes there."""
        return not path.is_symlink() and path.parent.resolve().is_relative_to(self._home)
