from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.errors import DimensionMismatchError, TooFewSamplesError
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.moments import Moments, moments_of


def same(one: Moments, other: Moments, *, scale: float = 1.0) -> None:
    assert one.n == other.n
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=1e-9, atol=1e-9 * scale**2)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6), seed=st.integers(0, 99), data=st.data())
def test_merge_is_associative_commutative_and_equals_one_chunk(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    rows = np.random.default_rng(seed).normal(size=(sum(sizes), 3)) * 10 + 100
    parts = [Moments.from_chunk(part) for part in np.split(rows, np.cumsum(sizes)[:-1])]
    whole = Moments.from_chunk(rows)
    order = data.draw(st.permutations(parts))
    same(functools.reduce(Moments.merge, order, Moments.empty(3)), whole, scale=100)
    same(functools.reduce(lambda right, left: left.merge(right), order), whole, scale=100)


def test_covariance_is_that_of_numpy_with_ddof_1() -> None:
    rows = np.random.default_rng(0).normal(size=(9000, 5)) + 3
    np.testing.assert_allclose(
        Moments.from_chunk(rows).covariance(), np.cov(rows, rowvar=False), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(Moments.from_chunk(rows).covariance(ddof=0), np.cov(rows.T, ddof=0), atol=1e-12)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_trap_an_offset_costs_no_digits(offset: float) -> None:
    # Halves are exact in float32 at these offsets; a float32 sum of squares would lose all of them.
    rows = np.random.default_rng(1).integers(-8, 8, size=(5000, 4)) / 2
    shifted = (rows + offset).astype(np.float32)
    # The blocks' means are stored to 1e-16 of the offset, and their gaps carry that into the merge.
    np.testing.assert_allclose(
        Moments.from_chunk(shifted).covariance(), np.cov(rows, rowvar=False), rtol=1e-12, atol=1e-12 + 1e-17 * offset
    )
    np.testing.assert_allclose(Moments.from_chunk(shifted).mean, rows.mean(axis=0) + offset, rtol=1e-15)


def test_refusals() -> None:
    with pytest.raises(TooFewSamplesError, match="at least 2"):
        Moments.from_chunk(np.ones((1, 2))).covariance()
    with pytest.raises(DimensionMismatchError):
        Moments.empty(2).merge(Moments.empty(3))


def test_a_set_computes_its_moments_once() -> None:
    side = EmbeddedSet("a", np.random.default_rng(0).normal(size=(5, 2)))
    assert moments_of(side) is moments_of(side)
