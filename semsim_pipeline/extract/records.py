"""What crosses the doors of extraction: a view, options, a shard's order and its receipt, the result of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from semsim_pipeline.datasets.base import Source
from semsim_pipeline.encoders.base import Encoder
from semsim_pipeline.errors import WrongCallError
from semsim_pipeline.records import ItemRef
from semsim_pipeline.store.hashes import HashStore
from semsim_pipeline.store.manifest import ManifestRef
from semsim_pipeline.store.schema import PART_ROWS, SetKey

REASONS_SHOWN = 5


class View(Protocol):
    """What extraction needs of a dataset's view."""

    @property
    def source(self) -> Source:
        """Where the images come from."""

    def select(self) -> Iterator[ItemRef]:
        """The view's rows in the source's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractOptions:
    """How to work; nothing here changes a stored number (networks: beyond 1e-5 relative, by batch size).

    workers: processes; None for what suits the encoder. batch_size: None for what suits the encoder.
    part_rows: the most rows of a part, and what a kill can lose. engine: `local`, or what ENGINES offers.
    """

    workers: int | None = None
    batch_size: int | None = None
    part_rows: int = PART_ROWS
    engine: str = "local"

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("batch_size", self.batch_size)):
            if value is not None and value < 1:
                raise WrongCallError(f"{name} must be at least 1; got {value}.")
        if not 1 <= self.part_rows <= PART_ROWS:
            raise WrongCallError(f"part_rows must be within 1 and {PART_ROWS}; got {self.part_rows}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """One shard's whole order: picklable, complete, and naming its own output.

    items, image_ids: what to read, and what the manifest says that it is. folder: of the embedding set.
    batch_size: None for what suits the encoder. threads: that decode, preprocess and encode, where the encoder lets
    several. hashes: where the images' perceptual hashes go.
    """

    source: Source
    items: tuple[ItemRef, ...]
    image_ids: tuple[str, ...]
    encoder: Encoder
    key: SetKey
    folder: Path
    batch_size: int | None
    threads: int = 1
    hashes: HashStore | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReceipt:
    """What became of a shard: rows + failed + skipped = its images. Embeddings never travel, receipts do.

    files: written, to be named by the set's manifest. failed: images that cannot be decoded (stored, not tried again).
    skipped: images that could not be read or are no longer what the scan saw (not stored; the next run sees to them).
    reasons: of the first few failed and skipped, `path: why`.
    """

    files: tuple[str, ...]
    rows: int
    failed: int
    skipped: int = 0
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The result of embedding a view. seen = embedded + failed, always.

    seen: rows of the manifest. embedded: rows with an embedding, whenever it was made. failed: rows without.
    new: images embedded by this run (an image that occurs twice counts once). skipped: of `failed`, those that changed
    between scan and reading. images_per_second: new images over the time of embedding; 0 when there was nothing new.
    """

    manifest: ManifestRef
    key: SetKey
    folder: Path
    seen: int
    embedded: int
    failed: int
    new: int
    skipped: int
    seconds: float
    images_per_second: float
    reasons: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.seen != self.embedded + self.failed:
            raise ValueError(f"seen {self.seen} is not embedded {self.embedded} + failed {self.failed}")
