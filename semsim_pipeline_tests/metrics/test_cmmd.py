"""CMMD keeps nine digits where the plain sum keeps three, for float32 rows and in every regime of cosines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.errors import InvalidEmbeddingsError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.cmmd import LARGEST, WIDTH, cmmd, cmmd_null, remainder_kernel
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics import oracles


def side(rows: np.ndarray) -> EmbeddedSet:
    return EmbeddedSet("side", rows)


def normal(n: int, d: int, seed: int, *, centre: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


def plain(reference: np.ndarray, candidate: np.ndarray) -> float:
    """The oracle's numbers, vectorised: expm1 of float64 squared distances."""
    a, b = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
            for x in (reference, candidate))  # fmt: skip

    def mean(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean([np.expm1(-((row - y) ** 2).sum(axis=1) / 200) for row in x]))

    return 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 9), m=st.integers(2, 9), seed=st.integers(0, 999), centre=st.sampled_from([0.0, 1.0, 20.0]))
def test_cmmd_equals_the_double_loop(n: int, m: int, seed: int, centre: float) -> None:
    a, b = normal(n, 3, seed, centre=centre), normal(m, 3, seed + 1000, centre=centre)
    assert cmmd(side(a), side(b), working_memory=0) == pytest.approx(oracles.cmmd(a, b), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("centre", "shift"), [(0.0, 0.0), (0.0, 0.5), (1.0, 0.0), (8.0, 0.0), (8.0, 0.05)])
def test_trap_float32_cancellation_nine_digits_stay(dtype: str, centre: float, shift: float) -> None:
    a = normal(400, 64, 0, centre=centre).astype(dtype)
    b = normal(300, 64, 1, centre=centre + shift).astype(dtype)
    assert cmmd(side(a), side(b)) == pytest.approx(plain(a, b), rel=1e-9)


def test_the_plain_float32_sum_does_lose_them() -> None:
    # What the test above would look like on the obvious code: it can fail.
    a, b = (normal(400, 64, s, centre=8.0) for s in (0, 1))
    unit = [(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (a, b)]
    means = [np.exp((x @ y.T - 1) / np.float32(100)).mean() for x, y in ((unit[0], unit[0]), (unit[1], unit[1]), unit)]
    assert abs(1000 * float(means[0] + means[1] - 2 * means[2]) / plain(a, b) - 1) > 1e-3


@pytest.mark.parametrize("centre", [-1.0, 0.0, 0.9])
def test_the_series_of_the_remainder_is_within_its_stated_error(centre: float) -> None:
    cosines = np.linspace(-1, 1, 201)
    t = (cosines.astype(np.longdouble) - centre) / WIDTH
    exact = sum(t**k / np.longdouble(float(np.prod(np.arange(1, k + 1)))) for k in range(3, 16))
    assert np.abs(remainder_kernel(centre)(cosines.copy()) - exact).max() < 3e-16


def test_opposite_points_reach_the_range_s_end_and_equal_ones_zero() -> None:
    one = np.tile([[1.0, 0.0]], (5, 1))
    assert cmmd(side(one), side(-one)) == pytest.approx(LARGEST, rel=1e-9)
    assert cmmd(side(one), side(one * 3)) == 0


def test_the_null_is_the_mean_of_equal_distributions() -> None:
    pairs = [(side(normal(40, 6, s, centre=0.5)), side(normal(60, 6, 500 + s, centre=0.5))) for s in range(400)]
    values, nulls = [cmmd(*pair) for pair in pairs], [cmmd_null(*pair) for pair in pairs]
    assert np.mean(values) == pytest.approx(np.mean(nulls), abs=3 * np.std(values) / 400**0.5)
    a, b = pairs[0]
    assert score_card(Pair(reference=a, candidate=b), ["cmmd"])["cmmd"].null == nulls[0]


def test_a_zero_row_is_refused_in_words() -> None:
    rows = normal(5, 3, 0)
    rows[1] = 0
    with pytest.raises(InvalidEmbeddingsError, match="all zeros"):
        cmmd(side(rows), side(rows))
