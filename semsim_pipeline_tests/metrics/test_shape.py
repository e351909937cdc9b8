"""Shape, and the noise floors of permuted labels: closed forms, scipy's root, and equal distributions."""

from __future__ import annotations

import numpy as np
import pytest

from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.gaussians import Gaussian, gaussian_of, gaussian_where
from semsim_pipeline.metrics.noise_floor import noise_floor
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.metrics.shape import covariance_overlap, effective_rank_ratio
from semsim_pipeline_tests.metrics import oracles


def side(rows: np.ndarray, **words: object) -> EmbeddedSet:
    return EmbeddedSet("side", rows, **words)  # type: ignore[arg-type]


def normal(n: int, d: int, seed: int, *, centre: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * spread + centre


def pair(a: np.ndarray, b: np.ndarray) -> Pair:
    return Pair(reference=side(a), candidate=side(b))


def test_overlap_equals_scipy_and_effective_ranks_equal_the_plain_sum() -> None:
    a, b = normal(90, 6, 0), normal(70, 6, 1) * np.arange(1, 7)
    assert covariance_overlap(side(a), side(b)) == pytest.approx(oracles.covariance_overlap(a, b), rel=1e-9)
    for n in (90, 5):
        expected = oracles.effective_rank(b) / oracles.effective_rank(a[:n])
        assert effective_rank_ratio(side(a[:n]), side(b)) == pytest.approx(expected, rel=1e-9)


def test_overlap_of_known_shapes() -> None:
    a = normal(300, 4, 0)
    assert covariance_overlap(side(a), side(a * 7 + 3)) == pytest.approx(1, abs=1e-9)
    planes = np.eye(4)[:, [0, 1]], np.eye(4)[:, [2, 3]], np.eye(4)[:, [1, 2]]
    flat = [normal(300, 2, 1) @ basis.T for basis in planes]
    assert covariance_overlap(side(flat[0]), side(flat[1])) == pytest.approx(0, abs=1e-7)
    white = np.linalg.qr(normal(300, 3, 2) - normal(300, 3, 2).mean(axis=0))[0]
    both = [white[:, :2] @ basis.T for basis in (planes[0], planes[2])]
    assert covariance_overlap(side(both[0]), side(both[1])) == pytest.approx(0.5, rel=1e-9)


def test_effective_rank_counts_equal_directions() -> None:
    white = np.linalg.qr(normal(200, 8, 0) - normal(200, 8, 0).mean(axis=0))[0]
    for k in (1, 3, 8):
        assert gaussian_of(side(white[:, :k] @ normal(k, k, k) * 0 + white[:, :k])).effective_rank == pytest.approx(k)
    assert effective_rank_ratio(side(white), side(white[:, :2] @ np.eye(8)[:2])) == pytest.approx(0.25)


def test_a_spectrum_is_the_same_from_rows_and_from_moments() -> None:
    rows = normal(50, 6, 0)
    fresh, used = Gaussian.from_rows(rows), gaussian_where((side(rows), np.ones(50, bool)))
    assert used.full is not None
    assert used.factor.shape == (6, 6)
    plain = np.linalg.eigvalsh(np.cov(rows.T))
    for found in (fresh.spectrum[-6:], used.spectrum, gaussian_of(side(rows)).spectrum):
        np.testing.assert_allclose(np.sort(found), plain, rtol=1e-9)


@pytest.mark.parametrize("n", [4, 40])
def test_the_marked_rows_of_several_sets_are_one_gaussian(n: int) -> None:
    a, b = normal(n, 6, 0), normal(n + 3, 6, 1, centre=2)
    some, others = np.arange(n) % 2 == 0, np.arange(n + 3) % 3 == 0
    found = gaussian_where((side(a), some), (side(b), others))
    rows = np.concatenate([a[some], b[others]])
    assert (found.root is None) == (len(rows) >= 6)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.factor.T @ found.factor, np.cov(rows.T), rtol=1e-9, atol=1e-12)


def test_equal_rows_have_no_shape_and_say_so() -> None:
    found = score_card(pair(np.ones((9, 3)), normal(9, 3, 0)), ["shape"])
    assert {row.status for row in found.values()} == {"not_computed"}
    assert "no spread" in (found["covariance_overlap"].reason or "")


@pytest.mark.parametrize(("n", "m", "d"), [(60, 60, 8), (40, 120, 8), (20, 30, 60)])
def test_floors_are_what_equal_distributions_show_at_these_sizes(n: int, m: int, d: int) -> None:
    names = ["frechet_distance", "frechet_covariance_term", "covariance_overlap", "effective_rank_ratio"]
    cards = [score_card(pair(normal(n, d, s), normal(m, d, 900 + s)), names) for s in range(60)]
    for name in names:
        values, nulls = ([getattr(c[name], part) for c in cards] for part in ("value", "null"))
        error = np.std(values) / 60**0.5
        assert np.mean(nulls) == pytest.approx(np.mean(values), abs=4 * error), name


def test_a_gap_raises_the_distance_far_more_than_its_floor() -> None:
    row = score_card(pair(normal(150, 8, 0), normal(150, 8, 1, centre=0.7)), ["frechet_distance"])["frechet_distance"]
    assert row.null is not None
    assert row.value is not None
    assert row.value > 10 * row.null


def test_copies_on_both_sides_have_no_floor_and_bursts_move_whole() -> None:
    a = normal(60, 5, 0)
    assert noise_floor(pair(a, a.copy())).distance == pytest.approx(0, abs=1e-9)
    names = [str(i) for i in range(20) for _ in range(10)]
    bursts = [np.repeat(normal(20, 5, s), 10, axis=0) + 0.01 * normal(200, 5, 50 + s) for s in (1, 2)]
    loose = noise_floor(pair(*bursts)).distance
    whole = noise_floor(
        Pair(reference=side(bursts[0], groups=names), candidate=side(bursts[1], groups=[f"b{x}" for x in names]))
    ).distance
    assert loose is not None
    assert whole is not None
    assert whole > 4 * loose


def test_a_floor_needs_two_images_a_side_after_the_draw() -> None:
    single = Pair(
        reference=side(normal(2, 3, 0), groups=["a", "a"]), candidate=side(normal(2, 3, 1), groups=["b", "b"])
    )
    assert noise_floor(single).distance is not None
    assert score_card(pair(np.ones((3, 2)), np.ones((4, 2))), ["frechet_distance"])["frechet_distance"].null is None
