"""Images in company: what pairs of one unit (copies, a burst) do to what two samples of one distribution show.

A mean over all pairs of images counts pairs of one unit, which are nearer than chance. Its expectation for two samples
of one distribution follows from the same mean over pairs of *different* units, which are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.units import own_units
from semsim_pipeline.records import MetricValue

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
RowsAt = Callable[[Places], Floats]
Between = Callable[[Floats, Floats], Floats]

FEW = 0.01
"""Share of a side's images in company up to which an expectation that takes all images as independent still holds:
each such image can move a share of neighbours or of balls by its own part only, so by less than that in all."""

UNKNOWN = (
    "without “if equal”: images that come in groups or copies are not independent, and what equal sets of them show "
    "is not known"
)
"""The reason beside a value that has no expectation for lack of independence."""

BLOCK = 256
"""Rows of a tile: small, because a tile is mostly pairs of different units where units are small."""


def in_company(side: EmbeddedSet) -> NDArray[np.bool_]:
    """bool [n]: images that share their unit with another image of this side."""
    _, inverse, counts = np.unique(own_units(side).unit, return_inverse=True, return_counts=True)
    together: NDArray[np.bool_] = counts[inverse.reshape(-1)] > 1
    return together


def nearly_independent(pair: Pair) -> bool:
    """At most FEW of either side's images are in company (see there)."""
    return all(float(in_company(side).mean()) <= FEW for side in (pair.reference, pair.candidate))


def where_independent(value: MetricValue, pair: Pair) -> MetricValue:
    """The value as it is where the images are nearly independent; else without its null, and UNKNOWN beside it.

    A reason that it has already comes first; a value without a null stays as it is.
    """
    if value.null is None or nearly_independent(pair):
        return value
    return replace(value, null=None, reason="; ".join(filter(None, (value.reason, UNKNOWN))))


def pairs_in_company(side: EmbeddedSet) -> int:
    """How many ordered pairs of two different images are of one unit."""
    _, counts = np.unique(own_units(side).unit, return_counts=True)
    return int((counts * (counts - 1)).sum())


def company_sum(side: EmbeddedSet, rows_at: RowsAt, between: Between) -> float:
    """Sum of `between` over the ordered pairs of two different images of one unit; 0 where there are none.

    rows_at: some of the rows in float64 [r, d]. between: the symmetric values [r, c] of two blocks of rows.
    Cost: n·256 values where units are small, s² of a unit of s images. Memory: two blocks and three tiles of 256 rows.
    """
    unit = own_units(side).unit
    together = np.flatnonzero(in_company(side))
    order = together[np.argsort(unit[together], kind="stable")]
    codes = unit[order]
    ends = np.searchsorted(codes, codes, side="right")
    total = 0.0
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        left = rows_at(order[start:stop])
        for first in range(start, int(ends[stop - 1]), BLOCK):
            last = min(first + BLOCK, int(ends[stop - 1]))
            values = between(left, left if first == start else rows_at(order[first:last]))
            same = codes[start:stop, None] == codes[None, first:last]
            # On the diagonal each pair is met twice, and each image with itself.
            total += float(values[np.triu(same, 1) if first == start else same].sum())
    return 2 * total


def mean_apart(side: EmbeddedSet, mean: float, rows_at: RowsAt, between: Between) -> float | None:
    """Mean of `between` over ordered pairs of images of different units; None where all images are of one unit.

    mean: over all ordered pairs of different images. rows_at, between, cost and memory: see `company_sum`.
    """
    every = len(side) * (len(side) - 1)
    left = every - pairs_in_company(side)
    return (mean * every - company_sum(side, rows_at, between)) / left if left else None
