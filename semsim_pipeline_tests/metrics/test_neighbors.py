"""Decisions equal those of float64 brute force, for float32 rows, ties, copies, offsets and any tile size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.clouds import bound_tiles, cloud_of, frame_of
from semsim_pipeline.metrics.neighbors import nearest_squares, own_neighbours
from semsim_pipeline.metrics.prdc import (
    coverage_null,
    improved_precision_recall,
    precision_recall_density_coverage,
)
from semsim_pipeline.metrics.proximity import knn_mixing, nn_distance_ratio
from semsim_pipeline.metrics.radii import radii
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics import oracles


def side(rows: np.ndarray, name: str = "side") -> EmbeddedSet:
    return EmbeddedSet(name, rows)


def brute(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    gaps = x.astype(np.float64)[:, None, :] - y.astype(np.float64)[None, :, :]
    return np.asarray((gaps * gaps).sum(axis=2))


def brute_radii(rows: np.ndarray, k: int) -> np.ndarray:
    squares = brute(rows, rows)
    np.fill_diagonal(squares, np.inf)
    return np.sqrt(np.sort(squares, axis=1)[:, k - 1])


grids = st.integers(6, 14).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=2), min_size=n, max_size=n)
)


@settings(max_examples=150, deadline=None)
@given(a=grids, b=grids, k=st.integers(1, 5), dtype=st.sampled_from(["float32", "float64"]), inclusive=st.booleans())
def test_prdc_on_integer_grids_equals_the_plain_loop(
    a: list[list[int]], b: list[list[int]], k: int, dtype: str, inclusive: bool
) -> None:
    x, y = np.array(a, dtype), np.array(b, dtype)
    expected = oracles.prdc(x, y, k, inclusive=inclusive)
    if inclusive:
        precision, recall = improved_precision_recall(side(x), side(y), k=k)
        assert (precision, recall) == pytest.approx((expected["precision"], expected["recall"]))
        return
    found = precision_recall_density_coverage(side(x), side(y), k=k, working_memory=0)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value), name


@settings(max_examples=100, deadline=None)
@given(a=grids, b=grids, k=st.integers(1, 5))
def test_mixing_on_integer_grids_equals_the_plain_loop(a: list[list[int]], b: list[list[int]], k: int) -> None:
    x, y = np.array(a, np.float32), np.array(b, np.float32)
    share_a, share_b = oracles.mixing_shares(x, y, k)
    others = len(x) + len(y) - 1
    found = knn_mixing(side(x), side(y), k=k)
    assert found.reference == pytest.approx(share_a * others / len(y))
    assert found.candidate == pytest.approx(share_b * others / len(x))


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
@pytest.mark.parametrize("k", [1, 5, 12])
def test_trap_float32_radii_equal_float64_brute_force(offset: float, k: int) -> None:
    rng = np.random.default_rng(3)
    rows = (rng.normal(size=(300, 32)) + offset).astype(np.float32)
    # Neighbours that differ in the last bits of float32: a float32 distance cannot tell them apart.
    rows[150:] = np.nextafter(rows[:150], np.float32(np.inf)) if offset < 1e3 else rows[:150]
    np.testing.assert_allclose(radii(side(rows), k), brute_radii(rows, k), rtol=1e-13, atol=0)


def test_a_shell_of_near_ties_is_searched_again_and_not_guessed() -> None:
    # Hundreds of rows as far from the centre as float32 can place them: a float32 shortlist holds arbitrary ones.
    shell = np.random.default_rng(13).normal(size=(300, 32))
    shell /= np.linalg.norm(shell, axis=1, keepdims=True)
    rows = np.concatenate([np.zeros((1, 32)), shell]).astype(np.float32)
    for k in (1, 7, 20):
        assert radii(side(rows), k)[0] == pytest.approx(brute_radii(rows, k)[0], rel=1e-13)


@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("k", [1, 5, 9])
def test_radii_from_bounds_are_those_from_the_whole_lists(offset: float, k: int) -> None:
    rows = (np.random.default_rng(k).normal(size=(400, 24)) + offset).astype(np.float32)
    bounds, lists = side(rows), side(rows)
    own_neighbours(lists, k)
    assert cloud_of(bounds).first is None
    assert np.array_equal(radii(bounds, k, working_memory=1 << 17), radii(lists, k))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_trap_copies_have_radius_exactly_zero_and_nothing_strictly_inside(dtype: str) -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(4, 8)) * 50, 6, axis=0).astype(dtype)
    assert (radii(side(rows), 5) == 0).all()
    strict = precision_recall_density_coverage(side(rows), side(rows.copy()), k=5)
    assert (strict.precision, strict.recall, strict.density, strict.coverage) == (0, 0, 0, 0)
    assert improved_precision_recall(side(rows), side(rows.copy()), k=5) == (1, 1)


def test_self_is_left_out_by_index_and_not_by_zero_distance() -> None:
    rows = np.array([[0.0], [0.0], [1.0], [3.0]])
    assert radii(side(rows), 1).tolist() == [0, 0, 1, 2]


def test_negative_zero_is_zero() -> None:
    assert len(cloud_of(side(np.array([[0.0, 1.0], [-0.0, 1.0]], np.float32)))) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_hold_for_every_pair(dtype: str) -> None:
    rng = np.random.default_rng(4)
    scales = 10.0 ** rng.uniform(-6, 3, size=(2, 200, 1))
    x, y = ((rng.normal(size=(200, 40)) * s + 5).astype(dtype) for s in scales)
    a, b = side(x), side(y)
    exact = brute(x, y)
    for part in bound_tiles(frame_of(a, b), cloud_of(a), cloud_of(b), tile=64, upper=False):
        rows, columns = part.low.shape
        truth = exact[part.row : part.row + rows, part.column : part.column + columns]
        low = part.low.astype(np.float64)
        assert (low <= truth).all()
        assert (low + part.spare_rows[:, None] + part.spare_columns[None, :] >= truth).all()


def test_rows_sorted_by_nearness_and_all_tile_sizes_agree() -> None:
    # The worst order for a shortlist: every tile is nearer than the one before.
    rows = np.sort(np.random.default_rng(5).normal(size=(400, 1)), axis=0)[::-1] ** 3
    for working_memory in (0, 1 << 14, 1 << 20, 1 << 26):
        found = radii(EmbeddedSet("s", rows), 5, working_memory=working_memory)
        np.testing.assert_allclose(found, brute_radii(rows, 5), rtol=1e-13)


@pytest.mark.parametrize(
    ("dtype", "scale"), [("float32", 1e-20), ("float32", 1e20), ("float64", 1e-100), ("float64", 1e100)]
)
def test_extreme_scales_neither_overflow_nor_vanish(dtype: str, scale: float) -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(40, 6)), rng.normal(size=(30, 6))
    plain = precision_recall_density_coverage(side(a), side(b))
    assert precision_recall_density_coverage(side((a * scale).astype(dtype)), side((b * scale).astype(dtype))) == plain


def test_squares_outside_float64_are_refused_in_words() -> None:
    with pytest.raises(UndefinedMetricError, match="scale the embeddings"):
        radii(side(np.random.default_rng(0).normal(size=(20, 3)) * 1e200), 5)


def test_nearest_squares_are_those_of_the_double_loop() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(50, 5)), rng.normal(size=(3, 5))
    np.testing.assert_allclose(nearest_squares(side(x), side(y)), brute(x, y).min(axis=1), rtol=1e-13)


def test_convention_a_collapsed_candidate_is_precise_and_recalls_little() -> None:
    rng = np.random.default_rng(8)
    reference = rng.normal(size=(300, 8))
    collapsed = rng.normal(size=(300, 8)) * 0.05
    found = precision_recall_density_coverage(side(reference), side(collapsed))
    assert found.precision > 0.95
    assert found.recall < 0.05
    turned = precision_recall_density_coverage(side(collapsed), side(reference))
    assert (turned.precision, turned.recall) == (found.recall, found.precision)


def test_mixing_is_one_by_chance_and_zero_apart_whatever_the_sizes() -> None:
    rng = np.random.default_rng(9)
    rows = rng.normal(size=(2000, 4))
    near = knn_mixing(side(rows[:400]), side(rows[400:]))
    assert (near.pooled, near.reference, near.candidate) == pytest.approx((1, 1, 1), abs=0.05)
    far = knn_mixing(side(rows[:400]), side(rows[400:] + 100))
    assert (far.pooled, far.reference, far.candidate) == (0, 0, 0)


def test_nn_distance_ratio_is_named_by_its_direction() -> None:
    reference = np.arange(20.0)[:, None]
    ratio, across, within = nn_distance_ratio(side(reference), side(reference[:12] + 0.25))
    assert (ratio, across, within) == (0.25, 0.25, 1.0)


def test_too_few_rows_and_a_k_below_one_are_refused() -> None:
    rows = np.random.default_rng(0).normal(size=(8, 2))
    with pytest.raises(TooFewSamplesError, match="needs at least 9 images a side"):
        precision_recall_density_coverage(side(rows), side(rows), k=8)
    with pytest.raises(ValueError, match="k must be"):
        precision_recall_density_coverage(side(rows), side(rows), k=0)


def test_expected_coverage_of_one_distribution_is_seen_in_samples() -> None:
    rng = np.random.default_rng(10)
    found = [
        precision_recall_density_coverage(side(rng.normal(size=(60, 3))), side(rng.normal(size=(60, 3)))).coverage
        for _ in range(60)
    ]
    assert np.mean(found) == pytest.approx(coverage_null(60, 60), abs=0.01)


def test_the_score_card_carries_the_nulls() -> None:
    rng = np.random.default_rng(11)
    card = score_card(
        Pair(reference=side(rng.normal(size=(30, 3))), candidate=side(rng.normal(size=(20, 3)))), ["prdc"]
    )
    assert card["density"].null == 1.0
    assert card["coverage"].null == pytest.approx(coverage_null(30, 20))


def test_equal_to_the_prdc_package_on_realistic_rows(capsys: pytest.CaptureFixture[str]) -> None:
    import prdc

    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(700, 48)), rng.normal(size=(500, 48)) * 0.9 + 0.1
    found = precision_recall_density_coverage(side(x), side(y))
    for name, value in prdc.compute_prdc(x, y, 5).items():
        assert getattr(found, name) == pytest.approx(float(value), rel=1e-12), name
    capsys.readouterr()
