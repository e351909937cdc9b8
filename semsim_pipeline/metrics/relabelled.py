"""Noise floors of distances between rows: the metric itself on the pooled images, which is whose drawn by lot.

As `noise_floor` does it for Gaussian statistics: the mean of the permutation null at the pair's own sizes. Precision
falls with n (at d = 512, of equal Gaussian sets: 0.717, 0.675 and 0.642 at 2,000, 5,000 and 10,000), so where a side
has more than MOST_ROWS images the floor says at which sizes it was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.prdc import SupportOverlap, precision_recall_density_coverage
from semsim_pipeline.metrics.resampling import content_order, permutation_swaps, set_code
from semsim_pipeline.metrics.unit_pairs import UNKNOWN
from semsim_pipeline.metrics.units import Layout, layout_of
from semsim_pipeline.records import MetricValue
from semsim_pipeline.seeding import generator

MOST_ROWS = 10_000
"""Images a side of a floor of nearest neighbours: a relabelling of as many costs 3 CPU-seconds at d = 512, and time
grows with the square."""

SETTLED_BY = 4000
"""Relabellings × images a side: 2 for large sides, up to MOST_RELABELLINGS for small ones, whose floors are noisier."""
MOST_RELABELLINGS = 5

Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportFloor:
    """Means over relabelled images of the four in `SupportOverlap`; matched: of precision at the smaller side's size.

    sizes: images of the reference and candidate that they were measured at, the pair's own or MOST_ROWS; with groups
    about so many. The values are None where no relabelling left enough images.
    """

    precision: float | None
    recall: float | None
    density: float | None
    coverage: float | None
    matched: float | None
    sizes: tuple[int, int]


def relabellings(pair: Pair, count: int) -> Iterator[tuple[Rows, Rows]]:
    """Which rows of each side (bool [n], bool [m]) go over to the other; the first `count` of the p-value's draws."""
    a, b = pair.reference, pair.candidate
    swaps = permutation_swaps(a, b, layout_of(a, b), pair.seed, range(count))
    for column in range(count):
        yield swaps.reference[:, column].astype(bool), swaps.candidate[:, column].astype(bool)


def support_floor(pair: Pair) -> SupportFloor:
    """What `precision` and its kin show between relabelled images, thinned to at most MOST_ROWS a side; kept.

    Units (copies, groups) change sides whole, and stay whole when a side is thinned to MOST_ROWS, so that the floor is
    that of images in such company. At equal sizes precision and recall have one expectation, which is `matched`.
    Cost: two to five times the four metrics themselves on at most 10,000 × 10,000 images, as much again at the
    smaller size where sizes differ. Memory: the rows once more.
    """
    key = ("support floor",)
    found = pair.memo.get(key)
    if not isinstance(found, SupportFloor):
        found = _support_floor(pair)
        pair.memo[key] = found
    return found


def beside(floor: SupportFloor, value: MetricValue, expected: float | None, sizes: tuple[int, int]) -> MetricValue:
    """The value with a null of this floor; where it is of fewer images than `sizes`, those it is of, in words too."""
    if expected is None:
        return replace(value, null=None, reason=UNKNOWN)
    n, m = (min(have, most) for have, most in zip(sizes, floor.sizes, strict=True))
    if (n, m) == sizes:
        return replace(value, null=expected)
    return replace(
        value,
        null=expected,
        reason=f"“if equal” is measured with {n:,} against {m:,} images; it depends on their number",
        detail={**value.detail, "null_rows_reference": float(n), "null_rows_candidate": float(m)},
    )


def _support_floor(pair: Pair) -> SupportFloor:
    n, m = min(len(pair.reference), MOST_ROWS), min(len(pair.candidate), MOST_ROWS)
    small, count = min(n, m), max(2, min(MOST_RELABELLINGS, SETTLED_BY // max(n, m)))
    layout = layout_of(pair.reference, pair.candidate)
    rows: list[tuple[float, ...]] = []
    for number, (from_a, from_b) in enumerate(relabellings(pair, count)):
        draw = _Draw(pair=pair, layout=layout, number=number)
        left, right = draw.side((~from_a, from_b), n), draw.side((from_a, ~from_b), m)
        try:
            found = draw.overlap(left, right)
            equal = found if n == m else draw.overlap(draw.cut(left, small), draw.cut(right, small))
        except (TooFewSamplesError, UndefinedMetricError):
            continue  # a few large groups can leave a side without enough images; that draw says nothing
        matched = (equal.precision + equal.recall) / 2
        rows.append((found.precision, found.recall, found.density, found.coverage, matched))
    if not rows:
        return SupportFloor(precision=None, recall=None, density=None, coverage=None, matched=None, sizes=(n, m))
    precision, recall, density, coverage, matched = (float(mean) for mean in np.mean(rows, axis=0))
    if n == m:
        precision = recall = matched
    return SupportFloor(
        precision=precision, recall=recall, density=density, coverage=coverage, matched=matched, sizes=(n, m)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """Rows that make up one new side: their places in the reference and in the candidate, in the order of content."""

    places: tuple[NDArray[np.intp], NDArray[np.intp]]

    def __len__(self) -> int:
        return sum(map(len, self.places))

    def take(self, kept: Rows) -> _Side:
        """Those of the rows (the reference's first) that are kept."""
        split = len(self.places[0])
        return _Side(places=(self.places[0][kept[:split]], self.places[1][kept[split:]]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draw:
    """One relabelling."""

    pair: Pair
    layout: Layout
    number: int

    @property
    def sides(self) -> tuple[EmbeddedSet, EmbeddedSet]:
        return self.pair.reference, self.pair.candidate

    def side(self, kept: tuple[Rows, Rows], size: int) -> _Side:
        """The images that the draw gives a new side, thinned to about `size` by whole units where that is the cap."""
        # In the order of content, so that neither the rows' order nor the sides' roles decide who is taken.
        orders = [content_order(side) for side in self.sides]
        found = _Side(places=(orders[0][kept[0][orders[0]]], orders[1][kept[1][orders[1]]]))
        if size < MOST_ROWS or len(found) <= size:
            return found
        units = (self.layout.reference.unit, self.layout.candidate.unit)
        unit = np.concatenate([own[at] for own, at in zip(units, found.places, strict=True)])
        _, index, counts = np.unique(unit, return_inverse=True, return_counts=True)
        order = self._rng(len(found), size).permutation(len(counts))
        taken = np.zeros(len(counts), bool)
        taken[order[np.cumsum(counts[order]) <= size]] = True
        return found.take(taken[index.reshape(-1)])

    def cut(self, side: _Side, size: int) -> _Side:
        """Thinned to `size` by single images, as `precision_matched` thins."""
        if len(side) <= size:
            return side
        codes = np.concatenate([own.content_codes[at] for own, at in zip(self.sides, side.places, strict=True)])
        kept = np.zeros(len(side), bool)
        kept[np.argsort(codes, kind="stable")[self._rng(len(side), size).choice(len(side), size, replace=False)]] = True
        return side.take(kept)

    def overlap(self, left: _Side, right: _Side) -> SupportOverlap:
        """Of the two new sides. Raises TooFewSamplesError, UndefinedMetricError."""
        if not len(left) or not len(right):
            raise TooFewSamplesError("a relabelling left a side without images")
        sets = [
            EmbeddedSet(
                "relabelled", np.concatenate([own.rows[at] for own, at in zip(self.sides, side.places, strict=True)])
            )
            for side in (left, right)
        ]
        return precision_recall_density_coverage(sets[0], sets[1], working_memory=self.pair.working_memory)

    def _rng(self, have: int, size: int) -> np.random.Generator:
        codes = "+".join(sorted(map(set_code, self.sides)))
        return generator(self.pair.seed, "support floor", codes, self.number, have, size)
