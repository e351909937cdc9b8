"""What two samples of one distribution show at a pair's own sizes: Fréchet and shape with the labels permuted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.gaussians import Gaussian, gaussian_where, moments_where, parts_between
from semsim_pipeline.metrics.moments import Moments
from semsim_pipeline.metrics.resampling import permutation_swaps
from semsim_pipeline.metrics.units import layout_of

FEWEST_PERMUTATIONS, MOST_PERMUTATIONS = 2, 20
SETTLED_BY = 256
"""Permutations × directions: a distance is a sum over min(n, m, d) directions, so the more of them there are, the
fewer permutations settle its mean."""

MOST_KEPT = 32 << 20
"""Bytes of one side's relabelled moments that are kept for its other pairs: two permutations' up to d = 1,024."""

Part = tuple[EmbeddedSet, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """Means over permutations; distance and covariance_term >= 0, overlap in [0, 1], rank_ratio > 0.

    All None where no permutation left both sides two images, or the pooled rows have no spread.
    """

    distance: float | None
    covariance_term: float | None
    overlap: float | None
    rank_ratio: float | None


def permutations_for(n: int, m: int, d: int) -> int:
    """How many permutations a floor is the mean of: 2 from 128 directions on, at most 20.

    >>> permutations_for(10_000, 10_000, 512), permutations_for(180, 170, 437), permutations_for(90, 70, 12)
    (2, 2, 20)
    """
    return min(MOST_PERMUTATIONS, max(FEWEST_PERMUTATIONS, SETTLED_BY // min(n, m, d)))


def noise_floor(pair: Pair) -> NoiseFloor:
    """The values that the pair's own pooled images show once which image is whose is drawn by lot, sizes kept.

    Estimates: the expectation of the statistic for samples of n and m images of one distribution, the distribution
    being the pooled rows' (the two sides mixed n : m). It is the mean of the permutation null, exact for equal
    distributions; where the sides differ, their gap counts as spread of the pool, which raises the floor of a
    distance a little. Not a quantile: half of all equal pairs lie above it. Units (copies, groups) move whole, and
    copies on both sides add nothing to a floor. Computed once per pair; the permutations are the p-value's first.
    Cost: twice the distance itself where min(n, m, d) > 127; more permutations only where they are small. Which of a
    side's images go over depends on how many units the other has, so their moments serve all partners of one size and
    no row is read again: except where the sides share images, and where a side has fewer images than d (its rows are
    smaller than moments).
    Memory: four d × d matrices and one block of rows, or (n + m)·d·8 bytes where n < d; at most 32 MiB a side kept.
    """
    key = ("noise_floor",)
    found = pair.memo.get(key)
    if not isinstance(found, NoiseFloor):
        found = _measure(pair)
        pair.memo[key] = found
    return found


def _measure(pair: Pair) -> NoiseFloor:
    a, b = pair.reference, pair.candidate
    columns = range(permutations_for(len(a), len(b), a.dim))
    layout = layout_of(a, b)
    swaps = permutation_swaps(a, b, layout, pair.seed, columns)
    fitted = _gaussian if layout.sides_independent else gaussian_where
    rows: list[tuple[float, float, float, float]] = []
    for column in columns:
        from_a, from_b = (side[:, column].astype(bool) for side in (swaps.reference, swaps.candidate))
        try:
            left, right = fitted((a, ~from_a), (b, from_b)), fitted((b, ~from_b), (a, from_a))
            parts = parts_between(left, right)
            rows.append((parts.total, parts.covariance_term, parts.overlap, right.effective_rank / left.effective_rank))
        except (TooFewSamplesError, UndefinedMetricError):
            # Few large groups can leave a side without two images; that draw says nothing.
            continue
    if not rows:
        return NoiseFloor(distance=None, covariance_term=None, overlap=None, rank_ratio=None)
    distance, covariance_term, overlap, rank_ratio = (float(mean) for mean in np.mean(rows, axis=0))
    return NoiseFloor(distance=distance, covariance_term=covariance_term, overlap=overlap, rank_ratio=rank_ratio)


def _gaussian(stay: Part, come: Part) -> Gaussian:
    """`gaussian_where` of both, the same bit for bit, of moments that the sets keep."""
    if sum(int(chosen.sum()) for _, chosen in (stay, come)) < stay[0].dim:
        return gaussian_where(stay, come)
    return Gaussian.from_moments(_moments(*stay).merge(_moments(*come)))


def _moments(side: EmbeddedSet, chosen: NDArray[np.bool_]) -> Moments:
    """Moments of a set's marked rows, kept with it by which rows they are; the oldest give way."""
    key = ("noise_floor", "moments")
    kept = side.memo.get(key)
    if not isinstance(kept, dict):
        kept = side.memo[key] = {}
    name = hashlib.blake2b(np.packbits(chosen).tobytes(), digest_size=16).digest()
    found = kept.pop(name, None)
    if not isinstance(found, Moments):
        found = moments_where(side, chosen)
    kept[name] = found
    while len(kept) * found.scatter.nbytes > MOST_KEPT:
        del kept[next(iter(kept))]
    return found
