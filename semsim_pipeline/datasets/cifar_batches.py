"""What CIFAR-10 and CIFAR-100 share: the published archive of pickled batches, one batch in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets import tar_listing
from semsim_pipeline.datasets.base import Reader, check_options
from semsim_pipeline.datasets.download import download
from semsim_pipeline.datasets.layout import stamp_of_file
from semsim_pipeline.datasets.plain_pickle import read_plain
from semsim_pipeline.datasets.published import Published, find, receipt_of
from semsim_pipeline.datasets.stamp import Stamp, stamp_of_path
from semsim_pipeline.errors import (
    CorruptSourceError,
    EmptyDatasetError,
    MissingPathError,
    UnknownNameError,
    WrongCallError,
    did_you_mean,
)
from semsim_pipeline.progress import Progress
from semsim_pipeline.records import ItemRef

SPLITS = ("train", "test")
OPTIONS = ("split",)
SIDE = 32
PIXELS = 3 * SIDE * SIDE
BATCH_ROWS = 1 << 20
"""More rows than a batch has; an item's locator is its batch's place times this, plus its row."""
LARGEST_BATCH = 1 << 29
"""Bytes; a member that declares more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One of the two sets as published. batches: member's file name to its split.

    columns: label column to the key of its numbers in a batch. classes: column to names by number. file: where the
    archive comes from, None for a copy that somebody has.
    """

    kind: str
    file: Published
    batches: Mapping[str, str]
    columns: Mapping[str, str]
    classes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Batch:
    """pixels: uint8 [n, 3072], three planes of 32×32. labels: column to numbers [n]. names: n file names, or none."""

    pixels: NDArray[np.uint8]
    labels: Mapping[str, tuple[int, ...]]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifar:
    """The images of the published archive (.tar.gz, read in place), in its order; RGB, 32×32.

    Path of an item: `data_batch_1/00004/name.png`. Option `split`: train or test; both without it.
    Memory: one batch (30 MB for CIFAR-10, 150 MB for CIFAR-100), kept between readers of a process.
    """

    layout: Layout
    copy: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.layout.kind

    @property
    def location(self) -> str:
        return self.copy or self.layout.kind

    @property
    def label_columns(self) -> tuple[str, ...]:
        return tuple(self.layout.columns)

    def path(self) -> Path:
        """The archive. Raises MissingFilesError."""
        return Path(self.copy) if self.copy else find(self.layout.file)

    def items(self) -> Iterator[ItemRef]:
        path, wanted = self.path(), self.options.get("split")
        whole = stamp_of_file(path.stat())
        found = False
        for place, name in self.members(path):
            split = self.layout.batches[name]
            if wanted is not None and split != wanted:
                continue
            found = True
            batch = self.batch(path, place)
            for row in range(len(batch.pixels)):
                shown = f"/{batch.names[row]}" if batch.names else ""
                yield ItemRef(
                    path=f"{name}/{row:05d}{shown}",
                    labels={column: self.name_of(column, batch.labels[column][row]) for column in self.layout.columns},
                    stamp=f"{whole}-{place}-{row}",
                    locator=place * BATCH_ROWS + row,
                )
        if not found:
            raise EmptyDatasetError(f"{path} holds no batch of the split {wanted!r}.")

    def members(self, path: Path) -> list[tuple[int, str]]:
        """(place among all members, name) of each batch, in the archive's order. Raises CorruptSourceError."""
        names = [entry.name.rsplit("/", 1)[-1] for entry in _entries(str(path), stamp_of_file(path.stat()))]
        found = [(place, name) for place, name in enumerate(names) if name in self.layout.batches]
        if not found:
            raise CorruptSourceError(
                f"{path} holds no batch of {self.kind} ({', '.join(self.layout.batches)}); it is not "
                f"{self.layout.file.name}, the version for Python."
            )
        return found

    def batch(self, path: Path, place: int) -> Batch:
        """One batch, checked. Raises CorruptSourceError."""
        return _load(str(path), stamp_of_file(path.stat()), place, tuple(self.layout.columns.items()))

    def name_of(self, column: str, number: int) -> str:
        """A class by its number. Raises CorruptSourceError."""
        names = self.layout.classes[column]
        if not 0 <= number < len(names):
            raise CorruptSourceError(f"{self.location}: {column} number {number}, of {len(names)} classes.")
        return names[number]

    def open(self) -> AbstractContextManager[Reader]:
        return nullcontext(BatchReader(self))

    def fetch(self, progress: Progress) -> None:
        if not self.copy:
            download(self.layout.file, progress)

    def is_here(self) -> bool:
        return bool(self.copy) or receipt_of(self.layout.file) is not None

    def stamp(self) -> Stamp:
        """Of a copy, as of any file; the published archive is what its checksum says, and nobody is asked."""
        if self.copy:
            return stamp_of_path(Path(self.copy), {})
        return Stamp(digest=self.layout.file.checksum or "")

    def stamp_here(self) -> str:
        found = self.stamp()
        return found.digest if found.settled(time.time_ns()) else ""

    def what_else(self) -> str:
        return "batches without images"


@dataclass(frozen=True, slots=True)
class BatchReader:
    """Reads rows of the batch that was read last; another batch costs unpacking up to it."""

    source: Cifar

    def read(self, item: ItemRef) -> NDArray[np.uint8]:
        """RGB uint8 [32, 32, 3]."""
        place, row = divmod(item.locator, BATCH_ROWS)
        pixels = self.source.batch(self.source.path(), place).pixels
        if row >= len(pixels):
            raise CorruptSourceError(f"{self.source.location} has no row {row} in its batch {item.path.split('/')[0]}.")
        return np.ascontiguousarray(pixels[row].reshape(3, SIDE, SIDE).transpose(1, 2, 0))


@lru_cache(maxsize=4)
def _entries(location: str, _stamp: str) -> tuple[tar_listing.TarEntry, ...]:
    path = Path(location)
    with path.open("rb") as file:
        packing = tar_listing.packing_of(file.read(512))
    if packing is None:
        raise CorruptSourceError(f"{path} is no tar (plain or packed), or it is truncated. Fetch it again.")
    return tuple(tar_listing.entries_of(path, packing))


@lru_cache(maxsize=1)
def _load(location: str, stamp: str, place: int, columns: tuple[tuple[str, str], ...]) -> Batch:
    path, entry = Path(location), _entries(location, stamp)[place]
    if entry.problem or entry.size > LARGEST_BATCH:
        raise CorruptSourceError(f"{path}: {entry.name} is {entry.problem or 'too large for a batch'}.")
    with path.open("rb") as file:
        packing = tar_listing.packing_of(file.read(512))
    assert packing is not None  # seen when it was listed
    with tar_listing.damage_named(location), tar_listing.unpacked_stream(path, packing) as stream:
        stream.seek(entry.offset)
        found = read_plain(stream, entry.size, f"{location}: {entry.name}")
    return _checked(found, columns, f"{location}: {entry.name}")


def _checked(found: Mapping[str, object], columns: tuple[tuple[str, str], ...], where: str) -> Batch:
    pixels = found.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise CorruptSourceError(f"{where} has no images: expected `data`, uint8 [n, {PIXELS}].")
    labels = {}
    for column, key in columns:
        numbers = found.get(key)
        if not isinstance(numbers, list) or len(numbers) != len(pixels) or not all(type(n) is int for n in numbers):
            raise CorruptSourceError(f"{where} has no {key} for its {len(pixels)} images.")
        labels[column] = tuple(numbers)
    names = found.get("filenames")
    texts: tuple[str, ...] = ()
    if isinstance(names, list) and len(names) == len(pixels) and all(isinstance(name, str | bytes) for name in names):
        texts = tuple(_plain_name(name) for name in names)
    return Batch(pixels=pixels, labels=labels, names=texts)


def _plain_name(name: str | bytes) -> str:
    text = name.decode("ascii", "backslashreplace") if isinstance(name, bytes) else name
    return text.replace("/", "_")


def build_cifar(layout: Layout, location: str, options: Mapping[str, str]) -> Cifar:
    """The set, published or a copy at `location`. Raises WrongCallError, MissingPathError; asks no network."""
    check_options(layout.kind, options, OPTIONS)
    split = options.get("split")
    if split is not None and split not in SPLITS:
        raise UnknownNameError(did_you_mean(f"split of {layout.kind}", split, SPLITS))
    if not location:
        return Cifar(layout=layout, options=dict(options))
    path = Path(location).expanduser().absolute()
    if not path.exists():
        raise MissingPathError(f"There is no archive {path}: put it there, or name where it is.")
    if path.is_dir():
        raise WrongCallError(f"{path} is a folder; {layout.kind} is read from {layout.file.name} as it is published.")
    return Cifar(layout=layout, copy=str(path), options=dict(options))
