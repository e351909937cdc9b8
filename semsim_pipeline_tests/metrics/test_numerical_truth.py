"""One answer whatever the rows' dtype, offset, rank and repeats, for every metric of the registry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from semsim_pipeline.metrics.base import EmbeddedSet, Pair, metric_facts
from semsim_pipeline.metrics.c2st import c2st
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.records import MetricValue
from semsim_pipeline_tests.metrics.test_contract import BACKGROUND, LARGE_A, LARGE_B, A, B, D, card

NAMES = sorted(metric_facts())
SMALL = [name for name in NAMES if name not in {"near_duplicates", "kid_subsets_mean"}]

SHIFTED = {
    "covariance_overlap", "coverage", "coverage_over_null", "density", "effective_rank_ratio", "energy_distance",
    "exact_duplicates", "frechet_covariance_term", "frechet_distance", "frechet_mean_term", "knn_mixing",
    "nn_distance_ratio", "precision", "recall", "recall_matched", "sliced_wasserstein",
}  # fmt: skip
"""Unchanged by one offset of both sides, by their definitions. (`frechet_infinity` and `precision_matched` are too,
but for their draws, which are by content.)"""

REPEATED = {
    "centred_cosine", "cmmd", "covariance_overlap", "effective_rank_ratio", "energy_distance", "frechet_mean_term",
    "mean_cosine", "similarity", "similarity_cs", "sliced_wasserstein", "vendi_candidate", "vendi_reference",
}  # fmt: skip
"""Unchanged when every image is there twice, by their definitions: copies are weights, and no pair of copies counts."""

BY_DIMENSION = {"kid", "sliced_wasserstein"}
"""Divided by d, so that empty columns change them; and those that draw by the rows' bits."""
BY_CONTENT = {"frechet_infinity", "precision_matched", "recall_matched", "vendi_ratio"}


def agree(name: str, one: dict[str, MetricValue], other: dict[str, MetricValue], *, rel: float, abs_: float) -> None:
    first, second = one[name].value, other[name].value
    assert first is not None, one[name].reason
    assert second == pytest.approx(first, rel=rel, abs=abs_)


def rounded(dtype: str, offset: float = 0.0) -> tuple[dict[str, MetricValue], dict[str, MetricValue]]:
    """Cards of rows of this dtype, and of the same numbers held in float64."""
    a, b = (np.asarray(rows + offset, dtype) for rows in (A, B))
    return card(a, b), card(a.astype(np.float64), b.astype(np.float64))


@pytest.fixture(scope="module", params=[("float16", 0.0), ("float32", 0.0), ("float32", 1e3)], ids=str)
def narrow(request: pytest.FixtureRequest) -> tuple[dict[str, MetricValue], dict[str, MetricValue]]:
    return rounded(*request.param)


@pytest.mark.parametrize("name", SMALL)
def test_narrow_floats_give_the_answer_of_the_same_numbers_in_float64(
    name: str, narrow: tuple[dict[str, MetricValue], dict[str, MetricValue]]
) -> None:
    # float32 kernels round at 1e-7 and the classifier stops at 1e-4; at an offset of 1,000 a KID value is 1e18.
    agree(name, *narrow, rel=1e-5, abs_=2e-3 if name.startswith("c2st") else 1e-6)


@pytest.fixture(scope="module")
def plain() -> dict[str, MetricValue]:
    return card(A, B)


@pytest.fixture(scope="module")
def shifted() -> dict[str, MetricValue]:
    return card(A + 1e3, B + 1e3)


@pytest.mark.parametrize("name", sorted(SHIFTED))
def test_an_offset_of_a_thousand_costs_no_digits(
    name: str, plain: dict[str, MetricValue], shifted: dict[str, MetricValue]
) -> None:
    agree(name, plain, shifted, rel=1e-8, abs_=1e-10)


@pytest.mark.parametrize("offset", [10.0, 1e3, 1e6])
def test_an_offset_does_not_keep_the_classifier_from_its_optimum(offset: float, plain: dict[str, MetricValue]) -> None:
    # Unscaled and uncentred, scikit-learn's solver stopped at 0.48 from an offset of 1,000 on, and called it converged.
    found = c2st(EmbeddedSet("a", A + offset), EmbeddedSet("b", B + offset))
    assert found.auc == pytest.approx(plain["c2st_auc"].value, abs=2e-3)


@pytest.fixture(scope="module")
def repeated() -> dict[str, MetricValue]:
    return card(np.repeat(A, 2, axis=0), np.repeat(B, 2, axis=0))


@pytest.mark.parametrize("name", sorted(REPEATED))
def test_every_image_twice_is_the_same_answer_where_the_definition_says_so(
    name: str, plain: dict[str, MetricValue], repeated: dict[str, MetricValue]
) -> None:
    agree(name, plain, repeated, rel=1e-9, abs_=1e-10)


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"nn_distance_ratio"}))
def test_every_image_twice_is_a_number_within_its_range(name: str, repeated: dict[str, MetricValue]) -> None:
    facts, value = metric_facts()[name], repeated[name].value
    assert value is not None, repeated[name].reason
    assert facts.range[0] <= value <= facts.range[1]


@pytest.fixture(scope="module", params=[40, 200], ids=["d=40", "n<d"])
def deficient(request: pytest.FixtureRequest) -> dict[str, MetricValue]:
    """The same rows in a 12-dimensional subspace of d dimensions."""
    d = request.param
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))
    mean = np.full(D, 0.1) @ turn[:D]
    pair = Pair(
        reference=EmbeddedSet("a", A @ turn[:D]),
        candidate=EmbeddedSet("b", B @ turn[:D]),
        background=dataclasses.replace(BACKGROUND, mean=mean),
    )
    return score_card(pair)


@pytest.mark.parametrize("name", sorted(set(SMALL) - BY_DIMENSION - BY_CONTENT))
def test_a_rank_deficient_covariance_changes_nothing(
    name: str, plain: dict[str, MetricValue], deficient: dict[str, MetricValue]
) -> None:
    agree(name, plain, deficient, rel=1e-7, abs_=2e-3 if name.startswith("c2st") else 1e-8)


@pytest.mark.parametrize("name", sorted(BY_DIMENSION | BY_CONTENT))
def test_a_rank_deficient_covariance_leaves_a_number(name: str, deficient: dict[str, MetricValue]) -> None:
    value = deficient[name].value
    assert value is not None
    assert np.isfinite(value)


def test_kid_of_a_set_with_itself_is_negative_by_exactly_the_diagonal() -> None:
    kernel = (A @ A.T / D + 1) ** 3
    n = len(A)
    off = (kernel.sum() - np.trace(kernel)) / (n * (n - 1))
    found = card(A, A.copy())["kid"].value
    assert found is not None
    assert found < 0
    assert found == pytest.approx(2 * (off - kernel.mean()), rel=1e-9)


def test_many_images_in_float16_are_counted_as_their_own_numbers() -> None:
    half = [rows.astype(np.float16) for rows in (LARGE_A, LARGE_B)]
    names = ["near_duplicates", "kid_subsets_mean"]
    cards = [
        score_card(Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b)), names)
        for a, b in (half, [rows.astype(np.float64) for rows in half])
    ]
    assert cards[0]["near_duplicates"].value == cards[1]["near_duplicates"].value
    assert cards[0]["kid_subsets_mean"].value == pytest.approx(cards[1]["kid_subsets_mean"].value, rel=1e-4)
