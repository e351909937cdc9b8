"""Where adversarial cases live: a space of rows with samples of one distribution, and two that are plainly apart.

Every entry has its own scale. In a space each is put on one: 0 is what two samples of one distribution of 1,000
show on average, 1 is what two plainly different sets of 1,000 show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.evidence.encoders import Embedder
from benchmarks.evidence.images import Labelled, Pixels, cifake
from semsim_pipeline.datasets.cifake import CLASSES
from semsim_pipeline.metrics.background import measure_background
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.records import Background
from semsim_pipeline.seeding import generator

Rows = NDArray[np.float64]
D = 64
N = 1_000
EQUAL_DRAWS = 10
HELD_PER_CLASS = 1_400


@dataclass(frozen=True, slots=True)
class Space:
    """equal(r): the r-th pair of samples of one distribution, N a side. apart(): N of each of two plainly different."""

    name: str
    background: Background
    equal: Callable[[int], tuple[EmbeddedSet, EmbeddedSet]]
    apart: Callable[[], tuple[EmbeddedSet, EmbeddedSet]]


class ImageWorld:
    """REAL images of CIFAKE under one encoder. Plainly different: frogs against ships."""

    def __init__(self, embedder: Embedder, *, per_class: int = HELD_PER_CLASS) -> None:
        self.embedder = embedder
        self.real = cifake(machine.cifake(), "REAL", 1_000, per_class)
        self.rows = embedder.embed(self.real.images)

    @cached_property
    def fake(self) -> Labelled:
        return cifake(machine.cifake(), "FAKE", 0, N // len(CLASSES))

    def embedded(self, images: Pixels, groups: list[str] | None = None) -> EmbeddedSet:
        return EmbeddedSet("images", self.embedder.embed(images), groups=groups)

    def sample(self, n: int, name: str, count: int = 1) -> list[EmbeddedSet]:
        """`count` samples of n rows of the ten classes, no image in two of them; `name` seeds the draw."""
        order = generator(0, "sample", name).permutation(len(self.rows))
        return [EmbeddedSet("sample", self.rows[order[k * n : (k + 1) * n]]) for k in range(count)]

    def sizes(self, n: int, m: int, name: str) -> tuple[EmbeddedSet, EmbeddedSet]:
        """Two samples of different sizes."""
        order = generator(0, "sizes", name).permutation(len(self.rows))
        return EmbeddedSet("a", self.rows[order[:n]]), EmbeddedSet("b", self.rows[order[n : n + m]])

    def rows_of(self, name: str, start: int, count: int) -> NDArray[np.float32]:
        """Rows of one class by its name."""
        mine = np.flatnonzero(self.real.classes == CLASSES.index(name))
        return self.rows[mine[start : start + count]]

    def space(self) -> Space:
        def equal(number: int) -> tuple[EmbeddedSet, EmbeddedSet]:
            a, b = self.sample(N, f"equal {number}", 2)
            return a, b

        def apart() -> tuple[EmbeddedSet, EmbeddedSet]:
            return EmbeddedSet("frogs", self.rows_of("frog", 0, N)), EmbeddedSet("ships", self.rows_of("ship", 0, N))

        return Space("images", self.embedder.background, equal, apart)


class GaussianWorld:
    """Classes are Gaussian clouds around random centres in 64 dimensions; a panel of 21 such classes measures the
    background, as for an encoder. Plainly different: two classes."""

    SPREAD = 0.7

    @cached_property
    def background(self) -> Background:
        rows = np.concatenate([self.draw(f"panel {k}", 50, "panel") for k in range(21)])
        names = [str(k) for k in range(21) for _ in range(50)]
        found = measure_background(rows, names, source="21 random clouds")
        return Background(
            id="gaussian-world", bandwidth=found.bandwidth, kappa=found.kappa, mean=found.mean, source="random clouds"
        )

    def centre(self, category: str) -> Rows:
        return generator(0, "centre", category).standard_normal(D)

    def draw(self, category: str, n: int, name: str, *, spread: float = SPREAD) -> Rows:
        """n rows of a category; `name` seeds the draw."""
        return self.centre(category) + spread * generator(0, "rows", category, name).standard_normal((n, D))

    def pair(self, a: Rows, b: Rows) -> tuple[EmbeddedSet, EmbeddedSet]:
        return EmbeddedSet("a", a), EmbeddedSet("b", b)

    def space(self) -> Space:
        def equal(number: int) -> tuple[EmbeddedSet, EmbeddedSet]:
            return self.pair(self.draw("0", N, f"a {number}"), self.draw("0", N, f"b {number}"))

        return Space(
            "clouds", self.background, equal, lambda: self.pair(self.draw("0", N, "a"), self.draw("1", N, "a"))
        )
