from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from semsim_pipeline.metrics import neighbors
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.clouds import Bounds
from semsim_pipeline.metrics.near_duplicates import near_duplicates
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics import oracles


@functools.cache
def sets() -> tuple[np.ndarray, np.ndarray]:
    """1,010 and 60 rows; of the candidate, 3 are near twins, 4 copies, and one is a copy's near twin."""
    a, b = np.random.default_rng(0).normal(size=(1010, 3)), np.random.default_rng(1).normal(size=(60, 3))
    b[:3] = a[:3] + 1e-5
    b[3:7] = a[3:7]
    b[7] = a[3] - 1e-5
    return a, b


def pair(a: np.ndarray, b: np.ndarray, **words: object) -> Pair:
    return Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b, **words))  # type: ignore[arg-type]


def test_equals_the_plain_loop_and_counts_the_planted_ones() -> None:
    a, b = sets()
    found = near_duplicates(EmbeddedSet("a", a), EmbeddedSet("b", b))
    count, threshold = oracles.near_twins(a, b)
    assert found.count == count == 4
    assert found.threshold == pytest.approx(threshold, rel=1e-12)
    assert found.expected == pytest.approx(0.056)


def test_copies_are_counted_once_as_copies() -> None:
    card = score_card(pair(*sets()), ["exact_duplicates", "near_duplicates"])
    assert (card["exact_duplicates"].value, card["near_duplicates"].value) == (4, 4)
    assert card["near_duplicates"].detail["share"] == pytest.approx(4 / 60)


def test_another_file_with_the_very_same_row_is_a_near_duplicate() -> None:
    a, b = sets()
    named = score_card(pair(a, b, content=np.arange(60, dtype=np.uint64)), ["near_duplicates"])["near_duplicates"]
    assert named.value == 8


def test_about_a_thousandth_is_counted_where_nothing_leaks() -> None:
    a, b = np.random.default_rng(2).normal(size=(4000, 4)), np.random.default_rng(3).normal(size=(4000, 4))
    found = near_duplicates(EmbeddedSet("a", a), EmbeddedSet("b", b))
    assert found.expected == 4.0
    assert found.count <= 14


def test_copies_within_the_reference_do_not_lower_the_threshold() -> None:
    a, b = sets()
    once, twice = (near_duplicates(EmbeddedSet("a", x), EmbeddedSet("b", b)) for x in (a, np.concatenate([a, a])))
    assert twice.threshold == once.threshold


def test_too_few_distinct_images_are_a_reason_in_words() -> None:
    a, b = sets()
    few = score_card(pair(np.concatenate([a[:600], a[:600]]), b), ["near_duplicates"])["near_duplicates"]
    assert "at least 1000 distinct reference images" in (few.reason or "")
    assert "found 600" in (few.reason or "")


def test_it_costs_no_distance_pass_beside_mixing(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[bool] = []
    plain = neighbors.bound_tiles

    def counted(*args: Any, upper: bool, **kwargs: Any) -> Iterator[Bounds]:
        passes.append(upper)
        return plain(*args, upper=upper, **kwargs)

    monkeypatch.setattr(neighbors, "bound_tiles", counted)
    score_card(pair(*sets()), ["near_duplicates", "knn_mixing", "nn_distance_ratio"])
    # Each side among its own, and one pass across for both directions.
    assert sorted(passes) == [False, True, True]


def test_kept_lists_are_of_the_last_other_side_only() -> None:
    a, b = sets()
    one, other, third = EmbeddedSet("a", a), EmbeddedSet("b", b), EmbeddedSet("c", b[::-1] + 0.1)
    first = neighbors.cross_neighbours(other, one, 1)
    assert neighbors.cross_neighbours(other, one, 10) is first
    assert neighbors.cross_neighbours(other, third, 1) is not first
    fresh = neighbors.cross_neighbours(other, one, 12)
    assert len(fresh.row) > len(first.row)
    assert neighbors.cross_neighbours(other, one, 1) is fresh
    assert len(neighbors.cross_neighbours(other, one, 20).row) > len(fresh.row)
