"""Cosines, Fréchet and KID: intervals, hazards of rank, range and dtype, and peers on fresh rows."""

from __future__ import annotations

import numpy as np
import pytest

from semsim_pipeline.errors import InvalidEmbeddingsError, TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.blocks import cross_sum, within_sum
from semsim_pipeline.metrics.cosine import mean_cosine
from semsim_pipeline.metrics.cosine_interval import mean_cosine_interval
from semsim_pipeline.metrics.frechet import frechet_distance, frechet_parts
from semsim_pipeline.metrics.kid import cubic_kernel, kid
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.records import Background
from semsim_pipeline_tests.metrics import oracles


def side(rows: np.ndarray, **words: object) -> EmbeddedSet:
    return EmbeddedSet("side", rows, **words)  # type: ignore[arg-type]


def normal(n: int, d: int, seed: int, *, centre: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * spread + centre


# ---- cosine


def test_cosines_equal_the_double_loops() -> None:
    a, b = normal(9, 4, 0, centre=1), normal(7, 4, 1, centre=1)
    row = score_card(Pair(reference=side(a), candidate=side(b)), ["mean_cosine"])["mean_cosine"]
    cross, within_a, within_b = oracles.mean_cosines(a, b)
    assert row.value == pytest.approx(cross, rel=1e-12)
    assert (row.detail["within_reference"], row.detail["within_candidate"]) == pytest.approx((within_a, within_b))


def test_mean_cosine_interval_is_the_jackknife_and_covers() -> None:
    a, b = normal(12, 5, 0, centre=0.5), normal(10, 5, 1, centre=0.5)
    low, high = mean_cosine_interval(side(a), side(b)) or (0.0, 0.0)
    variance = 0.0
    for n, left_out in ((12, lambda i: (np.delete(a, i, 0), b)), (10, lambda i: (a, np.delete(b, i, 0)))):
        values = np.array([mean_cosine(*map(side, left_out(i))) for i in range(n)])
        variance += (n - 1) / n * float(((values - values.mean()) ** 2).sum())
    assert (high - low) / 2 == pytest.approx(1.959964 * variance**0.5, rel=1e-6)

    truth = mean_cosine(side(normal(20000, 5, 2, centre=0.5)), side(normal(20000, 5, 3, centre=0.5)))
    hits = 0
    for seed in range(200):
        pair = side(normal(40, 5, 10 + seed, centre=0.5)), side(normal(30, 5, 1000 + seed, centre=0.5))
        inner, outer = mean_cosine_interval(*pair) or (0.0, 0.0)
        hits += inner <= truth <= outer
    assert 0.89 <= hits / 200 <= 0.99


def test_a_burst_counts_as_one_image_in_the_interval() -> None:
    rows = normal(12, 5, 0, centre=0.5)
    burst = np.repeat(rows, 20, axis=0)
    names = [str(i) for i in range(12) for _ in range(20)]
    alone = mean_cosine_interval(side(rows), side(rows))
    assert mean_cosine_interval(side(burst, groups=names), side(burst, groups=names)) == pytest.approx(alone)


def test_one_image_has_no_interval_and_no_within() -> None:
    row = score_card(Pair(reference=side(normal(1, 3, 0)), candidate=side(normal(5, 3, 1))), ["cosine"])
    assert row["mean_cosine"].value is not None
    assert row["mean_cosine"].interval is None
    assert "within_reference" not in row["mean_cosine"].detail
    assert row["relative_cosine"].reason == "needs at least 2 images a side; reference has 1"


def test_trap_centred_cosine_takes_the_background_and_not_the_pooled_mean() -> None:
    a, b = normal(50, 4, 0, centre=2), normal(60, 4, 1, centre=2.1)
    background = Background(id="t", bandwidth=1.0, kappa=0.1, mean=np.array([0.1, -0.2, 0.3, 0.0]), source="t")
    found = score_card(Pair(reference=side(a), candidate=side(b), background=background), ["centred_cosine"])
    assert found["centred_cosine"].value is not None
    assert found["centred_cosine"].value > 0.9


def test_a_zero_row_is_refused_in_words() -> None:
    rows = normal(5, 3, 0)
    rows[2] = 0
    with pytest.raises(InvalidEmbeddingsError, match="all zeros"):
        mean_cosine(side(rows), side(rows))
    row = score_card(Pair(reference=side(rows), candidate=side(rows)), ["mean_cosine"])["mean_cosine"]
    assert "all zeros" in (row.reason or "")


# ---- frechet


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 8), (20, 30, 40), (20, 200, 40), (200, 20, 40)])
def test_frechet_equals_torch_fidelity_whatever_the_rank(n: int, m: int, d: int) -> None:
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = normal(n, d, 0), normal(m, d, 1, centre=0.2, spread=1.3)
    peers = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in (a, b)]
    expected = float(fid_statistics_to_metric(*peers, False)["frechet_inception_distance"])
    # sqrtm is off by up to 1e-5 where the product is singular.
    assert frechet_distance(side(a), side(b)) == pytest.approx(expected, rel=1e-9 if min(n, m) > d else 1e-6)


@pytest.mark.parametrize(("n", "m"), [(30, 20), (500, 20), (500, 400)])
def test_trap_rank_deficient_covariances_are_exact_and_real(n: int, m: int) -> None:
    # Columns that are constant or copies: singular with any number of rows. In the two-column basis both covariances
    # are diagonal up to a rotation, so the full-rank value is known from the small problem.
    a, b = normal(n, 2, 0), normal(m, 2, 1, spread=2.0)
    wide = [np.concatenate([rows, rows, np.full((len(rows), 60), 0.7)], axis=1) for rows in (a, b)]
    small = frechet_distance(side(a * 2**0.5), side(b * 2**0.5))
    assert frechet_distance(side(wide[0]), side(wide[1])) == pytest.approx(small, rel=1e-9)
    assert frechet_distance(side(wide[0]), side(wide[0].copy())) == pytest.approx(0, abs=1e-9)


def test_frechet_parts_of_shifted_and_scaled_rows_are_known() -> None:
    a = normal(400, 6, 0)
    shift = frechet_parts(side(a), side(a + 0.5))
    assert (shift.mean_term, shift.covariance_term) == pytest.approx((1.5, 0), abs=1e-9)
    scaled = frechet_parts(side(a - a.mean(0)), side((a - a.mean(0)) * 3))
    assert scaled.mean_term == pytest.approx(0, abs=1e-12)
    assert scaled.covariance_term == pytest.approx(4 * scaled.trace_reference, rel=1e-9)


def test_frechet_floor_of_the_mean_term_is_its_expectation() -> None:
    rows = [
        score_card(
            Pair(reference=side(normal(30, 5, s)), candidate=side(normal(50, 5, 500 + s))), ["frechet_mean_term"]
        )
        for s in range(200)
    ]
    values, nulls = ([getattr(r["frechet_mean_term"], part) for r in rows] for part in ("value", "null"))
    assert np.mean(values) == pytest.approx(np.mean(nulls), rel=0.1)


def test_frechet_refuses_one_image_and_overflow() -> None:
    with pytest.raises(TooFewSamplesError, match="candidate has 1"):
        frechet_distance(side(normal(3, 2, 0)), side(normal(1, 2, 0)))
    with pytest.raises(UndefinedMetricError, match="scale"):
        frechet_distance(side(normal(9, 2, 0) * 1e120), side(normal(9, 2, 1)))


# ---- kid


def test_kid_equals_the_double_loop_and_may_be_negative() -> None:
    a, b = normal(14, 3, 0), normal(9, 3, 1)
    assert kid(side(a), side(b)) == pytest.approx(oracles.kid(a, b), rel=1e-12)
    same = [kid(side(normal(40, 6, s)), side(normal(40, 6, 900 + s))) for s in range(100)]
    assert min(same) < 0 < max(same)
    assert abs(np.mean(same)) < 3 * np.std(same) / 10


def test_kid_equals_torch_fidelity_on_equal_sizes() -> None:
    from torch_fidelity.metric_kid import kernel_mmd

    a, b = normal(300, 20, 0), normal(300, 20, 1, centre=0.1)
    words = {
        "kid_kernel": "poly",
        "kid_kernel_poly_degree": 3,
        "kid_kernel_poly_gamma": None,
        "kid_kernel_poly_coef0": 1.0,
    }
    assert kid(side(a), side(b)) == pytest.approx(float(kernel_mmd(a, b, **words)), rel=1e-9)


@pytest.mark.parametrize(("centre", "spread", "bound"), [(0.3, 0.5, 1e-6), (0.0, 1.0, 1e-6), (0.8, 0.6, 1e-6)])
def test_kid_in_float32_tiles_stays_within_its_stated_error(centre: float, spread: float, bound: float) -> None:
    a, b = (normal(1500, 256, s, centre=centre, spread=spread).astype(np.float32) for s in (0, 1))
    wide = kid(side(a.astype(np.float64)), side(b.astype(np.float64)))
    assert abs(kid(side(a), side(b)) - wide) < bound


def test_long_float32_rows_are_computed_in_float64() -> None:
    a, b = (normal(60, 16, s, centre=30).astype(np.float32) for s in (0, 1))
    wide = kid(side(a.astype(np.float64)), side(b.astype(np.float64)))
    assert kid(side(a), side(b)) == wide


def test_kid_overflow_is_a_reason_and_not_an_infinity() -> None:
    row = score_card(Pair(reference=side(normal(5, 2, 0) * 1e90), candidate=side(normal(5, 2, 1))), ["kid"])["kid"]
    assert row.value is None
    assert "overflow" in (row.reason or "")


@pytest.mark.parametrize("tile", [1, 7, 64, 1024])
def test_kernel_sums_do_not_depend_on_the_tile(tile: int) -> None:
    a, b = normal(50, 4, 0), normal(33, 4, 1)
    full = (a @ b.T / 4 + 1) ** 3
    own = (a @ a.T / 4 + 1) ** 3
    assert cross_sum(a, b, cubic_kernel(4), tile=tile) == pytest.approx(float(full.sum()), rel=1e-12)
    assert within_sum(a, cubic_kernel(4), tile=tile) == pytest.approx(float(own.sum() - np.trace(own)), rel=1e-12)
