"""Cosines of two sets: the mean over all pairs, the same relative to each set's own, and past the encoder's cone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.unit_pairs import where_independent
from semsim_pipeline.records import Background, MetricValue, not_computed

MEMO = ("cosine", "directions")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Directions:
    """n, the mean unit row float64 [d], and the sum of the unit rows' squared lengths (n, to rounding)."""

    n: int
    mean: NDArray[np.float64]
    squares: float

    @property
    def within(self) -> float | None:
        """Mean cosine of two different rows, in [-1/(n-1), 1]; None for a single row, which has no partner."""
        if self.n < 2:
            return None
        return float((self.n * self.n * (self.mean @ self.mean) - self.squares) / (self.n * (self.n - 1)))


def _unit_blocks(side: EmbeddedSet) -> list[tuple[int, int]]:
    return [(i, min(i + TILE_ROWS, len(side))) for i in range(0, len(side), TILE_ROWS)]


def _unit_block(side: EmbeddedSet, start: int, stop: int) -> NDArray[np.float64]:
    block = side.unit_at(slice(start, stop))
    return np.asarray(block, np.float64)


def directions_of(side: EmbeddedSet) -> Directions:
    """A set's mean direction, computed once per set in float64 whatever the rows' dtype.

    Raises InvalidEmbeddingsError on a zero row. Memory: one block of 1,024 rows in float64.
    """
    found = side.memo.get(MEMO)
    if not isinstance(found, Directions):
        total, squares = np.zeros(side.dim), 0.0
        for start, stop in _unit_blocks(side):
            block = _unit_block(side, start, stop)
            total += block.sum(axis=0)
            squares += float(np.einsum("ij,ij->", block, block))
        found = Directions(n=len(side), mean=total / len(side), squares=squares)
        side.memo[MEMO] = found
    return found


def mean_cosine(reference: EmbeddedSet, candidate: EmbeddedSet) -> float:
    """Mean cosine over all n·m pairs, in [-1, 1]: the product of the two mean unit rows, never the n × m matrix.

    Raises InvalidEmbeddingsError on a zero row. Memory: one block. Checked against: scikit-learn (1e-12).
    """
    return float(directions_of(reference).mean @ directions_of(candidate).mean)


def pooled_within(reference: Directions, candidate: Directions) -> float | None:
    """Mean cosine of two different rows of both sets together: what a cross mean is expected to be when the rows'
    sides are drawn by lot (every pair of rows is then a cross pair equally often)."""
    n, m = reference.n, candidate.n
    mean = (n * reference.mean + m * candidate.mean) / (n + m)
    return Directions(n=n + m, mean=mean, squares=reference.squares + candidate.squares).within


def centred_null(background: Background, reference: Directions, candidate: Directions) -> float | None:
    """Expected cosine of two means of n and m rows of one distribution, seen from the background's mean.

    Both means miss the true one by chance, which turns them apart: δ²/√((δ² + σ²/n)(δ² + σ²/m)), δ the pooled mean's
    distance from the background's, freed of its own error, and σ² the pooled rows' variance. None without spread.
    """
    within = pooled_within(reference, candidate)
    if within is None or background.mean is None:
        return None
    n, m = reference.n, candidate.n
    variance = max(0.0, 1.0 - within)
    gap = (n * reference.mean + m * candidate.mean) / (n + m) - background.mean
    square = max(0.0, float(gap @ gap) - variance / (n + m))
    lengths = (square + variance / n) * (square + variance / m)
    return square / math.sqrt(lengths) if lengths > 0 else None


def _relative(cross: float, reference: Directions, candidate: Directions) -> MetricValue:
    within_a, within_b = reference.within, candidate.within
    if within_a is None or within_b is None:
        short = ("reference", reference.n) if within_a is None else ("candidate", candidate.n)
        return not_computed(f"needs at least 2 images a side; {short[0]} has {short[1]}")
    if within_a <= 0 or within_b <= 0:
        return not_computed(
            f"undefined: the mean cosine within a set is not positive (reference {within_a:.4g}, candidate "
            f"{within_b:.4g}), so there is nothing to be relative to"
        )
    # Two roots, not the root of a product: the product of two tiny means underflows to zero.
    ratio = cross / math.sqrt(within_a) / math.sqrt(within_b)
    return MetricValue(value=ratio, null=1.0, detail={"within_reference": within_a, "within_candidate": within_b})


def _centred(background: Background | None, reference: Directions, candidate: Directions) -> MetricValue:
    if background is None or background.mean is None:
        return not_computed("needs the encoder's background mean; calibrate the encoder on a panel to have one")
    if background.mean.shape != reference.mean.shape:
        return not_computed(
            f"the background is of width {len(background.mean)} and the rows of width {len(reference.mean)}: "
            "it belongs to another encoder"
        )
    a, b = reference.mean - background.mean, candidate.mean - background.mean
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(lengths) <= 1e-12:
        return not_computed("undefined: a side's mean is the background's mean, so it has no direction from it")
    cosine = float((a / lengths[0]) @ (b / lengths[1]))
    return MetricValue(
        # Rounding alone can leave the interval, by an ulp or two.
        value=min(1.0, max(-1.0, cosine)),
        null=centred_null(background, reference, candidate),
        detail={"reference_length": lengths[0], "candidate_length": lengths[1]},
    )


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """All three cosines of a pair; InvalidEmbeddingsError on a zero row."""
    from semsim_pipeline.metrics.cosine_interval import interval_reason, mean_cosine_interval

    a, b = directions_of(pair.reference), directions_of(pair.candidate)
    cross = mean_cosine(pair.reference, pair.candidate)
    within = {"within_reference": a.within, "within_candidate": b.within}
    found = {
        "mean_cosine": MetricValue(
            value=min(1.0, max(-1.0, cross)),
            interval=mean_cosine_interval(pair.reference, pair.candidate),
            null=pooled_within(a, b),
            reason=interval_reason(pair.reference, pair.candidate),
            detail={name: value for name, value in within.items() if value is not None},
        ),
        "relative_cosine": _relative(cross, a, b),
        "centred_cosine": _centred(pair.background, a, b),
    }
    return {name: where_independent(value, pair) for name, value in found.items()}


FACTS = (
    MetricFacts(
        name="mean_cosine",
        group="location",
        cost="one pass",
        symmetric=True,
        higher_is_closer=True,
        range=(-1.0, 1.0),
        at_identity=None,
        rotation_invariant=True,
        min_samples=1,
        meaning="Average cosine over all cross pairs; read it only beside the same average within each set.",
        source="common practice; equals the product of the two mean unit rows",
    ),
    MetricFacts(
        name="relative_cosine",
        group="location",
        cost="one pass",
        symmetric=True,
        higher_is_closer=True,
        range=(-np.inf, np.inf),
        at_identity=None,
        rotation_invariant=True,
        min_samples=2,
        meaning="The mean cosine divided by what the two sets show within themselves; 1 where they share a mean.",
        source="cross / sqrt(within_A within_B), self-pairs excluded",
    ),
    MetricFacts(
        name="centred_cosine",
        group="location",
        cost="one pass",
        symmetric=True,
        higher_is_closer=True,
        range=(-1.0, 1.0),
        at_identity=1.0,
        # The background's mean stays where it is when the two sides are rotated.
        rotation_invariant=False,
        min_samples=1,
        meaning="Do both sets lean the same way from what the encoder says of unrelated images? 1 yes, -1 opposite.",
        source="Mu & Viswanath 2018 (common mean removed), with the encoder's background as the mean",
        needs=("background",),
    ),
)

METRICS.add("cosine", MetricFamily(name="cosine", facts=FACTS, compute=compute))
