"""Many tests at once: p-values adjusted over a comparison, and how many permutations such a test needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PERMUTATION_LADDER = ((50, 999), (250, 4999))
"""(tests at most, permutations of each): never fewer than 20 a test, so that a lone difference can reach 5 % by either
adjustment. Steps and not a slope: a comparison that grows by one pair hardly ever re-scores the others."""

MOST_PERMUTATIONS = 19_999
"""Enough for 1,000 tests. With more, at least one pair in 1,000 has to differ before any can be called different."""


def permutations_for(tests: int) -> int:
    """How many permutations each test of a comparison may use; equal pairs stop long before (Besag & Clifford 1991).

    Steps of one sequence: a p-value above 0.02 is the same on every step, a smaller one is only resolved further.

    >>> permutations_for(1), permutations_for(50), permutations_for(51), permutations_for(190), permutations_for(400)
    (999, 999, 4999, 4999, 19999)
    """
    return next((permutations for most, permutations in PERMUTATION_LADDER if tests <= most), MOST_PERMUTATIONS)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: calling all those at most q different makes at most a share q of these
    calls wrong on average, for tests that are independent or err in the same direction (pairs that share a set do).

    Never below the raw value. Source: Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001. Checked against:
    scipy.stats.false_discovery_control, plain loops. Raises ValueError: NaN, or no probability.
    """
    raw: NDArray[np.float64] = np.asarray(p_values, np.float64)
    if not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError(f"p-values are within 0 and 1; found {[p for p in p_values if not 0 <= p <= 1][:3]}")
    order = np.argsort(-raw, kind="stable")
    # Of the largest p first. scipy.stats has this function, and takes every command a second to import.
    falling = np.minimum.accumulate(raw[order] * (len(raw) / np.arange(len(raw), 0, -1)))
    return _in_order_given(falling, order)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: with those at most α called different, the chance of even one wrong call
    is at most α, however the tests depend on each other.

    Never below Benjamini–Hochberg's. Source: Holm 1979.
    """
    raw: NDArray[np.float64] = np.asarray(p_values, np.float64)
    order = np.argsort(raw, kind="stable")
    rising = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    return _in_order_given(rising, order)


def _in_order_given(adjusted: NDArray[np.float64], order: NDArray[np.intp]) -> list[float]:
    out = np.empty_like(adjusted)
    out[order] = np.minimum(1.0, adjusted)
    return [float(p) for p in out]
