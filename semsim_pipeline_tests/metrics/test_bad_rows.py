"""Bad input, by name: a row says why it has no number, the others stand, and nothing warns (warnings are errors)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import semsim_pipeline as semsim
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.errors import DimensionMismatchError, InvalidEmbeddingsError
from semsim_pipeline.metrics.base import EmbeddedSet, metric_facts
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics.test_contract import BACKGROUND, LARGE_A, NAMES, A, B, D, card, cloud, pair_of

ON_UNIT_ROWS = {
    "mean_cosine", "relative_cosine", "centred_cosine", "similarity", "similarity_cs", "cmmd",
    "vendi_reference", "vendi_candidate", "vendi_ratio",
}  # fmt: skip


def test_a_zero_vector_costs_the_rows_that_need_a_direction_and_no_other() -> None:
    rows = A.copy()
    rows[7] = 0
    found = card(rows, B)
    for name in set(NAMES) - {"kid_subsets_mean", "near_duplicates"}:
        row = found[name]
        assert (row.value is None) == (name in ON_UNIT_ROWS), name
        if row.value is None:
            assert row.reason == "a: Row 7 is all zeros: it has no direction, so no cosine; remove such rows."


@pytest.mark.parametrize("name", sorted(ON_UNIT_ROWS))
def test_a_zero_vector_is_named_by_its_place_in_the_set_not_in_a_block(name: str) -> None:
    rows = np.random.default_rng(0).normal(size=(4200, 3))
    rows[4150] = 0
    pair = pair_of(B[:, :3], rows)
    assert "b: Row 4150 is all zeros" in (score_card(pair, [name])[name].reason or "")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_and_infinity_are_refused_with_the_side_and_the_row(bad: float, dtype: str) -> None:
    rows = A.astype(dtype)
    rows[11, 3] = bad
    with pytest.raises(InvalidEmbeddingsError, match=r"candidate: row 11 holds NaN or infinity"):
        semsim.score(A, rows)


def test_mismatched_widths_are_refused_with_both() -> None:
    with pytest.raises(DimensionMismatchError, match=r"12.*5|5.*12"):
        semsim.score(A, B[:, :5])


@pytest.mark.parametrize("shape", [(0, D), (3, 0), (D,), (2, 3, 4)])
def test_no_rows_no_columns_and_no_table_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidEmbeddingsError, match="reference: "):
        semsim.score(np.zeros(shape), B)


def headline(a: np.ndarray, b: np.ndarray) -> Comparison:
    return semsim.score(a, b, background=BACKGROUND, metrics=["kid"])


@pytest.mark.parametrize("n", [1, 2, 5, 19])
def test_few_images_never_get_a_headline(n: int) -> None:
    for found in (headline(A[:n], B), headline(A, B[:n]), headline(A[:n], A[:n])):
        assert found.value is None
        assert found.status in {"unreliable", "not_computed"}
        assert "at least" in (found.reason or found.verdict.reason or "")


def test_constant_sets_have_no_headline_however_many_images() -> None:
    same = np.full((200, D), 0.3)
    for a, b in ((same, same.copy()), (A, same), (same, A), (same, same * 2)):
        found = headline(a, b)
        assert found.value is None
        assert "independent images" in (found.reason or "")


def test_nearly_constant_sets_have_numbers_within_range_or_reasons() -> None:
    noise = np.random.default_rng(0).normal(size=(60, D)) * 1e-7
    for dtype in ("float32", "float64"):
        rows = (np.ones((60, D)) + noise).astype(dtype)
        for name, row in card(rows[:30], rows[30:]).items():
            facts = metric_facts()[name]
            if row.value is None:
                assert row.reason, name
            else:
                assert facts.range[0] <= row.value <= facts.range[1], name


def test_two_identical_sets_are_exactly_one_and_all_of_it_is_called_a_copy() -> None:
    found = semsim.score(A, A.copy(), background=BACKGROUND)
    assert found.overlap == found.metrics["exact_duplicates"].value == len(A)
    assert found.similarity is not None
    assert found.similarity.raw == pytest.approx(1.0, abs=1e-12)
    assert found.metrics["c2st_auc"].value == 0.5
    kid = found.metrics["kid"]
    assert kid.value is not None
    assert kid.interval is not None
    assert kid.interval[0] <= kid.value < 0 < kid.interval[1] < -2 * kid.value
    assert "copies" in (kid.reason or "")


@pytest.mark.parametrize("fresh", [1, 22, 60])
def test_two_mostly_shared_sets_are_neither_certainly_apart_nor_infinitely_far(fresh: int) -> None:
    found = card(A, np.concatenate([cloud(fresh, seed=9), A[fresh:]]))
    for name in ("kid", "mean_cosine", "similarity", "c2st_auc"):
        row = found[name]
        assert row.interval is not None
        assert row.value is not None
        assert row.interval[0] <= row.value <= row.interval[1]
    kid = found["kid"]
    assert kid.interval is not None
    assert kid.interval[0] <= 0 <= kid.interval[1] < 10


def test_one_class_on_a_side_has_no_table_of_classes_and_no_complaint() -> None:
    from semsim_pipeline.comparison.assess import EncoderIdentity, assess
    from semsim_pipeline.metrics.base import Labels

    # A low floor: too diverse a pair would be given clusters instead.
    encoder = EncoderIdentity(name="e", fingerprint="", background=dataclasses.replace(BACKGROUND, kappa=0.02))
    sides = [
        EmbeddedSet("s", rows, labels={"label": Labels.of(labels)})
        for rows, labels in ((A, ["x"] * len(A)), (B, ["x", "y"] * (len(B) // 2)))
    ]
    found = assess(sides[0], sides[1], encoder, permutations=99)
    assert found.classes is None
    assert "classes" not in found.to_json()


def test_fewer_rows_than_a_metric_needs_leave_the_others_standing() -> None:
    found = card(A[:8], B[:8])
    missing = {name for name, row in found.items() if row.value is None}
    assert {"kid_subsets_mean", "frechet_infinity", "near_duplicates"} <= missing
    assert {"kid", "mean_cosine", "frechet_distance", "precision", "c2st_auc"}.isdisjoint(missing)
    for name in missing:
        assert "at least" in (found[name].reason or ""), name


def test_a_side_within_the_other_is_no_perfect_score() -> None:
    # The smaller side is wholly copied: the copies carry no evidence, and the row of copies says what happened.
    found = card(LARGE_A, LARGE_A[:300])
    assert found["exact_duplicates"].value == 300
    assert found["near_duplicates"].value == 0
