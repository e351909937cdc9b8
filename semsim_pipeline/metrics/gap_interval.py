"""Intervals for distances whose noise grows with the distance: KID, and how far the headline is below 1."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.metrics.base import Z_95

SMALLEST_GAP = 2.0


def inverted(value: float, at_zero: float, slope: float) -> tuple[float, float]:
    """The ends of {θ: (value - θ)² <= 1.96²·(at_zero + slope·max(θ, 0))}; contains the value.

    An estimate of a squared distance (an MMD²) has the variance `at_zero` where the distributions are equal, and more
    the farther they are apart. So a value that came out low also looks more certain than it is, and value ± 1.96 of
    its own error leaves the truth above it too often; here every θ is held against the error that θ would have.
    Source: Wilson 1927, for a share.

    >>> inverted(0.0, 1.0, 0.0)
    (-1.959963984540054, 1.959963984540054)
    """
    z2 = Z_95 * Z_95
    flat = Z_95 * math.sqrt(at_zero)
    shift = z2 * slope / 2
    # Beyond 0 the ends solve a quadratic; a value far below 0 is near no distance beyond 0, and it has no root.
    square = z2 * slope * value + shift * shift + z2 * at_zero
    root = math.sqrt(max(0.0, square))
    low, high = value + shift - root, value + shift + root
    return low if min(low, value) > 0 else value - flat, max(value + flat, high if square > 0 else value)


def similarity_interval(
    similarity: float, jackknife_variance: float, permuted: NDArray[np.float64]
) -> tuple[float, float]:
    """95 % interval of S, on its raw scale, by the gap 1 - S; contains S.

    permuted: S of relabelled rows, whose variance v is that of S where the distributions are equal. The jackknife
    counts that part twice (it is of second order) and the part that grows with the gap once: what is over 2v, per gap,
    is the slope. A gap within SMALLEST_GAP standard deviations of 0 is mostly noise and would make a wild slope: it
    counts as so much.
    """
    permuted = permuted[np.isfinite(permuted)]
    at_zero = float(permuted.var(ddof=1)) if len(permuted) > 1 else jackknife_variance
    gap = max(1 - similarity, SMALLEST_GAP * math.sqrt(at_zero))
    slope = max(0.0, jackknife_variance - 2 * at_zero) / gap if gap > 0 else 0.0
    low, high = inverted(1 - similarity, at_zero, slope)
    # 1 - (1 - S) may miss S by rounding.
    return min(similarity, 1 - high), max(similarity, 1 - low)
