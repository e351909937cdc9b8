from __future__ import annotations

import numpy as np
import pytest

from semsim_pipeline.metrics import energy_distance as module
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.energy_distance import distance_sum, energy_distance
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics import oracles


def rows(n: int, d: int, seed: int, *, centre: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * spread + centre


def side(array: np.ndarray) -> EmbeddedSet:
    return EmbeddedSet("side", array)


def plain_sum(a: np.ndarray, b: np.ndarray) -> float:
    """Every difference in float64."""
    wide = b.astype(np.float64)
    return float(sum(np.sqrt(((x.astype(np.float64) - wide) ** 2).sum(axis=1)).sum() for x in a))


@pytest.mark.parametrize(("n", "m", "d"), [(12, 9, 4), (5, 17, 1), (2, 2, 3)])
def test_equals_the_plain_loops(n: int, m: int, d: int) -> None:
    a, b = rows(n, d, 0), rows(m, d, 1, centre=0.5)
    assert energy_distance(side(a), side(b)).value == pytest.approx(oracles.energy_v_statistic(a, b), rel=1e-11)


def test_copies_are_weighed() -> None:
    a, b = rows(8, 3, 0), rows(7, 3, 1)
    a[5:], b[:3] = a[0], a[1]
    found = energy_distance(side(a), side(b))
    assert found.value == pytest.approx(oracles.energy_v_statistic(a, b), rel=1e-11)


def test_two_points_in_closed_form() -> None:
    found = energy_distance(side(np.array([[0.0], [0.0], [0.0]])), side(np.array([[3.0], [3.0]])))
    assert found.value == pytest.approx(6.0, rel=1e-14)
    assert found.null is None  # each side is copies of one image: nothing shows how far two images of it are apart


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    a, b = rows(300, 64, 0), rows(250, 64, 1, centre=0.1)
    centres = rows(6, 64, 2, spread=30)
    pick = np.random.default_rng(3).integers(6, size=(2, 300))
    tight = [centres[p] + rows(300, 64, 4 + i, spread=1e-4) for i, p in enumerate(pick)]
    twins = b.copy()
    twins[:40] = a[:40] + 1e-6
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a + 2, b + 2)]
    return {
        "plain": (a, b),
        "offset": (a + 1000, b + 1000),
        "collapsed": (a, 5 + rows(200, 64, 9, spread=1e-5)),
        "tight clusters": (tight[0], tight[1]),
        "near twins": (a, twins),
        "cone": (unit[0], unit[1]),
        "small": (a * 1e-8, b * 1e-8),
    }


@pytest.mark.parametrize("name", list(cases()))
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-6), ("float64", 1e-12)])
def test_the_sum_of_distances_is_within_its_stated_bound(name: str, dtype: str, bound: float) -> None:
    a, b = (x.astype(dtype) for x in cases()[name])
    # Where most pairs of a tile are near ones they are not evaluated one by one.
    bound = 1e-10 if (name, dtype) == ("tight clusters", "float64") else bound
    assert distance_sum(side(a), side(b)) == pytest.approx(plain_sum(a, b), rel=bound)
    one = side(a)
    assert distance_sum(one, one) == pytest.approx(plain_sum(a, a), rel=bound)


@pytest.mark.parametrize("name", list(cases()))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_set_against_a_copy_is_zero_to_rounding(name: str, dtype: str) -> None:
    a = cases()[name][0].astype(dtype)
    found = energy_distance(side(a), side(a.copy()))
    assert found.value <= 1e-7 * found.cross


def test_unit_rows_at_a_realistic_width_keep_seven_digits_of_the_mean_distance() -> None:
    a, b = ((rows(1500, 512, s) + 2).astype(np.float32) for s in (0, 1))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    narrow, wide = energy_distance(side(a), side(b)), energy_distance(side(a.astype(float)), side(b.astype(float)))
    assert abs(narrow.value - wide.value) < 1e-7 * wide.cross


def test_null_is_what_one_distribution_shows() -> None:
    found = [energy_distance(side(rows(60, 8, 2 * s)), side(rows(40, 8, 2 * s + 1))) for s in range(80)]
    values = np.array([f.value for f in found])
    standard_error = values.std(ddof=1) / np.sqrt(len(values))
    assert values.mean() == pytest.approx(np.mean([f.null for f in found]), abs=3 * standard_error)
    assert np.mean([f.unbiased for f in found]) == pytest.approx(0, abs=3 * standard_error)


def test_a_set_pays_once_for_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def counted(left: EmbeddedSet, right: EmbeddedSet, *, working_memory: int) -> float:
        calls.append(left is right)
        return distance_sum(left, right, working_memory=working_memory)

    monkeypatch.setattr(module, "distance_sum", counted)
    reference, candidate = side(rows(20, 3, 0)), side(rows(20, 3, 1))
    for other in (candidate, side(rows(20, 3, 2)), candidate):
        energy_distance(reference, other)
    assert (calls.count(True), calls.count(False)) == (3, 3)


def test_squares_beyond_float64_are_a_reason() -> None:
    pair = Pair(reference=side(rows(5, 2, 0) * 1e200), candidate=side(rows(5, 2, 1)))
    assert "float64's range" in (score_card(pair, ["energy_distance"])["energy_distance"].reason or "")
