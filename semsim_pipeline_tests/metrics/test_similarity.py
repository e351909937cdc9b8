"""The headline against its definition, stored peers' values, and the cases that broke earlier definitions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.kernel_passes import pair_sums
from semsim_pipeline.metrics.resampling import permutation_swaps
from semsim_pipeline.metrics.similarity import similarity_of
from semsim_pipeline.metrics.units import layout_of
from semsim_pipeline.records import Background
from semsim_pipeline_tests.metrics.similarity_oracle import kernel_means

BACKGROUND = Background(id="test", bandwidth=0.5, kappa=0.02, source="test")


def cloud(n: int, d: int = 16, *, seed: int = 0, centre: float = 1.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * spread + centre


def pair(a: EmbeddedSet | np.ndarray, b: EmbeddedSet | np.ndarray, **changes: object) -> Pair:
    sides = [x if isinstance(x, EmbeddedSet) else EmbeddedSet(name, x) for name, x in (("a", a), ("b", b))]
    return dataclasses.replace(Pair(reference=sides[0], candidate=sides[1], background=BACKGROUND), **changes)


@st.composite
def twinned(draw: st.DrawFn) -> tuple[np.ndarray, list[int], list[str | None]]:
    n = draw(st.integers(3, 9))
    contents = draw(st.lists(st.integers(0, 7), min_size=n, max_size=n))
    groups = draw(st.lists(st.sampled_from([None, None, "p", "q", "r"]), min_size=n, max_size=n))
    base = np.random.default_rng(7).normal(size=(8, 5))
    return base[contents], contents, groups


@settings(max_examples=120, deadline=None)
@given(a=twinned(), b=twinned(), seed=st.integers(0, 3))
def test_every_sum_matches_the_plain_loops_with_twins_and_groups(a, b, seed) -> None:
    (xa, ca, ga), (xb, cb, gb) = a, b
    codes = [np.array([c + 1 for c in side], np.uint64) for side in (ca, cb)]
    sides = [
        EmbeddedSet("a", xa, content=codes[0], groups=ga),
        EmbeddedSet("b", xb, content=codes[1], groups=gb),
    ]
    words = {"content_a": ca, "content_b": cb, "group_a": ga, "group_b": gb}
    try:
        expected = kernel_means(xa, xb, 0.5, **words)
    except ZeroDivisionError:
        with pytest.raises(TooFewSamplesError):
            similarity_of(pair(*sides))
        return
    found = similarity_of(pair(*sides, seed=seed))
    assert found.raw == pytest.approx(expected.similarity, rel=1e-9)
    assert (found.k_ab, found.k_aa, found.k_bb) == pytest.approx((expected.ab, expected.aa, expected.bb), rel=1e-9)
    assert found.overlap == len(set(ca) & set(cb))
    assert found.interval[0] <= found.raw <= found.interval[1]
    assert 0 < found.p_value <= 1


@settings(max_examples=60, deadline=None)
@given(a=twinned(), b=twinned())
def test_jackknife_equals_deleting_each_unit_for_real(a, b) -> None:
    from semsim_pipeline.metrics import similarity as module

    (xa, ca, ga), (xb, cb, gb) = a, b
    codes = [np.array([c + 1 for c in side], np.uint64) for side in (ca, cb)]
    sides = [EmbeddedSet("a", xa, content=codes[0], groups=ga), EmbeddedSet("b", xb, content=codes[1], groups=gb)]
    this = pair(*sides)
    layout = layout_of(*sides)
    sums = pair_sums(this, BACKGROUND, layout, [("swaps", permutation_swaps(*sides, layout, 0, range(3)))])[0]
    means = sums.point_means(layout)
    if not np.isfinite(means.similarity):
        return
    inner = module._inner_sums(this, BACKGROUND, layout)
    errors = module.jackknife(layout, sums.aa, sums.ab, sums.bb, means, inner)
    variance = 0.0
    for stratum in (layout.only_reference, layout.only_candidate, layout.spanning):
        values = []
        for unit in stratum:
            keep_a, keep_b = layout.reference.unit != unit, layout.candidate.unit != unit
            try:
                values.append(
                    kernel_means(
                        xa[keep_a],
                        xb[keep_b],
                        0.5,
                        content_a=np.array(ca)[keep_a],
                        content_b=np.array(cb)[keep_b],
                        group_a=np.array(ga, object)[keep_a],
                        group_b=np.array(gb, object)[keep_b],
                    ).similarity
                )
            except ZeroDivisionError:
                continue
        if len(values) > 1:
            variance += (len(values) - 1) / len(values) * float(np.square(values - np.mean(values)).sum())
    assert errors.similarity == pytest.approx(variance, rel=1e-6, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(a=twinned(), b=twinned(), column=st.integers(0, 30))
def test_permutation_columns_equal_the_plain_loops(a, b, column) -> None:
    from semsim_pipeline.metrics.similarity_spread import Means

    (xa, ca, ga), (xb, cb, gb) = a, b
    codes = [np.array([c + 1 for c in side], np.uint64) for side in (ca, cb)]
    sides = [EmbeddedSet("a", xa, content=codes[0], groups=ga), EmbeddedSet("b", xb, content=codes[1], groups=gb)]
    layout = layout_of(*sides)
    swaps = permutation_swaps(*sides, layout, 0, range(31))
    sums = pair_sums(pair(*sides), BACKGROUND, layout, [("swaps", swaps)])[0]
    s, t = swaps.reference[:, column].astype(bool), swaps.candidate[:, column].astype(bool)
    assert s.sum() >= 0
    x = np.concatenate([xa, xb])
    content, group = np.array(ca + cb), np.array(ga + gb, object)
    new = np.concatenate([~s, t])
    found = Means.of_swaps(layout, swaps, sums.aa, sums.ab, sums.bb).similarities()[column]
    try:
        expected = kernel_means(
            x[new],
            x[~new],
            0.5,
            content_a=content[new],
            content_b=content[~new],
            group_a=group[new],
            group_b=group[~new],
        )
        assert found == pytest.approx(expected.similarity, rel=1e-6)
    except ZeroDivisionError:
        assert not np.isfinite(found) or abs(found) > 1e6


def test_a_set_against_itself_scores_exactly_one_at_every_size() -> None:
    for n in (20, 50, 300):
        found = similarity_of(pair(cloud(n), cloud(n)))
        assert found.raw == pytest.approx(1.0, abs=1e-12)
        assert found.interval == pytest.approx((1.0, 1.0), abs=1e-6)
        assert found.p_value == 1.0
        assert found.overlap == n


def test_shared_images_do_not_lift_the_score() -> None:
    a, b = cloud(200, seed=1), cloud(200, seed=2, centre=1.3)
    apart = similarity_of(pair(a, b))
    mixed = np.concatenate([b[:160], a[:40]])
    together = similarity_of(pair(a, mixed))
    without = similarity_of(pair(a, b[:160]))
    naive_excess = 40 / (200 * 200)  # what 40 self-pairs with k = 1 would add to the cross mean
    assert together.overlap == 40
    assert together.raw < 1
    assert apart.raw - 0.02 < without.raw < together.raw
    counted = similarity_of(pair(a, EmbeddedSet("b", mixed, content=np.arange(900, 1100, dtype=np.uint64))))
    assert counted.k_ab - together.k_ab == pytest.approx(naive_excess * (1 - together.k_ab), rel=1e-6)


def test_bursts_do_not_make_a_set_look_unlike_another_sample_of_its_own_distribution() -> None:
    rng = np.random.default_rng(3)

    def bursts(seed: int) -> tuple[np.ndarray, list[str]]:
        centres = cloud(40, seed=seed)
        frames = np.repeat(centres, 20, axis=0) + rng.normal(size=(800, 16)) * 0.02
        return frames, [f"{seed}-{k}" for k in range(40) for _ in range(20)]

    (a, ga), (b, gb) = bursts(10), bursts(11)
    grouped = similarity_of(pair(EmbeddedSet("a", a, groups=ga), EmbeddedSet("b", b, groups=gb)))
    ignored = similarity_of(pair(a, b))
    assert grouped.units == (40, 40)
    assert grouped.raw == pytest.approx(1, abs=0.06)
    assert grouped.interval[0] <= 1 <= grouped.interval[1]
    assert ignored.raw < 0.95  # what ignoring the groups would have said
    assert grouped.p_value > 0.05
    assert ignored.p_value < 0.01


def test_a_collapsed_candidate_scores_low_where_the_cauchy_schwarz_form_is_blind() -> None:
    a = cloud(400)
    collapsed = np.repeat(a.mean(axis=0, keepdims=True), 400, axis=0) + cloud(400, seed=5, centre=0) * 1e-3
    found = similarity_of(pair(a, collapsed))
    assert found.raw < 0.65
    assert found.cauchy_schwarz > 0.82


def test_halved_spread_is_seen() -> None:
    a = cloud(400)
    narrow = cloud(400, seed=6, spread=0.5)
    found = similarity_of(pair(a, narrow))
    same = similarity_of(pair(a, cloud(400, seed=6)))
    assert found.raw < 0.9 < 0.98 < same.raw
    assert found.p_value < 0.01


def test_many_disjoint_tight_classes_raise_the_floor_so_that_no_band_is_named() -> None:
    from semsim_pipeline.metrics.verdict import verdict_of

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, 64))
    a, b = (np.repeat(side, 2, axis=0) + rng.normal(size=(1000, 64)) * 0.01 for side in (centres[:500], centres[500:]))
    background = Background(id="t", bandwidth=0.5, kappa=float(np.exp(-2 / 0.5)) * 1.1, source="test")
    found = similarity_of(pair(a, b, background=background))
    assert found.floor is not None
    assert found.floor > 0.75
    assert verdict_of(found, mixing=(1.0, 1.0), c2st_auc=0.9).text == "too diverse for one number"


@pytest.mark.parametrize(("n", "m"), [(20, 20), (50, 50), (20, 400), (400, 50)])
def test_equal_distributions_score_one_within_the_interval_at_small_and_unequal_n(n: int, m: int) -> None:
    found = [similarity_of(pair(cloud(n, seed=s), cloud(m, seed=100 + s), permutations=99)) for s in range(12)]
    covered = sum(f.interval[0] <= 1 <= f.interval[1] for f in found)
    assert covered >= 9  # 12 draws at 95 %: 9 or more with probability 0.998
    assert np.mean([f.raw for f in found]) == pytest.approx(1, abs=0.03)
    assert sum(f.p_value <= 0.05 for f in found) <= 3


def test_fewer_than_twenty_independent_images_give_no_value() -> None:
    found = similarity_of(pair(cloud(19), cloud(60, seed=2)))
    assert found.value is None
    assert found.status == "unreliable"
    assert "needs at least 20 independent images a side; reference has 19" in str(found.reason)
    grouped = EmbeddedSet("b", cloud(60, seed=2), groups=[str(i // 4) for i in range(60)])
    assert "candidate has 15" in str(similarity_of(pair(cloud(60), grouped)).reason)


def test_one_image_on_a_side_is_refused_with_the_reason() -> None:
    with pytest.raises(TooFewSamplesError, match="needs at least 2 independent images a side; b has 1"):
        similarity_of(pair(cloud(30), cloud(1)))


def test_one_reference_image_without_a_background_is_refused_too() -> None:
    with pytest.raises(TooFewSamplesError, match="give --background or --bandwidth"):
        similarity_of(pair(cloud(1), cloud(30), background=None))


def test_without_a_background_the_score_is_uncalibrated_and_has_no_floor() -> None:
    found = similarity_of(pair(cloud(60), cloud(60, seed=3), background=None))
    assert found.status == "uncalibrated"
    assert found.floor is None
    assert found.background.source == "median distance within the reference"


def test_exchanging_sides_and_shuffling_rows_change_nothing_not_even_the_draws() -> None:
    a, b = cloud(150), cloud(90, seed=4, centre=1.1)
    found = similarity_of(pair(a, b))
    turned = similarity_of(pair(b, a))
    order = np.random.default_rng(0).permutation(150)
    shuffled = similarity_of(pair(a[order], b))
    for other in (turned, shuffled):
        assert other.raw == pytest.approx(found.raw, rel=1e-12)
        assert other.interval == pytest.approx(found.interval, rel=1e-9)
        assert other.p_value == found.p_value


def test_a_side_used_by_many_pairs_gives_the_same_numbers_as_a_fresh_one() -> None:
    shared = EmbeddedSet("a", cloud(120))
    others = [cloud(120, seed=k, centre=1 + k / 20) for k in range(3)]
    reused = [similarity_of(pair(shared, EmbeddedSet("b", other))) for other in others]
    fresh = [similarity_of(pair(cloud(120), other)) for other in others]
    for one, two in zip(reused, fresh, strict=True):
        assert one == two


def test_float32_agrees_with_float64() -> None:
    a, b = cloud(300), cloud(200, seed=9, centre=1.2)
    double = similarity_of(pair(a, b))
    single = similarity_of(pair(a.astype(np.float32), b.astype(np.float32)))
    assert single.raw == pytest.approx(double.raw, abs=2e-6)


def test_tiles_larger_than_one_give_the_sums_of_one_matrix() -> None:
    a, b = cloud(2100, d=4), cloud(1100, d=4, seed=2)
    found = similarity_of(pair(a, b, permutations=19))
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    kernels = [np.exp((2 * x @ y.T - 2) / 0.5) for x, y in ((u, v), (u, u), (v, v))]
    aa, bb = ((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels[1:])
    assert found.k_ab == pytest.approx(kernels[0].mean(), rel=1e-9)
    assert (found.k_aa, found.k_bb) == pytest.approx((aa, bb), rel=1e-9)


def test_a_narrow_cone_is_computed_in_double_precision() -> None:
    base = np.ones(32)
    rng = np.random.default_rng(0)
    a, b = (base + rng.normal(size=(200, 32)) * 0.01 for _ in range(2))
    background = Background(id="t", bandwidth=1e-4, kappa=1e-3, source="t")
    double = similarity_of(pair(a, b, background=background))
    single = similarity_of(pair(a.astype(np.float32), b.astype(np.float32), background=background))
    assert single.raw == pytest.approx(double.raw, abs=2e-3)


def test_permutation_p_values_are_valid_under_the_null() -> None:
    values = [
        similarity_of(pair(cloud(40, d=4, seed=s), cloud(30, d=4, seed=1000 + s), permutations=99)).p_value
        for s in range(60)
    ]
    # Binomial(60, 0.1) exceeds 13 with probability 0.002.
    assert sum(p <= 0.1 for p in values) <= 13
    assert sum(p <= 0.5 for p in values) >= 15


def test_groups_that_span_the_sides_do_not_raise_false_alarms() -> None:
    def bursts(seed: int, side: int) -> EmbeddedSet:
        rng = np.random.default_rng([seed, side])
        frames = np.repeat(rng.normal(size=(25, 6)) + 1, 6, axis=0) + rng.normal(size=(150, 6)) * 0.3
        return EmbeddedSet("x", frames, groups=[f"v{k}" for k in range(25) for _ in range(6)])

    values = [similarity_of(pair(bursts(s, 0), bursts(s, 1), permutations=99)).p_value for s in range(50)]
    # Binomial(50, 0.05) exceeds 8 with probability 0.001; moving the frames one by one rejects 40 %.
    assert sum(p <= 0.05 for p in values) <= 8
    moved = bursts(1, 1)
    shifted = EmbeddedSet("b", moved.rows + 1.5, groups=[f"v{k}" for k in range(25) for _ in range(6)])
    assert similarity_of(pair(bursts(1, 0), shifted, permutations=199)).p_value <= 0.02


@pytest.mark.parametrize("bandwidth", [0.5, 10.0, 1e5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_clear_difference_stays_clear_whatever_the_scale(bandwidth: float, dtype: type) -> None:
    background = Background(id="t", bandwidth=bandwidth, kappa=0.01, source="t")
    a, b = cloud(200).astype(dtype), cloud(200, seed=4, centre=1.5).astype(dtype)
    assert similarity_of(pair(a, b, background=background, permutations=199)).p_value == 1 / 200
    assert similarity_of(pair(a, a, background=background, permutations=199)).p_value == 1


def test_two_uncalibrated_scales_have_two_names() -> None:
    found = [similarity_of(pair(cloud(40), cloud(40, seed=s), background=None)) for s in (1, 2)]
    other = similarity_of(pair(cloud(40, seed=9), cloud(40), background=None))
    assert found[0].background.id == found[1].background.id != other.background.id
