"""The extrapolated distance: the line itself by a peer, known distances, its bias, copies and too few images."""

from __future__ import annotations

import numpy as np
import pytest

from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.frechet import frechet_distance
from semsim_pipeline.metrics.frechet_infinity import HALVES, frechet_infinity, quarters
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline_tests.metrics import oracles


def side(rows: np.ndarray, **words: object) -> EmbeddedSet:
    return EmbeddedSet("side", rows, **words)  # type: ignore[arg-type]


def normal(n: int, d: int, seed: int, *, centre: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * spread + centre


def pair(a: np.ndarray, b: np.ndarray, **words: object) -> Pair:
    return Pair(reference=side(a), candidate=side(b), **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "m", "d"), [(200, 160, 6), (60, 90, 40), (48, 44, 64)])
def test_the_line_is_that_of_polyfit_over_torch_fidelity_s_distances(n: int, m: int, d: int) -> None:
    a, b = normal(n, d, 0), normal(m, d, 1, centre=0.3, spread=1.2)
    given = pair(a, b)
    parts = [quarters(given.reference, 0), quarters(given.candidate, 0)]
    points = [(1.0, oracles.frechet(a, b))]
    for half in HALVES:
        points.append((2.0, oracles.frechet(a[np.isin(parts[0], half)], b[np.isin(parts[1], half)])))
    share, distance = np.array(points).T
    # Six halves weigh as one point: the line through both means.
    expected = np.polyfit(share, distance, 1)[1]
    # sqrtm is off by 1e-6 where the product is singular.
    assert frechet_infinity(given).value == pytest.approx(expected, rel=1e-9 if min(n, m) > 2 * d else 1e-5)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 90, 40), (48, 44, 64), (90, 60, 25), (81, 200, 40)])
def test_halves_keep_the_exact_path_where_they_have_fewer_rows_than_columns(n: int, m: int, d: int) -> None:
    a, b = normal(n, d, 0), normal(m, d, 1)
    # Constant columns: a covariance of lower rank still, whose root through d x d matrices is noise of 1e-8.
    a[:, d // 2 :] = b[:, d // 2 :] = 0.7
    part, other = quarters(side(a), 0), quarters(side(b), 0)
    halves = [frechet_distance(side(a[np.isin(part, half)]), side(b[np.isin(other, half)])) for half in HALVES]
    expected = 2 * frechet_distance(side(a), side(b)) - float(np.mean(halves))
    assert frechet_infinity(pair(a, b)).value == pytest.approx(expected, rel=1e-10)


def test_quarters_are_even_seeded_by_content_and_keep_units_whole() -> None:
    rows = normal(82, 3, 0)
    part = quarters(side(rows), 0)
    assert sorted(np.bincount(part)) == [20, 20, 21, 21]
    assert (quarters(side(rows), 1) != part).any()
    order = np.random.default_rng(0).permutation(82)
    assert (quarters(side(rows[order]), 0) == part[order]).all()
    twice = quarters(side(np.concatenate([rows, rows])), 0)
    assert (twice[:82] == twice[82:]).all()
    names = [str(i // 2) for i in range(82)]
    grouped = quarters(side(rows, groups=names), 0)
    assert (grouped[::2] == grouped[1::2]).all()


def test_equal_distributions_are_at_zero_where_the_plain_distance_is_not() -> None:
    found = [frechet_infinity(pair(normal(120, 20, s), normal(160, 20, 700 + s))) for s in range(40)]
    values = np.array([f.value for f in found])
    assert abs(values.mean()) < 4 * values.std() / 40**0.5 + 0.02
    assert min(values) < 0 < max(values)
    plain = frechet_distance(side(normal(120, 20, 0)), side(normal(160, 20, 700)))
    assert plain > 10 * abs(values.mean())


def test_a_known_distance_is_found_from_few_images() -> None:
    # ‖shift‖² + d·(1.5 - 1)²
    truth = 10 * 0.25 + 10 * 0.25
    found = [
        frechet_infinity(pair(normal(80, 10, s), normal(80, 10, 300 + s, centre=0.5, spread=1.5))).value
        for s in range(60)
    ]
    assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / 60**0.5)
    plain = [
        frechet_distance(side(normal(80, 10, s)), side(normal(80, 10, 300 + s, centre=0.5, spread=1.5)))
        for s in range(60)
    ]
    assert np.mean(plain) > truth + 6 * np.std(plain) / 60**0.5


def test_what_is_stated_of_flat_spectra_and_few_rows() -> None:
    # Eigenvalues 1/i: half the bias stays at n = 0.4·d; 1/i²: none does. From 2·d on, none whatever the spectrum.
    def left_over(n: int, d: int, power: float) -> float:
        scale = np.arange(1, d + 1) ** -power
        pairs = [pair(normal(n, d, s) * scale, normal(n, d, 90 + s) * scale) for s in range(6)]
        plain = np.mean([frechet_distance(p.reference, p.candidate) for p in pairs])
        return float(np.mean([frechet_infinity(p).value for p in pairs]) / plain)

    assert 0.4 < left_over(80, 200, 0.5) < 0.65
    assert abs(left_over(80, 200, 1.0)) < 0.2
    assert abs(left_over(400, 200, 0.0)) < 0.05


def test_detail_says_what_was_done() -> None:
    row = score_card(pair(normal(60, 4, 0), normal(45, 4, 1)), ["frechet_infinity"])["frechet_infinity"]
    assert row.detail["subsets"] == 6
    assert row.detail["smallest_subset"] == 22
    assert row.detail["at_half"] > 0
    assert row.null == 0


def test_too_few_images_or_too_few_different_ones_are_refused() -> None:
    few = score_card(pair(normal(39, 3, 0), normal(60, 3, 1)), ["frechet_infinity"])["frechet_infinity"]
    assert few.reason == "needs at least 40 images a side; reference has 39"
    copies = score_card(pair(np.repeat(normal(30, 3, 0), 2, axis=0), normal(60, 3, 1)), ["frechet_infinity"])
    assert "40 independent images" in (copies["frechet_infinity"].reason or "")
    assert "has 30" in (copies["frechet_infinity"].reason or "")
