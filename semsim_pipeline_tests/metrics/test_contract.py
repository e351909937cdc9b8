"""What every registered metric promises, read from its facts; a new metric is tested by being registered."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest

from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, Pair, metric_facts
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.records import Background, MetricValue

NAMES = sorted(metric_facts())
D = 12
BACKGROUND = Background(id="test", bandwidth=0.5, kappa=0.2, mean=np.full(D, 0.1), source="test")


def cloud(n: int, *, seed: int, centre: float = 1.0, spread: float = 1.0, d: int = D) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * spread + centre


def pair_of(a: np.ndarray, b: np.ndarray, **changes: object) -> Pair:
    background = dataclasses.replace(BACKGROUND, mean=np.full(a.shape[1], 0.1))
    pair = Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b), background=background)
    return dataclasses.replace(pair, **changes)  # type: ignore[arg-type]


def card(a: np.ndarray, b: np.ndarray, **changes: object) -> dict[str, MetricValue]:
    return score_card(pair_of(a, b, **changes))


A, B = cloud(90, seed=1), cloud(70, seed=2, centre=1.3, spread=0.8)
# Two shared images, so that leakage has something to count.
B[:2] = A[:2]


# For metrics that need many images: the same with room for a tail of rare distances. Two near twins of one image
# and one copy, so that the near duplicates of either side differ in number.
LARGE_A, LARGE_B = cloud(1100, seed=3), cloud(1050, seed=4, centre=1.3, spread=0.8)
LARGE_B[0] = LARGE_A[0]
LARGE_B[1:3] = LARGE_A[1] + [[1e-3], [-1e-3]]

Change = Callable[[np.ndarray, np.ndarray], dict[str, MetricValue]]


@functools.cache
def changed(change: Change, large: bool) -> dict[str, MetricValue]:
    return change(LARGE_A, LARGE_B) if large else change(A, B)


def plain(a: np.ndarray, b: np.ndarray) -> dict[str, MetricValue]:
    return card(a, b)


def needs_many(facts: MetricFacts) -> bool:
    # Without images, `near_duplicates` has the reference's own distances to go by, and they need a tail.
    return facts.min_samples > len(B) or facts.name == "near_duplicates"


def value(change: Change, name: str) -> float:
    found = changed(change, needs_many(metric_facts()[name]))[name]
    assert found.value is not None, found.reason
    return float(found.value)


def tolerance(facts: MetricFacts, *, rounding: float = 1e-9) -> float:
    """A subsample's classifier stops at a tolerance and deals its folds by row order: its noise, not rounding."""
    return 0.08 if facts.cost == "subsample" else rounding


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_complete(name: str) -> None:
    facts = metric_facts()[name]
    assert facts.range[0] < facts.range[1]
    assert facts.min_samples >= 1
    assert facts.meaning.endswith(".")
    assert facts.source
    if facts.at_identity is not None:
        assert facts.range[0] <= facts.at_identity <= facts.range[1]


def test_families_return_exactly_what_their_facts_list() -> None:
    for family in METRICS:
        a, b = (LARGE_A, LARGE_B) if any(needs_many(facts) for facts in family.facts) else (A, B)
        assert set(family.compute(pair_of(a, b))) == {facts.name for facts in family.facts}


@pytest.mark.parametrize("name", NAMES)
def test_value_lies_in_its_stated_range_and_interval(name: str) -> None:
    facts, row = metric_facts()[name], changed(plain, False)[name]
    assert facts.range[0] <= value(plain, name) <= facts.range[1]
    if row.interval is not None:
        assert row.interval[0] <= value(plain, name) <= row.interval[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_value_stands_beside_what_equal_sets_show_or_says_why_not(name: str) -> None:
    facts = metric_facts()[name]
    null = changed(plain, needs_many(facts))[name].null
    assert (null is None) == bool(facts.no_null)
    assert null is None or facts.range[0] <= null <= facts.range[1]


def identical(a: np.ndarray, _: np.ndarray) -> dict[str, MetricValue]:
    return card(a, a.copy())


@pytest.mark.parametrize("name", [n for n in NAMES if metric_facts()[n].at_identity is not None])
def test_a_set_against_itself_gives_at_identity(name: str) -> None:
    assert value(identical, name) == pytest.approx(metric_facts()[name].at_identity, abs=1e-9)


def exchanged(a: np.ndarray, b: np.ndarray) -> dict[str, MetricValue]:
    return card(b, a)


@pytest.mark.parametrize("name", NAMES)
def test_symmetry_is_as_declared_both_ways(name: str) -> None:
    one, other = value(plain, name), value(exchanged, name)
    if metric_facts()[name].symmetric:
        assert other == pytest.approx(one, rel=1e-9, abs=1e-12)
    elif name == "exact_duplicates":
        # Two images in each are shared; a third repeat within one side makes the counts differ.
        repeated = np.concatenate([A, B[:1]])
        assert card(repeated, B)[name].value != card(B, repeated)[name].value
    else:
        assert other != one


def shuffled(a: np.ndarray, b: np.ndarray) -> dict[str, MetricValue]:
    rng = np.random.default_rng(5)
    return card(a[rng.permutation(len(a))], b[rng.permutation(len(b))])


@pytest.mark.parametrize("name", NAMES)
def test_row_order_does_not_matter(name: str) -> None:
    # Draws are by content; only the classifier deals its folds by row.
    noise = tolerance(metric_facts()[name]) if name.startswith("c2st") else 1e-9
    assert value(shuffled, name) == pytest.approx(value(plain, name), abs=noise, rel=1e-9)


def chunked(a: np.ndarray, b: np.ndarray) -> dict[str, MetricValue]:
    return card(a, b, working_memory=1)


@pytest.mark.parametrize("name", NAMES)
def test_working_memory_does_not_matter(name: str) -> None:
    assert value(chunked, name) == pytest.approx(value(plain, name), rel=1e-9, abs=1e-12)


def single(a: np.ndarray, b: np.ndarray) -> dict[str, MetricValue]:
    return card(a.astype(np.float32), b.astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_float32_rows_give_the_float64_value(name: str) -> None:
    facts = metric_facts()[name]
    assert value(single, name) == pytest.approx(value(plain, name), abs=tolerance(facts, rounding=1e-5), rel=1e-5)


def rotated(a: np.ndarray, b: np.ndarray) -> dict[str, MetricValue]:
    turn, _ = np.linalg.qr(np.random.default_rng(6).normal(size=(D, D)))
    return card(a @ turn, b @ turn)


@pytest.mark.parametrize("name", [n for n in NAMES if metric_facts()[n].rotation_invariant])
def test_rotation_does_not_matter_where_declared(name: str) -> None:
    assert value(rotated, name) == pytest.approx(value(plain, name), abs=tolerance(metric_facts()[name]), rel=1e-9)


def test_rotation_matters_where_not_declared() -> None:
    assert value(rotated, "centred_cosine") != pytest.approx(value(plain, "centred_cosine"), abs=1e-6)


@pytest.mark.parametrize("name", [n for n in NAMES if metric_facts()[n].min_samples > 1])
@pytest.mark.parametrize("short", ["reference", "candidate"])
def test_too_few_images_give_a_row_with_words_and_no_number(name: str, short: str) -> None:
    least = metric_facts()[name].min_samples
    few, enough = (LARGE_A[: least - 1], LARGE_B) if needs_many(metric_facts()[name]) else (A[: least - 1], B)
    pair = pair_of(few, enough) if short == "reference" else pair_of(enough, few)
    row = score_card(pair, [name])[name]
    assert row.status == "not_computed"
    assert row.value is None
    assert row.reason == f"needs at least {least} images a side; {short} has {least - 1}"


def test_too_small_a_reference_gives_a_row_with_words_and_no_number() -> None:
    row = score_card(pair_of(LARGE_A[:999], LARGE_B), ["near_duplicates"])["near_duplicates"]
    assert (row.status, row.value) == ("not_computed", None)
    assert "needs at least 1000 distinct reference images" in (row.reason or "")
    assert "found 999" in (row.reason or "")
    assert score_card(pair_of(LARGE_A[:1000], LARGE_B[:5]), ["near_duplicates"])["near_duplicates"].value is not None


def test_one_image_a_side_never_gives_a_flattering_number() -> None:
    found = card(A[:1], A[:1].copy())
    computed = {name for name, row in found.items() if row.status == "ok"}
    assert computed <= {"mean_cosine", "centred_cosine", "exact_duplicates"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_embeddings_give_numbers_or_reasons_never_nan(dtype: str) -> None:
    rows = np.full((30, D), 0.3, dtype)
    for found in (card(rows, rows[:20].copy()), card(rows, A.astype(dtype)), card(A.astype(dtype), rows)):
        assert set(found) == set(NAMES)
        for row in found.values():
            assert row.value is not None or row.reason
    same = card(rows, rows[:20].copy())
    assert same["knn_mixing"].value == pytest.approx(1.0)
    assert same["precision"].value == 0.0
    assert same["frechet_distance"].value == pytest.approx(0.0, abs=1e-9)
    assert same["nn_distance_ratio"].status == "not_computed"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fewer_rows_than_columns(dtype: str) -> None:
    a, b = cloud(25, seed=3, d=64).astype(dtype), cloud(22, seed=4, d=64).astype(dtype)
    for name, row in card(a, b).items():
        facts = metric_facts()[name]
        if facts.min_samples > len(b) or needs_many(facts):
            continue
        assert row.value is not None, (name, row.reason)
        assert facts.range[0] <= row.value <= facts.range[1], name


@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_scale_of_the_rows_never_breaks_a_metric(scale: float) -> None:
    for row in card(A * scale, B * scale).values():
        assert row.value is not None or row.reason


def test_without_a_background_the_rows_that_need_one_say_so() -> None:
    found = score_card(pair_of(A, B, background=None), ["centred_cosine"])
    assert found["centred_cosine"].status == "not_computed"
    assert "background" in (found["centred_cosine"].reason or "")
