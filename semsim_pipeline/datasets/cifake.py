"""The source `cifake`: CIFAKE in its published layout, `train/REAL/0001 (4).jpg`, as a folder or an archive.

CIFAKE: Bird and Lotfi 2024; REAL is CIFAR-10, FAKE its likeness by Stable Diffusion 1.4. The suffix is the class.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from semsim_pipeline.datasets import archive, folder, kaggle_files
from semsim_pipeline.datasets.base import SOURCES, Reader, SourceKind, check_options
from semsim_pipeline.datasets.stamp import Stamp
from semsim_pipeline.errors import EmptyDatasetError, UnknownNameError, WrongCallError, did_you_mean
from semsim_pipeline.progress import Progress
from semsim_pipeline.records import ItemRef

LABELS = ("REAL", "FAKE")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = ("train", "test")
OPTIONS = ("split",)

LAYOUT = re.compile(r"(?:.*/)?(train|test)/(REAL|FAKE)/[0-9]+(?: \(([2-9]|10)\))?\.(?:jpe?g|png)", re.IGNORECASE)
"""No suffix is the first class, ` (2)` to ` (10)` the others; ` (1)` and ` (11)` do not occur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifake:
    """The files of the layout, in the inner source's order. Files outside the layout are no part of CIFAKE: left out.

    copy: None for what is fetched from Kaggle or a mirror.
    Labels: `label` (REAL or FAKE) and `class`. Option `split`: train or test; all without it.
    """

    copy: folder.Folder | archive.Archive | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    kind: str = "cifake"
    label_columns: tuple[str, ...] = ("label", "class")

    @property
    def location(self) -> str:
        return "cifake" if self.copy is None else self.copy.location

    @property
    def inner(self) -> folder.Folder | archive.Archive:
        """The copy that was named, else the one that was fetched. Raises MissingFilesError."""
        if self.copy is not None:
            return self.copy
        found = kaggle_files.find_cifake()
        if found is None:
            raise kaggle_files.missing_cifake()
        return _at(str(found))

    def items(self) -> Iterator[ItemRef]:
        """As every source. Raises WrongCallError (nothing has the layout), EmptyDatasetError (not that split)."""
        wanted = self.options.get("split")
        splits: set[str] = set()
        found = False
        for item in self.inner.items():
            parts = LAYOUT.fullmatch(item.path)
            if parts is None:
                continue
            split = parts[1].lower()
            splits.add(split)
            if wanted is None or split == wanted:
                found = True
                labels = {"label": parts[2].upper(), "class": CLASSES[int(parts[3] or 1) - 1]}
                yield replace(item, labels=labels)
        if found:
            return
        if splits:
            raise EmptyDatasetError(f"{self.location} has no split {wanted!r}; it has: {', '.join(sorted(splits))}.")
        raise WrongCallError(
            f"{self.location} is not in CIFAKE's layout: expected train/REAL/0001 (4).jpg; found {self._found()}."
        )

    def _found(self) -> str:
        shown = [item.path for item in islice(self.inner.items(), 3)]
        return f"{', '.join(shown)}, …" if shown else f"no image, {self.inner.what_else()}"

    def open(self) -> AbstractContextManager[Reader]:
        return self.inner.open()

    def stamp(self) -> Stamp:
        """Of a copy, as of any file; what Kaggle has is one fixed version, and nobody is asked."""
        return Stamp(digest=kaggle_files.HANDLE) if self.copy is None else self.copy.stamp()

    def stamp_here(self) -> str:
        found = self.stamp()
        return found.digest if found.settled(time.time_ns()) else ""

    def fetch(self, progress: Progress) -> None:
        if self.copy is None:
            kaggle_files.fetch_cifake(progress)

    def is_here(self) -> bool:
        return self.copy is not None or kaggle_files.find_cifake() is not None

    def what_else(self) -> str:
        return self.inner.what_else()


def build(location: str, options: Mapping[str, str]) -> Cifake:
    """CIFAKE at a folder or an archive. Raises WrongCallError, MissingPathError, CorruptSourceError."""
    check_options("cifake", options, OPTIONS)
    split = options.get("split")
    if split is not None and split not in SPLITS:
        raise UnknownNameError(did_you_mean("split of cifake", split, SPLITS))
    return Cifake(copy=_at(location) if location else None, options=dict(options))


def _at(location: str) -> folder.Folder | archive.Archive:
    is_folder = Path(location).expanduser().is_dir()
    return (folder.build if is_folder else archive.build)(location, {})


SOURCES.add(
    "cifake",
    SourceKind(
        name="cifake",
        summary="CIFAKE: `label` REAL or FAKE, and `class`; your own copy (zip or folder), or fetched from Kaggle",
        example="semsim compare 'cifake:cifake.zip[label=REAL]' 'cifake:cifake.zip[label=FAKE]'",
        licence="MIT (CIFAKE; REAL images from CIFAR-10)",
        build=build,
        fetched=True,
        options=OPTIONS,
        classes={"label": LABELS, "class": CLASSES},
    ),
)
