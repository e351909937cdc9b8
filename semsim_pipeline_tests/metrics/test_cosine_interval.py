"""The mean cosine's interval counts independent images: not copies, groups, or an image on both sides, as more."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.metrics.base import Z_95, EmbeddedSet, Pair
from semsim_pipeline.metrics.cosine import mean_cosine
from semsim_pipeline.metrics.cosine_interval import mean_cosine_interval, spread_of
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.metrics.unit_pairs import UNKNOWN
from semsim_pipeline.metrics.units import layout_of

Rows = NDArray[np.float64]


def cloud(seed: int, n: int, d: int = 6) -> Rows:
    return np.asarray(0.5 + np.random.default_rng(seed).normal(size=(n, d)))


def side(rows: Rows, groups: list[str | None] | None = None) -> EmbeddedSet:
    return EmbeddedSet("side", rows, groups=groups)


def half_width(reference: EmbeddedSet, candidate: EmbeddedSet) -> float:
    low, high = mean_cosine_interval(reference, candidate) or (0.0, 0.0)
    return (high - low) / 2


def unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def plain_variance(a: EmbeddedSet, b: EmbeddedSet) -> float:
    """The sum over units of what all of a unit's rows, on either side, do to the cosine, squared; no correction."""
    layout = layout_of(a, b)
    u, v = unit(np.asarray(a.rows, np.float64)), unit(np.asarray(b.rows, np.float64))
    total = 0.0
    for number in range(int(max(layout.reference.unit.max(), layout.candidate.unit.max())) + 1):
        effect = sum(
            float((row - u.mean(axis=0)) @ v.mean(axis=0)) / len(u) for row in u[layout.reference.unit == number]
        )
        effect += sum(
            float((row - v.mean(axis=0)) @ u.mean(axis=0)) / len(v) for row in v[layout.candidate.unit == number]
        )
        total += effect**2
    return total


def test_where_every_image_is_alone_it_is_the_variance_of_the_projections() -> None:
    a, b = cloud(1, 40), cloud(2, 25)
    u, v = unit(a), unit(b)
    variance = (u @ v.mean(axis=0)).var(ddof=1) / 40 + (v @ u.mean(axis=0)).var(ddof=1) / 25
    assert half_width(side(a), side(b)) == pytest.approx(Z_95 * variance**0.5, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(2600, 6), (40, 6), (40, 60)])
@pytest.mark.parametrize("of_a_unit", [1, 4, 1500])
def test_a_spread_is_of_sums_by_unit_however_they_fall_into_blocks(n: int, d: int, of_a_unit: int) -> None:
    a, toward = cloud(1, n, d), cloud(2, 1, d)[0]
    names: list[str | None] = [str(i // of_a_unit) for i in range(n)]
    order = np.random.default_rng(3).permutation(n)
    found = spread_of(side(a[order], [names[i] for i in order]))
    u = unit(a)
    sums = np.bincount(np.arange(n) // of_a_unit, weights=(u - u.mean(axis=0)) @ toward)
    assert found.units == len(sums)
    assert found.along(toward) == pytest.approx(float(sums @ sums), rel=1e-9, abs=1e-20)


def test_copies_add_nothing() -> None:
    a, b = cloud(1, 40), cloud(2, 25)
    plain = mean_cosine_interval(side(a), side(b))
    copied = mean_cosine_interval(side(np.repeat(a, 10, axis=0)), side(np.repeat(b, 10, axis=0)))
    assert copied == pytest.approx(plain, rel=1e-9)


def test_copies_and_groups_are_one_unit_together() -> None:
    # A copy of the first image in the second burst makes one unit of both bursts.
    a, b = cloud(1, 40), cloud(2, 25)
    names: list[str | None] = [str(i // 5) for i in range(40)]
    chained, renamed = a.copy(), ["0" if name == "1" else name for name in names]
    chained[5] = chained[0]
    assert half_width(side(chained, names), side(b)) == pytest.approx(half_width(side(chained, renamed), side(b)))
    assert half_width(side(chained, names), side(b)) > half_width(side(chained), side(b))


@pytest.mark.parametrize("names", [None, [str(i // 4) for i in range(24)]])
def test_images_on_both_sides_move_it_twice(names: list[str | None] | None) -> None:
    a = cloud(1, 24)
    b = np.concatenate([a[:10], cloud(2, 6)])
    reference, candidate = side(a, names), side(b)
    layout = layout_of(reference, candidate)
    assert not layout.sides_independent
    found = half_width(reference, candidate)
    least = Z_95 * plain_variance(reference, candidate) ** 0.5
    most = min(layout.reference.units, layout.candidate.units)
    assert least < found < least * (most / (most - 1)) ** 0.5


def test_shared_images_and_copies_cover_as_others_do() -> None:
    truth = mean_cosine(side(cloud(1, 30_000)), side(cloud(2, 30_000)))
    hits = {"shared": 0, "copied": 0}
    for seed in range(150):
        a = cloud(10 + seed, 60)
        shared = np.concatenate([a[:45], cloud(1000 + seed, 15)])
        copied = np.repeat(cloud(2000 + seed, 30), 8, axis=0)
        for name, other in (("shared", shared), ("copied", copied)):
            low, high = mean_cosine_interval(side(a), side(other)) or (0.0, 0.0)
            hits[name] += low <= truth <= high
    assert all(0.89 <= hit / 150 <= 0.99 for hit in hits.values()), hits


def test_one_image_fifty_times_has_no_interval_and_the_row_says_why() -> None:
    pair = Pair(reference=side(np.repeat(cloud(1, 1), 50, axis=0)), candidate=side(cloud(2, 20)))
    row = score_card(pair, ["mean_cosine"])["mean_cosine"]
    assert row.value is not None
    assert row.interval is None
    assert row.reason == (
        "there is no interval: it needs at least 2 independent images a side, and reference has 1 "
        f"(copies and images of one group count once); {UNKNOWN}"
    )
    other = Pair(reference=side(cloud(1, 20)), candidate=side(cloud(2, 20)))
    assert score_card(other, ["mean_cosine"])["mean_cosine"].reason is None
