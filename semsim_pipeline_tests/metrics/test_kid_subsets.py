"""The mean of subsets: torch-fidelity's numbers on equal subsets, seeded draws, no silent lowering of their size."""

from __future__ import annotations

import numpy as np
import pytest

from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.kid import KernelTotal, kid
from semsim_pipeline.metrics.kid_subsets import _Sides, kid_subsets, subset_kids, subset_places
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics import oracles


def side(rows: np.ndarray) -> EmbeddedSet:
    return EmbeddedSet("side", rows)


def normal(n: int, d: int, seed: int, *, centre: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_subset_is_torch_fidelity_s_kid_of_those_rows(dtype: str) -> None:
    from torch_fidelity.metric_kid import kernel_mmd

    a, b = normal(130, 16, 0, centre=0.3).astype(dtype), normal(110, 16, 1, centre=0.4).astype(dtype)
    at, across = (subset_places(side(rows), "", 7, 5, 50) for rows in (a, b))
    words = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    found = subset_kids(side(a), side(b), at, across)
    for value, rows, columns in zip(found, at, across, strict=True):
        x, y = a[rows].astype(np.float64), b[columns].astype(np.float64)
        assert value == pytest.approx(float(kernel_mmd(x, y, **words, kid_kernel_poly_coef0=1.0)), abs=1e-6, rel=1e-6)
        if dtype == "float64":
            assert value == pytest.approx(oracles.kid(x, y), rel=1e-9)


@pytest.mark.parametrize("tile", [16, 1024])
@pytest.mark.parametrize("own", [False, True])
def test_both_ways_to_the_sums_agree(tile: int, own: bool) -> None:
    a, b = normal(70, 4, 0), normal(50, 4, 1)
    if own:
        b = a
    at, across = subset_places(side(a), "", 0, 6, 20), subset_places(side(b), "", 0, 6, 20)
    kernels = [(a[i] @ b[j].T / 4 + 1) ** 3 for i, j in zip(at, across, strict=True)]
    expected = [float(k.sum() - (np.trace(k) if own else 0)) for k in kernels]
    sums = _Sides(left=a, right=b, at=at, across=across, own=own)
    whole = KernelTotal(own=own)
    assert sums.all_at_once(tile, whole) == pytest.approx(expected, rel=1e-12)
    every = (a @ b.T / 4 + 1) ** 3
    assert whole.total() == pytest.approx(float(every.sum() - (np.trace(every) if own else 0)), rel=1e-12)
    assert sums.one_by_one(tile) == pytest.approx(expected, rel=1e-12)


def test_trap_one_array_as_both_sides_is_a_pair_and_not_one_set() -> None:
    a = normal(60, 4, 0)
    both, copied = Pair(reference=side(a), candidate=side(a)), Pair(reference=side(a), candidate=side(a.copy()))
    assert both.reference.rows is both.candidate.rows
    one, other = (kid_subsets(p.reference, p.candidate, subset_size=30) for p in (both, copied))
    assert (one.mean, one.std) == (pytest.approx(other.mean, rel=1e-9), pytest.approx(other.std, rel=1e-9))


def test_subsets_are_of_distinct_rows_seeded_and_by_content() -> None:
    rows = normal(60, 3, 0)
    places = subset_places(side(rows), "", 1, 4, 50)
    assert all(len(set(subset)) == 50 for subset in places.tolist())
    assert (subset_places(side(rows), "", 2, 4, 50) != places).any()
    order = np.random.default_rng(1).permutation(60)
    moved = subset_places(side(rows[order]), "", 1, 4, 50)
    assert [set(order[subset]) for subset in moved] == [set(subset) for subset in places]


def test_all_rows_as_the_subset_are_kid_and_more_rows_scatter_around_it() -> None:
    a, b = side(normal(80, 5, 0, centre=0.2)), side(normal(80, 5, 1))
    whole = kid_subsets(a, b, subset_size=80)
    assert (whole.mean, whole.std) == (pytest.approx(kid(a, b), rel=1e-9), pytest.approx(0, abs=1e-12))
    part = kid_subsets(a, b, subset_size=40)
    assert part.mean == pytest.approx(kid(a, b), abs=3 * part.std / 10)
    at, across = (subset_places(x, "", 0, 100, 40) for x in (a, b))
    assert part.std == pytest.approx(float(np.std(subset_kids(a, b, at, across), ddof=0)), rel=1e-9)


def test_a_set_against_itself_is_drawn_twice() -> None:
    a = normal(400, 5, 0)
    found = kid_subsets(side(a), side(a.copy()), subset_size=50)
    assert found.mean == pytest.approx(kid(side(a), side(a)), abs=4 * found.std / 10)
    # The same subset on both sides would lie eight times lower, by the diagonal that KID leaves out.
    at = subset_places(side(a), "", 0, 100, 50)
    assert subset_kids(side(a), side(a), at, at).mean() < found.mean - 4 * found.std / 10


def test_trap_the_subset_s_size_is_never_lowered() -> None:
    a, b = side(normal(1000, 3, 0)), side(normal(999, 3, 1))
    with pytest.raises(TooFewSamplesError, match="at least 1000 images a side; candidate has 999"):
        kid_subsets(a, b)
    row = score_card(Pair(reference=a, candidate=b), ["kid_subsets_mean"])["kid_subsets_mean"]
    assert (row.status, row.value) == ("not_computed", None)
    enough = score_card(Pair(reference=a, candidate=side(normal(1200, 3, 1))), ["kid_subsets"])["kid_subsets_mean"]
    assert set(enough.detail) == {"subset_std", "subsets", "subset_size"}
    with pytest.raises(TooFewSamplesError, match="subset_size 1"):
        kid_subsets(a, b, subset_size=1)


def test_overflow_is_a_reason_and_not_an_infinity() -> None:
    with pytest.raises(UndefinedMetricError, match="overflow"):
        kid_subsets(side(normal(9, 2, 0) * 1e90), side(normal(9, 2, 1)), subset_size=5)
