from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.metrics.sliced_wasserstein import directions, quantile_steps, sliced_wasserstein, squared_transport
from semsim_pipeline_tests.metrics import oracles


def rows(n: int, d: int, seed: int, *, centre: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * spread + centre


def side(array: np.ndarray) -> EmbeddedSet:
    return EmbeddedSet("side", array)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (7, 5), (4, 12), (1, 6)])
def test_equals_the_oracle_in_fractions(n: int, m: int) -> None:
    a, b, onto = rows(n, 3, 0), rows(m, 3, 1, centre=0.4), directions(3, 5)
    assert sliced_wasserstein(side(a), side(b), onto=onto)[0] == pytest.approx(
        oracles.sliced_wasserstein(a, b, onto), rel=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(a=st.lists(st.integers(-9, 9), min_size=1, max_size=12), b=st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_one_dimension_equals_the_oracle_with_ties(a: list[int], b: list[int]) -> None:
    left, right = (np.sort(np.array([x], float), axis=1) for x in (a, b))
    expected = oracles.quantile_w2_square([float(x) for x in a], [float(x) for x in b])
    assert squared_transport(left, right)[0] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 400), m=st.integers(1, 400))
def test_steps_give_every_value_its_share(n: int, m: int) -> None:
    at, across, width = quantile_steps(n, m)
    assert len(width) == n + m - math.gcd(n, m)
    assert np.bincount(at, weights=width) == pytest.approx(np.full(n, 1 / n), rel=1e-9)
    assert np.bincount(across, weights=width) == pytest.approx(np.full(m, 1 / m), rel=1e-9)


def test_repeating_every_image_changes_nothing() -> None:
    a, b = rows(6, 4, 0), rows(5, 4, 1)
    once = sliced_wasserstein(side(a), side(b))[0]
    assert sliced_wasserstein(side(np.repeat(a, 3, axis=0)), side(b))[0] == pytest.approx(once, rel=1e-12)


def test_a_shift_is_its_length_over_root_d_without_noise() -> None:
    # The mean over a whole orthonormal basis of (θ·δ)² is ‖δ‖²/d; 512 = 8 · 64.
    a = rows(50, 64, 0)
    shift = rows(1, 64, 1)
    found, error = sliced_wasserstein(side(a), side(a + shift))
    assert found == pytest.approx(float(np.linalg.norm(shift)) / 8, rel=1e-9)
    assert error > 0


def test_halved_spread_is_half_the_root_mean_square() -> None:
    a = rows(80, 64, 0)
    a -= a.mean(axis=0)
    expected = 0.5 * math.sqrt(float((a**2).sum()) / 80 / 64)
    assert sliced_wasserstein(side(a), side(a / 2))[0] == pytest.approx(expected, rel=1e-9)


def test_scale_and_offset() -> None:
    a, b = rows(30, 5, 0), rows(40, 5, 1, centre=0.3)
    once = sliced_wasserstein(side(a), side(b))[0]
    assert sliced_wasserstein(side(a * 7 + 1000), side(b * 7 + 1000))[0] == pytest.approx(7 * once, rel=1e-9)


@pytest.mark.parametrize(("d", "count"), [(3, 7), (64, 64), (100, 30)])
def test_directions_are_unit_orthogonal_in_runs_and_seeded(d: int, count: int) -> None:
    found = directions(d, count)
    assert found.shape == (count, d)
    run = found[: min(d, count)]
    assert run @ run.T == pytest.approx(np.eye(len(run)), abs=1e-12)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(count))
    assert np.array_equal(found, directions.__wrapped__(d, count))
    assert not np.allclose(found, directions(d, count, 1))


def test_directions_lean_nowhere() -> None:
    found = np.concatenate([directions(4, 4, seed) for seed in range(500)])
    assert np.abs(found.mean(axis=0)).max() < 0.05
    assert found.T @ found / len(found) == pytest.approx(np.eye(4) / 4, abs=0.02)


def test_rotation_moves_it_by_no_more_than_the_stated_error() -> None:
    a, b = rows(100, 10, 0), rows(80, 10, 1, centre=0.5)
    turn, _ = np.linalg.qr(rows(10, 10, 2))
    found, error = sliced_wasserstein(side(a), side(b))
    assert abs(sliced_wasserstein(side(a @ turn), side(b @ turn))[0] - found) < 3 * error


def test_large_sets_are_projected_again_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = rows(120, 5, 0), rows(90, 5, 1)
    kept = sliced_wasserstein(side(a), side(b))
    monkeypatch.setattr("semsim_pipeline.metrics.sliced_wasserstein.MOST_KEPT", 0)
    one = side(a)
    assert sliced_wasserstein(one, side(b)) == kept
    assert not [key for key in one.memo if key[0] == "sliced_wasserstein"]


def test_overflow_is_a_reason_and_not_an_infinity() -> None:
    row = score_card(Pair(reference=side(rows(5, 2, 0) * 1e200), candidate=side(rows(5, 2, 1))), ["sliced_wasserstein"])
    assert "overflow" in (row["sliced_wasserstein"].reason or "")
