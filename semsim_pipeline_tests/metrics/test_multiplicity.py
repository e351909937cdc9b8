from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.multiplicity import (
    MOST_PERMUTATIONS,
    PERMUTATION_LADDER,
    benjamini_hochberg,
    holm,
    permutations_for,
)
from semsim_pipeline.metrics.similarity import batches, similarity_of
from semsim_pipeline.metrics.similarity_spread import ENOUGH_EXCEEDANCES, permutation_p_value
from semsim_pipeline.records import Background

P_VALUES = st.lists(st.floats(1e-5, 1.0), min_size=1, max_size=12)


def plain_holm(p_values: list[float]) -> list[float]:
    out = []
    for p in p_values:
        smaller = [q for q in p_values if q <= p]
        out.append(min(1.0, max(q * sum(other >= q for other in p_values) for q in smaller)))
    return out


def plain_benjamini_hochberg(p_values: list[float]) -> list[float]:
    m = len(p_values)
    return [min(1.0, *(q * m / sum(other <= q for other in p_values) for q in p_values if q >= p)) for p in p_values]


@given(P_VALUES)
def test_both_adjustments_equal_plain_loops(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(plain_holm(p_values), rel=1e-12)
    assert benjamini_hochberg(p_values) == pytest.approx([min(1.0, p) for p in plain_benjamini_hochberg(p_values)])
    assert benjamini_hochberg(p_values) == pytest.approx(list(false_discovery_control(p_values)))


@given(P_VALUES)
def test_an_adjusted_value_is_never_below_the_raw_one(p_values: list[float]) -> None:
    for raw, discovery, family in zip(p_values, benjamini_hochberg(p_values), holm(p_values), strict=True):
        assert raw * (1 - 1e-12) <= discovery <= family * (1 + 1e-12) <= 1 + 1e-12


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.5])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="within 0 and 1"):
        benjamini_hochberg([0.01, wrong, 0.5])


def test_a_known_family() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert (holm([]), benjamini_hochberg([])) == ([], [])
    assert (holm([0.2]), benjamini_hochberg([0.2])) == ([0.2], [0.2])


def test_the_ladder_gives_twenty_permutations_a_test_in_few_steps() -> None:
    steps = [permutations_for(tests) for tests in range(1, 1001)]
    assert all(permutations + 1 >= 20 * tests for tests, permutations in enumerate(steps, 1))
    assert sorted(set(steps)) == [999, 4999, 19_999]
    assert permutations_for(5000) == MOST_PERMUTATIONS
    for most, permutations in PERMUTATION_LADDER:
        # A lone difference at the smallest possible p is found by either adjustment.
        lone = [1 / (1 + permutations)] + [0.9] * (most - 1)
        assert max(holm(lone)[0], benjamini_hochberg(lone)[0]) <= 0.05


@given(st.integers(1, 60_000))
def test_batches_are_all_permutations_once(permutations: int) -> None:
    runs = list(batches(permutations))
    assert [run.start for run in runs] == [0, *(run.stop for run in runs[:-1])]
    assert runs[-1].stop == permutations
    assert max(map(len, runs)) <= 5001


def test_sequential_p_values_keep_their_level() -> None:
    """Observed and permuted values exchangeable: P(p <= α) may not exceed α, early stopping or not."""
    rng = np.random.default_rng(0)
    trials, found = 4000, []
    for _ in range(trials):
        values = rng.normal(size=400)
        found.append(permutation_p_value(float(values[0]), values[1:], 0.0)[0])
    p_values = np.array(found)
    assert p_values.min() > 0
    for alpha in (0.005, 0.01, 0.05, 0.1, 0.25, 0.5):
        noise = 3 * np.sqrt(alpha * (1 - alpha) / trials)
        assert (p_values <= alpha).mean() <= alpha + noise, alpha
    assert (p_values <= 0.25).mean() >= 0.2  # it does reject: stopping is not a way never to decide


def test_more_permutations_only_resolve_a_small_p_further() -> None:
    def p_value(shift: float, permutations: int) -> tuple[float, int]:
        rng = np.random.default_rng(3)
        sides = [EmbeddedSet(name, 1 + rng.normal(size=(60, 6)) + d) for name, d in (("a", 0.0), ("b", shift))]
        background = Background(id="x", bandwidth=0.4, source="test", kappa=0.05)
        pair = Pair(reference=sides[0], candidate=sides[1], background=background, permutations=permutations)
        found = similarity_of(pair)
        return found.p_value, found.permutations

    equal = p_value(0.0, 999)
    assert equal == p_value(0.0, 4999)
    assert equal[0] >= ENOUGH_EXCEEDANCES / 999
    assert p_value(1.5, 999) == (1 / 1000, 999)
    assert p_value(1.5, 4999) == (1 / 5000, 4999)
