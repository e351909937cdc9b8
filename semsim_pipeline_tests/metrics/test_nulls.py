"""Values beside “what equal distributions would show”: floors by relabelling and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.metrics import relabelled
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.relabelled import support_floor
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.metrics.sliced_wasserstein import sliced_floor, sliced_wasserstein
from semsim_pipeline.records import Background

Rows = NDArray[np.float64]


def cloud(seed: int, n: int, shift: float = 0.0, d: int = 6) -> Rows:
    return np.asarray(1 + shift + np.random.default_rng(seed).normal(size=(n, d)))


def pair_of(a: Rows, b: Rows, background: Background | None = None) -> Pair:
    return Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b), background=background)


def mean_and_error(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


@pytest.mark.parametrize(("n", "m"), [(60, 60), (90, 30)])
def test_support_floors_are_what_equal_sets_show(n: int, m: int) -> None:
    names = ["precision", "recall", "precision_matched", "recall_matched"]
    cards = [score_card(pair_of(cloud(2 * s, n), cloud(2 * s + 1, m)), names) for s in range(40)]
    for name in names:
        nulls = [card[name].null or 0.0 for card in cards]
        (value, error), (null, spread) = (
            mean_and_error([card[name].value or 0.0 for card in cards]),
            mean_and_error(nulls),
        )
        assert null == pytest.approx(value, abs=4 * (error + spread)), name


def test_the_sliced_floor_is_what_equal_sets_show() -> None:
    pairs = [pair_of(cloud(2 * s, 80), cloud(2 * s + 1, 40)) for s in range(60)]
    value, error = mean_and_error([sliced_wasserstein(pair.reference, pair.candidate)[0] ** 2 for pair in pairs])
    null, spread = mean_and_error([sliced_floor(pair) ** 2 for pair in pairs])
    assert null == pytest.approx(value, abs=4 * (error + spread))


def test_floors_do_not_see_how_far_apart_the_sets_are() -> None:
    near, far = (pair_of(cloud(1, 80), cloud(2, 80, shift)) for shift in (0.0, 3.0))
    assert sliced_wasserstein(far.reference, far.candidate)[0] > 3 * sliced_floor(far)
    assert support_floor(far).precision == pytest.approx(support_floor(near).precision or 0.0, abs=0.15)


def test_floors_do_not_depend_on_order_or_memory() -> None:
    a, b = cloud(1, 70), cloud(2, 50, 0.3)
    plain, order = pair_of(a, b), pair_of(a[::-1].copy(), b[np.random.default_rng(0).permutation(50)])
    little = Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b), working_memory=1)
    assert support_floor(order) == support_floor(plain)
    assert sliced_floor(order) == pytest.approx(sliced_floor(plain), rel=1e-12)
    assert sliced_floor(little) == pytest.approx(sliced_floor(plain), rel=1e-12)
    turned = support_floor(pair_of(b, a))
    assert (turned.recall, turned.precision) == (support_floor(plain).precision, support_floor(plain).recall)


def test_the_cosine_floor_is_the_mean_of_all_relabellings() -> None:
    a, b = cloud(1, 9), cloud(2, 5, 1.0)
    pooled = np.concatenate([a, b])
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    cosines = [float(unit[i] @ unit[j]) for i in range(14) for j in range(14) if i != j]
    row = score_card(pair_of(a, b), ["mean_cosine"])["mean_cosine"]
    assert row.null == pytest.approx(np.mean(cosines), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(50, 50), (200, 25)])
def test_the_centred_cosine_floor_is_what_equal_sets_show(n: int, m: int) -> None:
    background = Background(id="x", bandwidth=0.5, source="test", kappa=0.1, mean=np.full(6, 0.28))
    rows = [
        score_card(pair_of(cloud(2 * s, n), cloud(2 * s + 1, m), background), ["centred_cosine"])["centred_cosine"]
        for s in range(80)
    ]
    value, error = mean_and_error([row.value or 0.0 for row in rows])
    assert value < 0.98  # noise alone turns the means apart
    assert np.mean([row.null for row in rows]) == pytest.approx(value, abs=4 * error + 0.02)


def test_a_large_pair_lies_near_its_floor_which_falls_with_n() -> None:
    draw = np.random.default_rng(0)
    large = [draw.normal(size=(4000, 512)).astype(np.float32) for _ in range(2)]
    names = ["precision", "recall", "precision_matched"]
    card = score_card(pair_of(*large), names)  # type: ignore[arg-type]
    smaller = score_card(pair_of(large[0][:1500], large[1][:1500]), names)  # type: ignore[arg-type]
    for name in names:
        row = card[name]
        assert row.null == pytest.approx(row.value, abs=0.02), name
        assert row.reason is None
        assert (smaller[name].value or 0) - (row.value or 0) > 0.03  # so a floor of fewer images would lie too high


@pytest.mark.parametrize(("n", "m"), [(260, 260), (260, 90), (70, 260)])
def test_a_floor_of_fewer_images_says_so(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relabelled, "MOST_ROWS", 100)
    card = score_card(pair_of(cloud(1, n), cloud(2, m)), ["prdc", "prdc_matched"])
    for name in ("precision", "recall"):
        assert f"measured with {min(n, 100)} against {min(m, 100)} images" in (card[name].reason or "")
        assert card[name].detail["null_rows_reference"] == min(n, 100)
        assert card[name].detail["null_rows_candidate"] == min(m, 100)
    matched = card["precision_matched"]
    assert (matched.reason is None) == (min(n, m) <= 100)
    # Closed forms are of all images.
    assert card["density"].reason is None
    assert card["coverage"].reason is None


def test_a_thinned_floor_keeps_groups_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relabelled, "MOST_ROWS", 100)
    sides = []
    for seed in (1, 2):
        rows = np.repeat(cloud(seed, 40), 10, axis=0) + 0.01 * cloud(seed + 10, 400)
        sides.append(EmbeddedSet("s", rows, groups=[f"{seed} {i // 10}" for i in range(400)]))
    row = score_card(Pair(reference=sides[0], candidate=sides[1]), ["coverage"])["coverage"]
    # Ten frames of a burst fill each other's balls; thinned one by one, two of each would be left, and most reached.
    assert row.null == 0.0
    assert "100 against 100" in (row.reason or "")
