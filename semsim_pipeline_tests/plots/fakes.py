"""Sides to draw without a store: pixels in memory, rows given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.score import score_arrays
from semsim_pipeline.comparison.selected import SelectedView
from semsim_pipeline.comparison.thumbnails import PictureSide
from semsim_pipeline.datasets.base import Content, Reader
from semsim_pipeline.errors import CorruptSourceError, UnreadableImageError
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline.plots.base import PairInput
from semsim_pipeline.records import Background, ItemRef
from semsim_pipeline.store.schema import SetKey

DIM = 12
BACKGROUND = Background(id="fake", bandwidth=0.3, source="a panel", kappa=0.05, mean=np.full(DIM, 0.1))


@dataclass
class MemorySource:
    """Contents by locator, and a record of how it was read. broken: locators that cannot be read."""

    contents: list[Content]
    broken: frozenset[int] = frozenset()
    gone: bool = False
    kind: str = "memory"
    location: str = "memory"
    options: Mapping[str, str] = field(default_factory=dict)
    label_columns: tuple[str, ...] = ("label",)
    opened: int = 0
    read_order: list[int] = field(default_factory=list)

    def items(self) -> Iterator[ItemRef]:
        for row in range(len(self.contents)):
            yield ItemRef(path=f"{row:04d}.png", labels={"label": "x"}, locator=row)

    @contextmanager
    def open(self) -> Iterator[Reader]:
        if self.gone:
            raise CorruptSourceError("the archive is gone")
        self.opened += 1
        yield self

    def read(self, item: ItemRef) -> Content:
        assert item.labels == {"label": "x"}
        assert item.path == f"{item.locator:04d}.png"
        self.read_order.append(item.locator)
        if item.locator in self.broken:
            raise UnreadableImageError("broken")
        return self.contents[item.locator]


def pixels(n: int, seed: int, size: tuple[int, int] = (8, 8)) -> list[Content]:
    """n different grey images."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, size, dtype=np.uint8) for _ in range(n)]


def view(source: MemorySource, name: str = "a", ids: Sequence[str] | None = None) -> SelectedView:
    items = list(source.items())
    rows = pl.DataFrame(
        {
            "path": [item.path for item in items],
            "image_id": list(ids) if ids is not None else [image_id_of(content) for content in source.contents],
            "group": [None] * len(items),
            "size": [None] * len(items),
            "stamp": [None] * len(items),
            "locator": [item.locator for item in items],
            "label.label": ["x"] * len(items),
        },
        schema_overrides={"group": pl.String, "size": pl.Int64, "stamp": pl.String},
    )
    key = SetKey(encoder="fake", fingerprint="f" * 64, decode_version=1)
    return SelectedView(name=name, source=source, key=key, rows=rows, failed=0)


def side(
    rows: NDArray[np.float32], *, name: str = "a", seed: int = 0, contents: list[Content] | None = None
) -> PictureSide:
    source = MemorySource(contents if contents is not None else pixels(len(rows), seed))
    return PictureSide(selected=view(source, name), rows=rows)


def blob(n: int, seed: int, centre: int = 0) -> NDArray[np.float32]:
    """n directions close to one axis."""
    random = np.random.default_rng(seed)
    rows = random.normal(scale=0.15, size=(n, DIM)).astype(np.float32)
    rows[:, centre] += 1
    return rows


def compared(reference: NDArray[np.float32], candidate: NDArray[np.float32], names: tuple[str, str]) -> Comparison:
    return score_arrays(reference, candidate, background=BACKGROUND, names=names, metrics=["mean_cosine"])


def pair(n: int = 40, m: int = 40, *, names: tuple[str, str] = ("a", "b"), centre: int = 1) -> PairInput:
    first, second = blob(n, 1), blob(m, 2, centre)
    return PairInput(
        comparison=compared(first, second, names),
        reference=side(first, name=names[0], seed=3),
        candidate=side(second, name=names[1], seed=4),
    )
