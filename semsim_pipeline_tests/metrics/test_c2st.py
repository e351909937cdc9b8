from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics import c2st as module
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.c2st import c2st, delong
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics import oracles


def rows(n: int, seed: int, centre: float = 0.0, d: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


@settings(max_examples=60, deadline=None)
@given(a=st.lists(st.integers(0, 5), min_size=2, max_size=12), b=st.lists(st.integers(0, 5), min_size=2, max_size=12))
def test_delong_equals_the_double_loop_with_ties(a: list[int], b: list[int]) -> None:
    found = delong(np.array(a, float), np.array(b, float))
    assert found == pytest.approx(oracles.auc_and_delong(np.array(a), np.array(b)), abs=1e-12)


def test_above_2000_rows_a_seeded_sample_is_used_and_said() -> None:
    big, small = EmbeddedSet("a", rows(2300, 0, d=2)), EmbeddedSet("b", rows(500, 1, 0.5, d=2))
    one, again, other = (c2st(big, small, seed=seed) for seed in (0, 0, 1))
    assert (one.rows_reference, one.rows_candidate) == (2000, 500)
    assert one == again
    assert one.auc != other.auc


def test_trap_the_auc_is_out_of_fold() -> None:
    # Forty columns and thirty rows of noise: the training AUC is 1.
    found = c2st(EmbeddedSet("a", rows(30, 0, d=40)), EmbeddedSet("b", rows(30, 1, d=40)))
    assert found.auc < 0.75


def test_interval_holds_half_for_equal_distributions_mostly_and_not_for_others() -> None:
    # Mostly: DeLong takes the scores as given, so it leaves out what another training sample would have changed.
    near = [c2st(EmbeddedSet("a", rows(200, s)), EmbeddedSet("b", rows(200, 1000 + s))) for s in range(40)]
    assert np.mean([found.interval[0] < 0.5 < found.interval[1] for found in near]) > 0.65
    assert np.mean([found.auc for found in near]) == pytest.approx(0.5, abs=0.03)
    far = c2st(EmbeddedSet("a", rows(200, 0)), EmbeddedSet("b", rows(200, 1, 0.5)))
    assert far.interval[0] > 0.7


def test_groups_stay_in_one_fold() -> None:
    # Each burst sits at a place of its own, by chance: a classifier that saw a frame knows the rest of the burst.
    rng = np.random.default_rng(0)
    a, b = (np.repeat(rng.normal(size=(12, 30)), 15, axis=0) + rng.normal(size=(180, 30)) * 0.01 for _ in range(2))
    names = [str(i) for i in range(12) for _ in range(15)]
    loose = c2st(EmbeddedSet("a", a), EmbeddedSet("b", b))
    tied = c2st(
        EmbeddedSet("a", a, groups=["a" + g for g in names]), EmbeddedSet("b", b, groups=["b" + g for g in names])
    )
    assert loose.auc > 0.99
    assert tied.auc < 0.85


def test_one_grouped_side_and_one_without_groups() -> None:
    grouped = EmbeddedSet("a", rows(40, 0), groups=[str(i // 4) for i in range(40)])
    assert 0 < c2st(grouped, EmbeddedSet("b", rows(30, 1))).auc < 1


def test_too_few_images_or_groups() -> None:
    with pytest.raises(TooFewSamplesError, match="candidate has 4"):
        c2st(EmbeddedSet("a", rows(9, 0)), EmbeddedSet("b", rows(4, 1)))
    with pytest.raises(TooFewSamplesError, match="independent groups"):
        c2st(EmbeddedSet("a", rows(9, 0), groups=["x"] * 9), EmbeddedSet("b", rows(9, 1)))


def test_a_fit_that_did_not_converge_is_said_and_does_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ITERATIONS", 1)
    pair = Pair(reference=EmbeddedSet("a", rows(50, 0) * 100), candidate=EmbeddedSet("b", rows(50, 1, 0.2) * 100))
    assert score_card(pair, ["c2st_auc"])["c2st_auc"].detail["converged"] == 0.0
