"""Noise floors of distances between rows: the metric itself on the pooled images, which is whose drawn by lot.

As `noise_floor` does it for Gaussian statistics: the mean of the permutation null at the pair's own sizes, or at
MOST_ROWS where a side has more, beyond which precision hardly depends on n.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.prdc import precision_recall_density_coverage
from semsim_pipeline.metrics.resampling import content_order, permutation_swaps, set_code
from semsim_pipeline.metrics.units import layout_of
from semsim_pipeline.seeding import generator

MOST_ROWS = 2000
"""Images a side of a floor of nearest neighbours."""

SETTLED_BY = 4000
"""Relabellings × images a side: 2 for large sides, up to MOST_RELABELLINGS for small ones, whose floors are noisier."""
MOST_RELABELLINGS = 5

Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportFloor:
    """Precision and recall of relabelled images, in [0, 1], at sizes (n, m), and at the smaller size on both sides.

    size: images of the larger side that they were measured at. None where no relabelling left enough images.
    """

    precision: float | None
    recall: float | None
    matched: float | None
    size: int


def relabellings(pair: Pair, count: int) -> Iterator[tuple[Rows, Rows]]:
    """Which rows of each side (bool [n], bool [m]) go over to the other; the first `count` of the p-value's draws."""
    a, b = pair.reference, pair.candidate
    swaps = permutation_swaps(a, b, layout_of(a, b), pair.seed, range(count))
    for column in range(count):
        yield swaps.reference[:, column].astype(bool), swaps.candidate[:, column].astype(bool)


def support_floor(pair: Pair) -> SupportFloor:
    """What `precision` and `recall` show between relabelled images, thinned to at most MOST_ROWS a side; kept.

    At equal sizes precision and recall have one expectation then, which is `matched`.
    Cost: two passes over at most 2,000 × 2,000 distances where sizes are equal, four elsewhere.
    """
    key = ("support floor",)
    found = pair.memo.get(key)
    if not isinstance(found, SupportFloor):
        found = _support_floor(pair)
        pair.memo[key] = found
    return found


def _support_floor(pair: Pair) -> SupportFloor:
    n, m = min(len(pair.reference), MOST_ROWS), min(len(pair.candidate), MOST_ROWS)
    small, count = min(n, m), max(2, min(MOST_RELABELLINGS, SETTLED_BY // max(n, m)))
    rows: list[tuple[float, float, float]] = []
    for number, (from_a, from_b) in enumerate(relabellings(pair, count)):
        draw = _Draw(pair=pair, left=(~from_a, from_b), right=(from_a, ~from_b), number=number)
        try:
            precision, recall = draw.precision_recall(n, m)
            equal = (precision, recall) if n == m else draw.precision_recall(small, small)
        except (TooFewSamplesError, UndefinedMetricError):
            continue  # a few large groups can leave a side without enough images; that draw says nothing
        rows.append((precision, recall, (equal[0] + equal[1]) / 2))
    if not rows:
        return SupportFloor(precision=None, recall=None, matched=None, size=max(n, m))
    precision, recall, matched = (float(mean) for mean in np.mean(rows, axis=0))
    if n == m:
        precision = recall = matched
    return SupportFloor(precision=precision, recall=recall, matched=matched, size=max(n, m))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draw:
    """One relabelling. left, right: the rows of the reference and of the candidate that make up each new side."""

    pair: Pair
    left: tuple[Rows, Rows]
    right: tuple[Rows, Rows]
    number: int

    def precision_recall(self, n: int, m: int) -> tuple[float, float]:
        """Of the new sides, thinned to n and m images."""
        found = precision_recall_density_coverage(
            self._thinned(self.left, n), self._thinned(self.right, m), working_memory=self.pair.working_memory
        )
        return found.precision, found.recall

    def _thinned(self, kept: tuple[Rows, Rows], size: int) -> EmbeddedSet:
        sides = (self.pair.reference, self.pair.candidate)
        # Places in the order of content, so that neither the rows' order nor the sides' roles decide who is taken.
        places = [content_order(side)[rows[content_order(side)]] for side, rows in zip(sides, kept, strict=True)]
        have = sum(map(len, places))
        taken = np.ones(have, bool)
        if have > size:
            codes = "+".join(sorted(map(set_code, sides)))
            rng = generator(self.pair.seed, "support floor", codes, self.number, have, size)
            codes_of = np.concatenate([side.content_codes[at] for side, at in zip(sides, places, strict=True)])
            taken = np.zeros(have, bool)
            taken[np.argsort(codes_of, kind="stable")[rng.choice(have, size, replace=False)]] = True
        split = len(places[0])
        rows = [
            side.rows[at[part]] for side, at, part in zip(sides, places, (taken[:split], taken[split:]), strict=True)
        ]
        return EmbeddedSet("relabelled", np.concatenate(rows))
