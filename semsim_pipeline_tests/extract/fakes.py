"""A source and an encoder that cost nothing, for extraction: picklable, so that worker processes get them too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import Content, Reader
from semsim_pipeline.encoders.base import Concurrency, EncoderFacts
from semsim_pipeline.errors import UnreadableImageError
from semsim_pipeline.records import ItemRef

SIDE = 8
DIM = 16


def pixels(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class FakeSource:
    """Images `0..n`, image i made from seed `i % distinct`. bad: not images. gone: cannot be read."""

    n: int
    location: str = "fake"
    distinct: int | None = None
    bad: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()
    stamp: str | None = "1"
    reads: str | None = None
    kind: str = "fake"
    options: Mapping[str, str] = field(default_factory=dict)
    label_columns: tuple[str, ...] = ("label",)

    def items(self) -> Iterator[ItemRef]:
        for i in range(self.n):
            yield ItemRef(path=f"{i % 3}/{i}.png", labels={"label": str(i % 3)}, stamp=self.stamp, locator=i)

    def open(self) -> AbstractContextManager[Reader]:
        return nullcontext(self)

    def read(self, item: ItemRef) -> Content:
        if self.reads is not None:
            with Path(self.reads).open("a") as file:
                file.write(f"{item.path}\n")
        if item.locator in self.gone:
            raise UnreadableImageError("cannot be opened: gone")
        if item.locator in self.bad:
            return b"no image %d" % item.locator
        return pixels(item.locator % (self.distinct or self.n))


@dataclass(frozen=True, kw_only=True)
class FakeView:
    source: FakeSource
    limit: int | None = None

    def select(self) -> Iterator[ItemRef]:
        for i, item in enumerate(self.source.items()):
            if self.limit is None or i < self.limit:
                yield item


@dataclass(frozen=True, kw_only=True)
class FakeEncoder:
    """Row i is the image's first pixels; mode breaks it; seconds slows it; log counts the images encoded."""

    name: str = "fake"
    mode: str = ""
    seconds: float = 0.0
    log: str | None = None
    concurrency: Concurrency = "processes"
    batch_size: int = 32
    dim: int = DIM

    @property
    def facts(self) -> EncoderFacts:
        raise AssertionError("extraction asks an encoder for no facts")

    def fingerprint(self) -> str:
        return f"fake-{self.name}-{self.dim}"

    def load(self) -> FakeEncoder:
        return self

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image[:SIDE, :SIDE]

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.seconds:
            time.sleep(self.seconds * len(batch))
        if self.log is not None:
            with Path(self.log).open("a") as file:
                file.write(f"{len(batch)}\n")
        if self.mode == "die":
            os._exit(9)
        if self.mode.startswith("die-once:"):
            marker = Path(self.mode.split(":", 1)[1])
            if not marker.exists():
                marker.touch()
                os._exit(9)
        rows = batch.reshape(len(batch), -1)[:, : self.dim].astype(np.float32)
        if self.mode == "nan":
            rows[0, 0] = np.nan
        if self.mode == "narrow":
            rows = rows[:, 1:]
        return rows


def encoded(log: Path) -> int:
    return sum(map(int, log.read_text().split())) if log.exists() else 0
