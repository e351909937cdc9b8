from __future__ import annotations

import numpy as np
import pytest

from semsim_pipeline.errors import DimensionMismatchError, TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.agreement import cknna, encoder_agreement, linear_cka, mutual_knn
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline_tests.metrics import oracles

NAMES = ("linear_cka", "mutual_knn", "cknna")


def rows(n: int, d: int, seed: int, *, centre: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


def unit(array: np.ndarray) -> np.ndarray:
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def related(n: int, d: int, e: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Two encoders that see the same eight things, each with noise of its own."""
    seen = rows(n, 8, 0)
    return seen @ rows(8, d, 1) + noise * rows(n, d, 2), seen @ rows(8, e, 3) + noise * rows(n, e, 4)


def turned(array: np.ndarray, seed: int = 9) -> np.ndarray:
    turn, _ = np.linalg.qr(rows(array.shape[1], array.shape[1], seed))
    return array @ turn


def sets(pair: tuple[np.ndarray, np.ndarray]) -> tuple[EmbeddedSet, EmbeddedSet]:
    return EmbeddedSet("a", pair[0]), EmbeddedSet("b", pair[1])


@pytest.mark.parametrize(("n", "d", "e"), [(6, 3, 2), (20, 5, 7), (30, 60, 40)])
def test_linear_cka_equals_the_n_by_n_oracle(n: int, d: int, e: int) -> None:
    a, b = related(n, d, e, 0.5)
    assert linear_cka(a, b) == pytest.approx(oracles.linear_cka(a, b), rel=1e-9)


@pytest.mark.parametrize("k", [2, 5, 11])
def test_neighbour_measures_equal_their_oracles(k: int) -> None:
    a, b = (unit(x) for x in related(40, 12, 9, 1.0))
    assert mutual_knn(a, b, k=k) == pytest.approx(oracles.mutual_knn(a, b, k), abs=1e-12)
    assert cknna(a, b, k=k) == pytest.approx(oracles.cknna(a, b, k), rel=1e-9)


def test_all_neighbours_make_cknna_cka_on_unit_rows() -> None:
    a, b = (unit(x) for x in related(30, 12, 9, 1.0))
    assert cknna(a, b, k=29) == pytest.approx(oracles.linear_cka(a, b), rel=1e-9)
    assert mutual_knn(a, b, k=29) == 1.0


def test_a_turned_and_scaled_copy_agrees_entirely() -> None:
    a = rows(200, 10, 0)
    assert linear_cka(a, 7 * turned(a) + 3) == pytest.approx(1, rel=1e-9)
    found = encoder_agreement(*sets((a, 7 * turned(a))))
    assert [getattr(found, name) for name in NAMES] == pytest.approx([1, 1, 1], rel=1e-9)


def test_turning_either_encoder_changes_nothing() -> None:
    a, b = related(120, 12, 20, 1.0)
    one, other = encoder_agreement(*sets((a, b))), encoder_agreement(*sets((turned(a), 0.01 * turned(b))))
    for name in NAMES:
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)


def test_exchanging_the_encoders_changes_nothing() -> None:
    a, b = sets(related(120, 12, 20, 1.0))
    one, other = encoder_agreement(a, b), encoder_agreement(b, a)
    assert (one.linear_cka, one.mutual_knn) == pytest.approx((other.linear_cka, other.mutual_knn), rel=1e-12)


def test_unrelated_rows_score_about_zero_even_where_d_is_above_n() -> None:
    found = [encoder_agreement(*sets((rows(60, 200, 2 * s), rows(60, 200, 2 * s + 1)))) for s in range(40)]
    error = np.std([f.linear_cka for f in found], ddof=1) / 40**0.5
    assert np.mean([f.linear_cka for f in found]) == pytest.approx(0, abs=3 * error)
    assert min(f.linear_cka for f in found) < 0
    assert np.mean([f.mutual_knn for f in found]) == pytest.approx(found[0].mutual_knn_null, abs=0.02)
    # The biased estimate would have said 0.77 here.
    a, b = (x - x.mean(axis=0) for x in (rows(60, 200, 0), rows(60, 200, 1)))
    biased = np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert biased > 0.7


def test_agreement_falls_with_noise() -> None:
    found = [encoder_agreement(*sets(related(400, 16, 24, noise))) for noise in (0.1, 1.0, 4.0)]
    for name in NAMES:
        values = [getattr(f, name) for f in found]
        assert values == sorted(values, reverse=True)
        assert values[0] - values[-1] > 0.2


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_an_offset_costs_no_digits(offset: float) -> None:
    a, b = related(50, 6, 5, 0.3)
    assert linear_cka(a + offset, b) == pytest.approx(linear_cka(a, b), rel=1e-6)


def test_dtype_and_working_memory_do_not_matter() -> None:
    a, b = related(300, 12, 20, 1.0)
    one, small = encoder_agreement(*sets((a, b))), encoder_agreement(*sets((a, b)), working_memory=1)
    assert (small.linear_cka, small.mutual_knn) == (one.linear_cka, one.mutual_knn)
    single = encoder_agreement(*sets((a.astype(np.float32), b.astype(np.float32))))
    assert single.linear_cka == pytest.approx(one.linear_cka, rel=1e-6)
    assert single.mutual_knn == pytest.approx(one.mutual_knn, abs=1e-3)


def test_more_images_than_a_block() -> None:
    a, b = related(1500, 4, 3, 0.5)
    assert linear_cka(a, b) == pytest.approx(oracles.linear_cka(a, b), rel=1e-9)


def test_row_order_does_not_matter() -> None:
    a, b = related(150, 12, 20, 1.0)
    order = np.random.default_rng(5).permutation(150)
    one, other = encoder_agreement(*sets((a, b))), encoder_agreement(*sets((a[order], b[order])))
    for name in NAMES:
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)


def test_copies_of_an_image_count_once() -> None:
    a, b = related(80, 12, 20, 3.0)
    once = encoder_agreement(*sets((a, b)))
    copied = [np.concatenate([x, np.repeat(x[:5], 12, axis=0)]) for x in (a, b)]
    found = encoder_agreement(*sets((copied[0], copied[1])))
    assert (found.images, found.repeated) == (80, 60)
    assert (found.linear_cka, found.mutual_knn) == pytest.approx((once.linear_cka, once.mutual_knn), rel=1e-12)


def test_refusals_say_what_was_found() -> None:
    with pytest.raises(DimensionMismatchError, match="30 images and 'b' 29"):
        encoder_agreement(*sets((rows(30, 4, 0), rows(29, 4, 1))))
    named = [EmbeddedSet("ab"[i], rows(30, 4, i), content=np.arange(30, dtype=np.uint64) + i) for i in range(2)]
    with pytest.raises(DimensionMismatchError, match="Row 0 of 'a'"):
        encoder_agreement(*named)
    with pytest.raises(TooFewSamplesError, match="at least 12 distinct images; found 11"):
        encoder_agreement(*sets((rows(11, 4, 0), rows(11, 4, 1))))
    with pytest.raises(UndefinedMetricError, match="do not differ"):
        linear_cka(np.full((20, 3), 0.1), rows(20, 3, 0))
    with pytest.raises(TooFewSamplesError, match="at least 4"):
        linear_cka(rows(3, 3, 0), rows(3, 3, 1))
    with pytest.raises(ValueError, match="at least 2"):
        cknna(rows(9, 3, 0), rows(9, 3, 1), k=1)


def test_no_shared_neighbour_is_no_number() -> None:
    # On a ring of twelve, the nearest two are the places beside; in the other encoder's ring, those five steps on.
    angle = np.arange(12) * 2 * np.pi / 12
    a, b = (np.column_stack([np.cos(x), np.sin(x)]) for x in (angle, 5 * angle))
    assert mutual_knn(a, b, k=2) == 0.0
    assert cknna(a, b, k=2) is None
