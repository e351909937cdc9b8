"""KID's interval where images are not independent: on both sides, copied, or in bursts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.metrics import kid_twins as module
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.kid import kid
from semsim_pipeline.metrics.kid_interval import BETWEEN_UNITS, kid_interval
from semsim_pipeline.metrics.kid_twins import distance_between_units
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.metrics.unit_pairs import UNKNOWN
from semsim_pipeline.metrics.units import layout_of

Rows = NDArray[np.float64]


def cloud(seed: int, n: int, d: int = 16) -> Rows:
    return np.asarray(np.random.default_rng(seed).normal(size=(n, d)))


def pair_of(a: Rows, b: Rows, groups: tuple[list[str | None] | None, list[str | None] | None] = (None, None)) -> Pair:
    sides = [EmbeddedSet(name, rows, groups=names) for name, rows, names in zip("ab", (a, b), groups, strict=True)]
    return Pair(reference=sides[0], candidate=sides[1])


def with_interval(pair: Pair) -> tuple[float, tuple[float, float]]:
    value = kid(pair.reference, pair.candidate)
    found = kid_interval(pair, value)
    assert found is not None
    return value, found


def mostly_shared(seed: int, fresh: int, n: int = 60) -> Pair:
    a = cloud(seed, n)
    return pair_of(a, np.concatenate([cloud(1000 + seed, fresh), a[fresh:]]))


def bursts(seed: int, number: int = 30, frames: int = 10) -> Rows:
    rng = np.random.default_rng(seed)
    return np.asarray(
        np.repeat(rng.normal(size=(number, 16)), frames, axis=0) + 0.3 * rng.normal(size=(number * frames, 16))
    )


def plain_distance(a: Rows, b: Rows, unit_a: NDArray[np.int64], unit_b: NDArray[np.int64]) -> float:
    def mean(x: Rows, y: Rows, of_x: NDArray[np.int64], of_y: NDArray[np.int64]) -> float:
        different = [
            float((x[i] @ y[j] / x.shape[1] + 1) ** 3)
            for i in range(len(x))
            for j in range(len(y))
            if of_x[i] != of_y[j]
        ]
        return sum(different) / len(different)

    return mean(a, a, unit_a, unit_a) + mean(b, b, unit_b, unit_b) - 2 * mean(a, b, unit_a, unit_b)


def test_the_distance_between_units_equals_plain_loops() -> None:
    a, b = cloud(1, 12, 3), cloud(2, 9, 3)
    b[:3], b[8], a[11] = a[:3], a[0], a[5]
    groups: tuple[list[str | None], list[str | None]] = ([str(i // 4) for i in range(12)], ["0"] + [None] * 8)
    for given in ((None, None), groups):
        pair = pair_of(a, b, given)
        layout = layout_of(pair.reference, pair.candidate)
        assert distance_between_units(pair, layout) == pytest.approx(
            plain_distance(a, b, layout.reference.unit, layout.candidate.unit), rel=1e-9
        )


def test_a_set_and_itself_have_no_distance_between_different_images() -> None:
    pair = mostly_shared(3, 0)
    assert distance_between_units(pair, layout_of(pair.reference, pair.candidate)) == pytest.approx(0, abs=1e-12)
    other = pair_of(cloud(1, 50), cloud(2, 40))
    assert distance_between_units(other, layout_of(other.reference, other.candidate)) == kid(
        other.reference, other.candidate
    )


def test_of_very_many_pairs_in_groups_a_sample_tells_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str | None] = [str(i // 50) for i in range(300)]
    a, b = bursts(1), bursts(2)
    pair = pair_of(a, b, (names, names))
    layout = layout_of(pair.reference, pair.candidate)
    whole = distance_between_units(pair, layout)
    monkeypatch.setattr(module, "MOST_PAIRS", 4000)
    some = distance_between_units(pair, layout)
    assert some != whole
    assert some == pytest.approx(whole, abs=0.02)
    order = np.random.default_rng(0).permutation(300)
    turned = pair_of(a[order], b, ([names[i] for i in order], names))
    again = distance_between_units(turned, layout_of(turned.reference, turned.candidate))
    assert again == pytest.approx(some, rel=1e-9)


@pytest.mark.parametrize("fresh", [0, 1, 15, 45])
def test_mostly_shared_sets_of_one_distribution_may_be_equal_and_are_not_infinitely_far(fresh: int) -> None:
    for seed in range(20):
        value, (low, high) = with_interval(mostly_shared(seed, fresh))
        assert low <= value <= high
        assert low <= 0 <= high
        # As wide as that of independent sets, but for the reach down to the value.
        independent = with_interval(pair_of(cloud(seed, 60), cloud(1000 + seed, 60)))[1]
        assert 0.5 < (high - min(low, 0)) / (independent[1] - independent[0]) < 2.5


def test_sharing_images_hides_no_difference() -> None:
    a = cloud(1, 300)
    pair = pair_of(a, np.concatenate([cloud(2, 150) + 1.5, a[150:]]))
    assert with_interval(pair)[1][0] > 0


def test_rows_that_are_equal_under_unlike_contents_give_no_wild_interval() -> None:
    a = cloud(1, 60)
    codes = np.arange(60, dtype=np.uint64)
    pair = Pair(
        reference=EmbeddedSet("a", a, content=codes + 1),
        candidate=EmbeddedSet("b", a.copy(), content=codes + 100),
    )
    value, (low, high) = with_interval(pair)
    assert low < value < high < 1


def test_copies_and_bursts_of_one_distribution_hold_no_distance() -> None:
    names: tuple[list[str | None], list[str | None]] = (
        [f"a{i // 10}" for i in range(300)],
        [f"b{i // 10}" for i in range(300)],
    )
    copied, burst = [], []
    for seed in range(40):
        copied.append(pair_of(*(np.repeat(cloud(seed + shift, 30), 10, axis=0) for shift in (0, 500))))
        burst.append(pair_of(bursts(seed), bursts(500 + seed), names))
    for pairs in (copied, burst):
        held = [with_interval(pair) for pair in pairs]
        assert np.mean([low <= 0 <= high for _, (low, high) in held]) >= 0.9
        # What the pairs within units alone make of equal distributions.
        assert np.mean([value for value, _ in held]) > 0.1


def test_copies_leave_the_interval_as_wide_as_without_them() -> None:
    a, b = cloud(1, 80), cloud(2, 70) + 0.3
    plain = with_interval(pair_of(a, b))[1]
    copied = pair_of(np.repeat(a, 3, axis=0), np.repeat(b, 3, axis=0))
    distance = distance_between_units(copied, layout_of(copied.reference, copied.candidate))
    assert distance == pytest.approx(kid(EmbeddedSet("a", a), EmbeddedSet("b", b)), rel=1e-9)
    low, high = with_interval(copied)[1]
    assert low == pytest.approx(plain[0], abs=0.05 * (plain[1] - plain[0]))
    assert high == pytest.approx(plain[1], abs=0.05 * (plain[1] - plain[0]))


def test_the_row_says_of_what_its_interval_is_or_why_it_has_none() -> None:
    def reason(pair: Pair) -> str | None:
        return score_card(pair, ["kid"])["kid"].reason

    assert reason(pair_of(cloud(1, 30), cloud(2, 30))) is None
    assert reason(mostly_shared(1, 10)) == BETWEEN_UNITS
    assert reason(pair_of(np.ones((30, 16)), cloud(2, 30))) == (
        "there is no interval: it needs at least 4 independent images a side, and reference has 1 "
        f"(copies and images of one group count once); {UNKNOWN}"
    )
