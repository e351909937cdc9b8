from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
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


@settings(max_examples=60, deadline=None)
@given(
    a=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=2, max_size=12),
    b=st.lists(st.tuples(st.integers(0, 5), st.integers(4, 9)), min_size=2, max_size=12),
)
def test_delong_by_unit_equals_the_double_loop(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    (scores_a, units_a), (scores_b, units_b) = (np.array(list(zip(*side, strict=True))) for side in (a, b))
    assume(min(len(set(units_a)), len(set(units_b))) > 1)
    auc, variance = delong(scores_a.astype(float), scores_b.astype(float), (units_a, units_b))
    assert auc == pytest.approx(oracles.auc_and_delong(scores_a, scores_b)[0], abs=1e-12)
    expected = oracles.clustered_auc_variance(scores_a, scores_b, units_a, units_b)
    assert variance == pytest.approx(expected, abs=1e-12)


def test_where_each_score_is_a_unit_the_variance_is_delongs_bit_for_bit() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 40))
    assert delong(a, b, (np.arange(40), np.arange(40) + 40)) == delong(a, b)


def burst_rows(seed: int, bursts: int, frames: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(
        np.repeat(rng.normal(size=(bursts, 4)), frames, axis=0) + rng.normal(size=(bursts * frames, 4)) * 0.3
    )


def test_bursts_of_one_distribution_hold_one_half() -> None:
    held = []
    for seed in range(40):
        a, b = (
            EmbeddedSet(name, burst_rows(2 * seed + side, 30, 10), groups=[f"{name}{i // 10}" for i in range(300)])
            for side, name in enumerate("ab")
        )
        low, high = c2st(a, b).interval
        held.append(low <= 0.5 <= high)
    # Counting frames held it in 0.4 of them.
    assert np.mean(held) >= 0.9


def test_copies_make_the_interval_no_narrower() -> None:
    a, b = rows(60, 0), rows(50, 1, 0.4)
    plain, copied = (
        c2st(EmbeddedSet("a", np.repeat(a, times, axis=0)), EmbeddedSet("b", np.repeat(b, times, axis=0)))
        for times in (1, 8)
    )
    # Eight times the weight of the data against the penalty: another classifier, by a little.
    width = plain.interval[1] - plain.interval[0]
    assert copied.interval[1] - copied.interval[0] == pytest.approx(width, rel=0.1)


def test_a_set_and_itself_are_not_certain_to_be_alike() -> None:
    a = rows(60, 0)
    low, high = c2st(EmbeddedSet("a", a), EmbeddedSet("b", a.copy())).interval
    assert low < 0.45
    assert high > 0.55


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
    with pytest.raises(TooFewSamplesError, match="independent images or groups"):
        c2st(EmbeddedSet("a", rows(9, 0), groups=["x"] * 9), EmbeddedSet("b", rows(9, 1)))


def peer_auc(a: np.ndarray, b: np.ndarray, fold: np.ndarray) -> float:
    """scikit-learn's AUC over given folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    labels = np.repeat([0, 1], [len(a), len(b)])
    model = LogisticRegression(C=1.0, max_iter=2000)
    both = np.concatenate([a, b])
    return float(
        roc_auc_score(
            labels, cross_val_predict(model, both, labels, cv=PredefinedSplit(fold), method="predict_proba")[:, 1]
        )
    )


def test_a_set_against_copies_of_itself_gives_exactly_one_half() -> None:
    a = rows(60, 0, d=30)
    shuffled = a[np.random.default_rng(1).permutation(60)]
    assert c2st(EmbeddedSet("a", a), EmbeddedSet("b", shuffled)).auc == pytest.approx(0.5, abs=1e-12)


def test_copies_within_a_side_follow_their_first_into_its_fold_and_the_others_stay() -> None:
    from sklearn.model_selection import StratifiedKFold

    a, b = rows(40, 0), rows(30, 1, 0.4)
    labels = np.repeat([0, 1], [40, 30])
    fold = np.empty(70, int)
    for number, (_, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels)):
        fold[test] = number
    plain = c2st(EmbeddedSet("a", a), EmbeddedSet("b", b)).auc
    assert plain == pytest.approx(peer_auc(a, b, fold), abs=1e-12)
    # The candidate's last three rows are copies of its first three, and its fourth is one of the reference's.
    b[3] = a[7]
    copied = np.concatenate([b, b[:3]])
    # The shared image leaves the candidate's list: 40 and 29 images are dealt.
    dealt = np.delete(np.arange(70), 43)
    fold = np.empty(73, int)
    for number, (_, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(dealt, labels[dealt])):
        fold[dealt[test]] = number
    fold[43], fold[70:] = fold[7], fold[40:43]
    assert c2st(EmbeddedSet("a", a), EmbeddedSet("b", copied)).auc == pytest.approx(
        peer_auc(a, copied, fold), abs=1e-12
    )


def test_trap_copies_of_noise_are_not_recognised() -> None:
    # Each of thirty images stands four times in its set: a fold that split the copies would know them by heart.
    a, b = (np.repeat(rows(30, seed, d=40), 4, axis=0) for seed in (0, 1))
    unlike = [
        EmbeddedSet(name, side, content=np.arange(120, dtype=np.uint64) + shift)
        for name, side, shift in (("a", a, 1), ("b", b, 1000))
    ]
    assert c2st(*unlike).auc > 0.95
    assert c2st(EmbeddedSet("a", a), EmbeddedSet("b", b)).auc < 0.75


def test_copies_and_groups_are_chained() -> None:
    a, b = rows(40, 0), rows(40, 1, 0.3)
    b[0] = a[0]
    grouped = EmbeddedSet("a", a, groups=[str(i // 4) for i in range(40)])
    assert 0 < c2st(grouped, EmbeddedSet("b", b)).auc < 1


def test_few_images_without_a_copy_do_not_warn() -> None:
    a = rows(40, 0)
    assert 0.3 < c2st(EmbeddedSet("a", a), EmbeddedSet("b", np.concatenate([a, rows(2, 1)]))).auc < 0.6


def test_a_fit_that_did_not_converge_is_said_and_does_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ITERATIONS", 1)
    pair = Pair(reference=EmbeddedSet("a", rows(50, 0) * 100), candidate=EmbeddedSet("b", rows(50, 1, 0.2) * 100))
    assert score_card(pair, ["c2st_auc"])["c2st_auc"].detail["converged"] == 0.0
