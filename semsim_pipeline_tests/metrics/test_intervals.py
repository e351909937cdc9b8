"""Intervals of KID, precision and recall, and the AUC against closed forms and plain loops; their coverage over many
samples is in `benchmarks/simulation_study.py`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from semsim_pipeline.metrics import kid_interval as module
from semsim_pipeline.metrics.base import Z_95, EmbeddedSet, Pair
from semsim_pipeline.metrics.c2st_interval import auc_interval, training_noise
from semsim_pipeline.metrics.gap_interval import inverted, similarity_interval
from semsim_pipeline.metrics.kid import kid
from semsim_pipeline.metrics.kid_interval import kid_interval
from semsim_pipeline.metrics.support_interval import CENTRES_NOISE, share_interval

Rows = NDArray[np.float64]


def cloud(seed: int, n: int, shift: float = 0.0, d: int = 5) -> Rows:
    return np.asarray(1 + shift + np.random.default_rng(seed).normal(size=(n, d)))


def pair_of(a: Rows, b: Rows, groups: list[str | None] | None = None) -> Pair:
    return Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b, groups=groups))


def plain_error_model(a: Rows, b: Rows) -> tuple[float, float]:
    """The variance of KID at distance 0 and its growth, pair by pair."""
    n, m, d = len(a), len(b), a.shape[1]

    def k(x: Rows, y: Rows) -> float:
        return float((x @ y / d + 1) ** 3)

    own_a = [sum(k(a[i], a[j]) for j in range(n) if j != i) / (n - 1) for i in range(n)]
    own_b = [sum(k(b[i], b[j]) for j in range(m) if j != i) / (m - 1) for i in range(m)]
    to_b = [sum(k(a[i], b[j]) for j in range(m)) / m for i in range(n)]
    to_a = [sum(k(a[i], b[j]) for i in range(n)) / n for j in range(m)]
    mean_a, mean_b, cross = sum(own_a) / n, sum(own_b) / m, sum(to_b) / n
    aa = sum((k(a[i], a[j]) - own_a[i] - own_a[j] + mean_a) ** 2 for i in range(n) for j in range(n) if i != j)
    bb = sum((k(b[i], b[j]) - own_b[i] - own_b[j] + mean_b) ** 2 for i in range(m) for j in range(m) if i != j)
    ab = sum((k(a[i], b[j]) - to_b[i] - to_a[j] + cross) ** 2 for i in range(n) for j in range(m))
    aa, bb, ab = aa / (n * (n - 3)), bb / (m * (m - 3)), ab / ((n - 1) * (m - 1))
    at_zero = 2 * aa / (n * (n - 1)) + 2 * bb / (m * (m - 1)) + 4 * ab / (n * m)
    moved = 4 / n * max(aa / (n - 1) + ab / m, float(np.var(np.subtract(own_a, to_b), ddof=1)))
    moved += 4 / m * max(bb / (m - 1) + ab / n, float(np.var(np.subtract(own_b, to_a), ddof=1)))
    biased = sum(k(x, y) for x in a for y in a) / n**2 + sum(k(x, y) for x in b for y in b) / m**2 - 2 * cross
    return at_zero, moved / biased


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_kid_interval_equals_plain_loops(shift: float) -> None:
    a, b = cloud(1, 9), cloud(2, 7, shift)
    value = kid(EmbeddedSet("a", a), EmbeddedSet("b", b))
    assert kid_interval(pair_of(a, b), value) == pytest.approx(inverted(value, *plain_error_model(a, b)), rel=1e-9)


@given(st.floats(-1.0, 5.0), st.floats(1e-6, 1.0), st.floats(0.0, 1.0))
def test_an_inverted_interval_ends_where_the_error_says(value: float, at_zero: float, slope: float) -> None:
    low, high = inverted(value, at_zero, slope)
    assert low <= value <= high
    for end in (low, high):
        reach = Z_95 * math.sqrt(at_zero + slope * max(end, 0.0))
        # Zero is an end where the error jumps from one branch to the other.
        assert end == 0 or abs(value - end) == pytest.approx(reach, rel=1e-6)


@given(st.floats(0.3, 1.05), st.floats(1e-8, 1e-3))
def test_the_headlines_interval_is_of_its_gap(similarity: float, variance: float) -> None:
    permuted = 1 + math.sqrt(variance / 2) * np.random.default_rng(0).normal(size=99)
    low, high = similarity_interval(similarity, variance, permuted)
    assert low <= similarity <= high
    # Where the sets are equal the relabelled spread is all there is.
    assert high >= min(1.0, similarity + 1.9 * float(permuted.std(ddof=1)) * 0.9)


def test_far_from_equality_the_headlines_interval_is_the_jackknifes() -> None:
    permuted = 1 + 1e-5 * np.random.default_rng(0).normal(size=99)
    low, high = similarity_interval(0.6, 1e-4, permuted)
    assert (low, high) == pytest.approx((0.6 - Z_95 * 0.01, 0.6 + Z_95 * 0.01), abs=0.0006)


def test_without_any_spread_the_headlines_interval_is_its_value() -> None:
    assert similarity_interval(1.0, 0.0, np.ones(99)) == (1.0, 1.0)
    assert similarity_interval(0.9, 0.0, np.full(99, np.nan)) == (0.9, 0.9)


def test_a_gap_of_mere_noise_makes_no_wild_slope() -> None:
    permuted = 1 + 0.01 * np.random.default_rng(0).normal(size=99)
    for similarity in (0.99999, 1.0, 1.01):
        low, high = similarity_interval(similarity, 3e-4, permuted)
        assert high - low < 0.08


def test_more_images_make_kid_surer_and_copies_do_not() -> None:
    def width(pair: Pair) -> float:
        found = kid_interval(pair, kid(pair.reference, pair.candidate))
        assert found is not None
        return found[1] - found[0]

    few = width(pair_of(cloud(1, 100), cloud(2, 100, 0.5)))
    many = width(pair_of(cloud(1, 900), cloud(2, 900, 0.5)))
    assert many < few / 2
    # Four frames of each of 50 bursts are not 200 images.
    frames = np.repeat(cloud(3, 50, 0.5), 4, axis=0) + 1e-3 * cloud(4, 200)
    names: list[str | None] = [str(i // 4) for i in range(200)]
    a = cloud(1, 200)
    assert width(pair_of(a, frames, names)) > 1.3 * width(pair_of(a, frames))


def test_kid_interval_is_none_where_nothing_can_be_said() -> None:
    assert kid_interval(pair_of(cloud(1, 3), cloud(2, 50)), 0.0) is None
    assert kid_interval(pair_of(np.ones((30, 5)), cloud(2, 50)), 0.0) is None  # one image, thirty times
    assert kid_interval(pair_of(1e90 * cloud(1, 20), cloud(2, 20)), 0.0) is None


def test_a_sample_of_a_large_side_gives_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(cloud(1, 600), cloud(2, 600, 0.5))
    value = kid(pair.reference, pair.candidate)
    whole = kid_interval(pair, value)
    monkeypatch.setattr(module, "MOST_ROWS", 300)
    some = kid_interval(pair, value)
    assert whole is not None
    assert some is not None
    assert some != whole
    assert some[1] - some[0] == pytest.approx(whole[1] - whole[0], rel=0.15)


@given(st.integers(0, 60), st.integers(5, 60))
def test_with_certain_centres_it_is_wilsons_interval(inside: int, points: int) -> None:
    inside = min(inside, points)
    wilson = binomtest(inside, points).proportion_ci(method="wilson")
    found = share_interval(inside / points, points, 10**12)
    assert found == pytest.approx((wilson.low, wilson.high), abs=1e-6)


def test_centres_add_their_noise() -> None:
    low, high = share_interval(0.8, 100, 100)
    assert (low, high) == pytest.approx(share_interval(0.8, 10**12, int(100 * CENTRES_NOISE / 1.6)), abs=0.01)
    assert share_interval(1.0, 50, 50)[1] == 1.0
    assert share_interval(1.0, 50, 50)[0] < 0.95
    assert share_interval(0.0, 50, 50)[0] == 0.0


def test_training_noise_is_none_for_one_direction_and_all_for_unrelated_ones() -> None:
    rows, labels = cloud(1, 400, d=50), np.repeat([0, 1], 200)
    assert training_noise(rows, labels, np.tile(cloud(2, 1, d=50), (5, 1))) == pytest.approx(0.0, abs=1e-9)
    assert training_noise(rows, labels, np.random.default_rng(3).normal(size=(5, 50))) == 1.0
    assert training_noise(rows, labels, np.zeros((5, 50))) == 1.0


def test_five_classifiers_of_pure_noise_count_as_noise() -> None:
    """Each fold's direction is a fifth of the noise; a classifier sees four of them."""
    parts = np.random.default_rng(0).normal(size=(5, 2000))
    weights = parts.sum(axis=0) - parts
    rows, labels = np.random.default_rng(1).normal(size=(3000, 2000)), np.repeat([0, 1], 1500)
    signal = 5 * np.random.default_rng(2).normal(size=2000)
    assert training_noise(rows, labels, weights) == pytest.approx(1.0, abs=0.1)
    assert training_noise(rows, labels, weights + signal) < 0.3


def test_auc_interval_at_its_ends() -> None:
    low, high = auc_interval(0.7, 1e-3, 0.0, (500, 400))
    assert 0.7 - low == pytest.approx(Z_95 * math.sqrt(1e-3), rel=0.06)
    assert auc_interval(0.7, 1e-3, 1.0, (500, 400))[0] < low
    assert auc_interval(0.7, 1e-3, 0.0, (500, 20))[0] < low
    assert auc_interval(1.0, 0.0, 0.0, (500, 20)) == pytest.approx((20 / (20 + Z_95**2), 1.0))
    assert auc_interval(0.0, 0.0, 0.0, (500, 20)) == pytest.approx((0.0, 1 - 20 / (20 + Z_95**2)))
    assert 0 <= auc_interval(0.999999, 1e-3, 1.0, (20, 20))[0] < 0.999999
    assert high < 1
    # Scores that all tie are no certainty: as wide as Mann & Whitney's for equal distributions.
    low, high = auc_interval(0.5, 0.0, 0.0, (500, 400))
    assert (high - low) / 2 == pytest.approx(Z_95 * math.sqrt(901 / (12 * 500 * 400)), rel=0.02)
