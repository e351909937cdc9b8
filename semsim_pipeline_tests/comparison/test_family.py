from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.comparison.family import as_family
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.score import score_arrays
from semsim_pipeline.comparison.stored import from_record, to_record
from semsim_pipeline.comparison.words import differs, evidence, p_value_text
from semsim_pipeline.metrics.multiplicity import benjamini_hochberg, holm
from semsim_pipeline.metrics.verdict import Verdict


def rows(seed: int, n: int = 60, shift: float = 0.0) -> NDArray[np.float64]:
    return np.asarray(1 + shift + np.random.default_rng(seed).normal(size=(n, 6)))


@pytest.fixture(scope="module")
def scores() -> list[Comparison]:
    """Three pairs with a p-value and one that is too small for any; no background."""
    sides = [(rows(1), rows(2)), (rows(1), rows(3, shift=2.0)), (rows(1), rows(4, n=1)), (rows(5), rows(6))]
    return [score_arrays(*pair, metrics=["kid"]) for pair in sides]


def with_p(score: Comparison, p_value: float) -> Comparison:
    assert score.similarity is not None
    return dataclasses.replace(score, similarity=dataclasses.replace(score.similarity, p_value=p_value))


def test_a_family_is_all_that_have_a_p_value(scores: list[Comparison]) -> None:
    found = as_family(scores)
    tested = [score.similarity.p_value for score in scores if score.similarity is not None]
    assert len(tested) == 3
    kept = [each.adjusted_p for each in found if each.adjusted_p is not None]
    assert [each.benjamini_hochberg for each in kept] == benjamini_hochberg(tested)
    assert [each.holm for each in kept] == holm(tested)
    assert found[2] == scores[2]
    assert found[2].to_json()["similarity"]["p_adjusted"] is None  # type: ignore[index, call-overload]
    assert as_family([]) == []


def test_a_score_alone_is_a_family_of_one(scores: list[Comparison]) -> None:
    alone = scores[1].to_json()["similarity"]
    assert isinstance(alone, dict)
    assert alone["p_adjusted"] == {"benjamini_hochberg": alone["p_value"], "holm": alone["p_value"], "tests": 1}
    assert [each.to_json() for each in as_family([scores[1]])] == [scores[1].to_json()]
    assert "adjusted" not in p_value_text(scores[1])


def test_without_a_background_the_adjusted_value_is_the_verdict(scores: list[Comparison]) -> None:
    alone = as_family([with_p(scores[1], 0.03)])
    among = as_family([with_p(scores[1], 0.03), scores[0], scores[3]])
    assert alone[0].verdict.text == "distinguishable"
    assert among[0].verdict.text == "not distinguishable"
    assert evidence(among[0]) == "no evidence of a difference once all tests count"
    assert not differs(among[0])
    assert "adjusted over 3 tests" in p_value_text(among[0])


def test_indistinguishable_sets_that_do_differ_say_so_everywhere(scores: list[Comparison]) -> None:
    assert scores[1].similarity is not None
    known = dataclasses.replace(scores[1].similarity, status="ok", reason=None)
    alike = dataclasses.replace(scores[1], similarity=known, verdict=Verdict(text="indistinguishable"))
    certain, chance = with_p(alike, 0.01), with_p(alike, 0.4)
    assert evidence(certain).startswith("the sets do differ beyond chance")
    assert certain.to_json()["similarity"]["reason"] == evidence(certain)  # type: ignore[index, call-overload]
    assert "reason" not in chance.to_json()["similarity"]  # type: ignore[operator]
    assert evidence(chance) == "no evidence of a difference"
    among = as_family([with_p(alike, 0.03), chance, chance])
    assert not among[0].different_yet_alike


def test_a_family_is_read_back(scores: list[Comparison]) -> None:
    found = as_family(scores)[1]
    assert from_record(to_record(found)).adjusted_p == found.adjusted_p
