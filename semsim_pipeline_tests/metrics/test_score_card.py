from __future__ import annotations

import numpy as np
import pytest

from semsim_pipeline.errors import UnknownNameError
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFamily, Pair
from semsim_pipeline.metrics.leakage import exact_duplicates
from semsim_pipeline.metrics.score_card import score_card


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4))


def pair(n: int = 30, m: int = 20) -> Pair:
    return Pair(reference=EmbeddedSet("a", rows(n, 0)), candidate=EmbeddedSet("b", rows(m, 1)))


def test_a_metric_s_name_returns_it_alone_and_a_family_s_name_all_of_it() -> None:
    assert list(score_card(pair(), ["precision"])) == ["precision"]
    assert list(score_card(pair(), ["prdc"])) == ["precision", "recall", "density", "coverage"]
    assert list(score_card(pair(), ["kid", "recall"])) == ["kid", "recall"]


def test_an_unknown_name_is_refused_before_any_work_with_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'precision'"):
        score_card(pair(), ["precison"])


def test_too_few_images_name_the_side_or_both() -> None:
    assert score_card(pair(m=1), ["kid"])["kid"].reason == "needs at least 2 images a side; candidate has 1"
    both = score_card(pair(3, 4), ["precision"])["precision"].reason
    assert both == "needs at least 6 images a side; reference has 3 and candidate has 4"


def test_an_unexpected_error_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    family = METRICS.get("leakage")

    def broken(_: Pair) -> dict[str, object]:
        raise RuntimeError("a fault")

    fake = MetricFamily(name="leakage", facts=family.facts, compute=broken)  # type: ignore[arg-type]
    METRICS.names()
    monkeypatch.setitem(METRICS._entries, "leakage", fake)
    with pytest.raises(RuntimeError, match="a fault"):
        score_card(pair(), ["leakage"])


def test_exact_duplicates_count_candidate_images_by_content() -> None:
    a, b = rows(5, 0), rows(4, 1)
    b[:2] = a[3]
    assert exact_duplicates(EmbeddedSet("a", a), EmbeddedSet("b", b)) == 2
    assert exact_duplicates(EmbeddedSet("b", b), EmbeddedSet("a", a)) == 1
    named = EmbeddedSet("b", b, content=np.array([7, 8, 9, 10], np.uint64))
    assert exact_duplicates(EmbeddedSet("a", a, content=np.array([1, 2, 3, 9, 9], np.uint64)), named) == 1


def test_trap_a_tenth_of_copies_shows_in_leakage_and_not_in_the_distance() -> None:
    a, b = rows(1000, 0), rows(1000, 1)
    copied = b.copy()
    copied[:100] = a[:100]
    names = ["frechet_distance", "exact_duplicates"]
    clean = score_card(Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b)), names)
    leaky = score_card(Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", copied)), names)
    assert (clean["exact_duplicates"].value, leaky["exact_duplicates"].value) == (0, 100)
    assert leaky["exact_duplicates"].detail == {"share": 0.1}
    assert leaky["frechet_distance"].value == pytest.approx(clean["frechet_distance"].value, abs=0.02)
