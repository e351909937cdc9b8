"""Size-matched precision and recall: plain loops on the same draws, equal sizes, and what sizes alone do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.prdc import coverage_null, precision_recall_density_coverage, share_inside
from semsim_pipeline.metrics.prdc_matched import draws_for, matched_share, precision_recall_matched, thinned
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics import oracles

NAMES = ["precision_matched", "recall_matched", "coverage_over_null"]


def side(rows: np.ndarray) -> EmbeddedSet:
    return EmbeddedSet("side", rows)


def normal(n: int, d: int, seed: int, *, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * spread


def pair(a: np.ndarray, b: np.ndarray, **words: object) -> Pair:
    return Pair(reference=side(a), candidate=side(b), **words)  # type: ignore[arg-type]


grids = st.integers(6, 14).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=2), min_size=n, max_size=n)
)


@settings(max_examples=60, deadline=None)
@given(a=grids, b=grids, k=st.integers(1, 5))
def test_share_inside_on_integer_grids_equals_the_plain_loop(a: list[list[int]], b: list[list[int]], k: int) -> None:
    x, y = np.array(a, np.float32), np.array(b, np.float32)
    expected = oracles.share_in_balls(x, y, k)
    assert share_inside(side(x), side(y), k=k, working_memory=0) == pytest.approx(expected)


@pytest.mark.parametrize("turned", [False, True])
def test_matched_values_are_the_plain_loop_s_on_the_same_draws(turned: bool) -> None:
    large, small = normal(40, 3, 0), normal(15, 3, 1, spread=0.9)
    draws = [thinned(side(large), 15, 0, draw).rows for draw in range(draws_for(40, 15))]
    assert len(draws) == 10
    around_large = float(np.mean([oracles.share_in_balls(small, rows, 5) for rows in draws]))
    # All ways to thin the larger side, averaged: its share on all rows.
    around_small = oracles.share_in_balls(large, small, 5)
    found = precision_recall_matched(pair(small, large) if turned else pair(large, small))
    expected = (around_small, around_large) if turned else (around_large, around_small)
    assert found == pytest.approx(expected, rel=1e-12)


def test_thinning_the_averaged_side_changes_nothing_in_expectation() -> None:
    large, small = normal(30, 2, 0), normal(12, 2, 1)
    shares = [share_inside(thinned(side(large), 12, 0, draw), side(small)) for draw in range(400)]
    assert np.mean(shares) == pytest.approx(share_inside(side(large), side(small)), abs=0.02)


def test_equal_sizes_give_precision_and_recall_exactly() -> None:
    a, b = normal(80, 4, 0), normal(80, 4, 1, spread=0.7)
    full = precision_recall_density_coverage(side(a), side(b))
    assert precision_recall_matched(pair(a, b)) == (full.precision, full.recall)
    assert score_card(pair(a, b), NAMES)["precision_matched"].detail == {"size": 80.0, "draws": 0.0}


def test_trap_sizes_alone_move_precision_but_not_the_matched_one() -> None:
    # Two parallel lines: the balls of 60 images on one reach across to the other, those of 480 do not.
    def line(n: int, seed: int) -> np.ndarray:
        return np.stack([np.random.default_rng(seed).uniform(size=n), np.zeros(n)], axis=1)

    def means(n: int) -> dict[str, float]:
        names = ["precision", "precision_matched"]
        pairs = [pair(line(n, s), np.add(line(60, 50 + s), [0, 0.03])) for s in range(5)]
        cards = [score_card(one, names) for one in pairs]
        return {name: float(np.mean([card[name].value for card in cards])) for name in names}

    large, small = means(480), means(60)
    assert large["precision"] < 0.01 < 0.9 < small["precision"]
    assert large["precision_matched"] == pytest.approx(small["precision"], abs=0.05)


def test_thinned_draws_are_distinct_seeded_and_by_content() -> None:
    rows = normal(30, 2, 0)
    one = thinned(side(rows), 12, 0, 0).rows
    assert len(np.unique(one, axis=0)) == 12
    assert (thinned(side(rows), 12, 0, 1).rows != one).any()
    assert (thinned(side(rows), 12, 1, 0).rows != one).any()
    moved = thinned(side(rows[::-1]), 12, 0, 0).rows
    assert {tuple(row) for row in moved} == {tuple(row) for row in one}


def test_coverage_over_null_is_coverage_over_its_closed_form() -> None:
    a, b = normal(30, 3, 0), normal(50, 3, 1)
    row = score_card(pair(a, b), NAMES)["coverage_over_null"]
    coverage = precision_recall_density_coverage(side(a), side(b)).coverage
    assert row.value == pytest.approx(coverage / coverage_null(30, 50), rel=1e-12)
    assert row.null == 1
    half = score_card(pair(np.concatenate([a, a + 50]), b), NAMES)["coverage_over_null"]
    assert half.value == pytest.approx(0.5, abs=0.1)


def test_copies_stay_copies_when_a_set_is_thinned() -> None:
    # A ball around an image with five copies has no inside, at any size.
    rows = np.ones((40, 3))
    assert matched_share(side(rows[:12]), side(rows)) == 0
