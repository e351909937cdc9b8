"""A value is the same bit for bit whether its family was asked alone or with all the others that share its passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from semsim_pipeline.metrics import clouds, neighbors, radii, relabelled
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, Pair
from semsim_pipeline.metrics.clouds import Bounds
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.records import Background, MetricValue
from semsim_pipeline_tests.metrics import oracles

Rows = NDArray[np.generic]
SHARING = ["prdc", "prdc_matched", "proximity", "near_duplicates", "energy_distance", "kid", "kid_subsets", "cmmd"]


def cloud(n: int, d: int, seed: int, centre: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


def grid(n: int, d: int, seed: int) -> NDArray[np.float64]:
    """Few values, so that many distances tie and many rows repeat."""
    return np.random.default_rng(seed).integers(0, 3, size=(n, d)).astype(np.float64)


CASES: dict[str, tuple[Rows, Rows]] = {
    "plain": (cloud(300, 24, 0).astype(np.float32), cloud(260, 24, 1).astype(np.float32)),
    "float64": (cloud(120, 9, 0), cloud(150, 9, 1)),
    "mixed dtypes": (cloud(120, 9, 0).astype(np.float32), cloud(110, 9, 1)),
    "ties and copies": (grid(140, 4, 0).astype(np.float32), grid(160, 4, 1).astype(np.float32)),
    "far from zero": (cloud(130, 16, 0, 1e3).astype(np.float32), cloud(130, 16, 1, 1e3).astype(np.float32)),
    "several tiles": (cloud(1300, 8, 0).astype(np.float32), cloud(1100, 8, 1).astype(np.float32)),
    "one set twice": (cloud(90, 8, 0).astype(np.float32),) * 2,
}


def pair(rows: tuple[Rows, Rows], **keywords: Any) -> Pair:
    background = Background(id="made up", bandwidth=0.5, source="test", kappa=0.02, mean=np.zeros(rows[0].shape[1]))
    sides = [EmbeddedSet(name, each + 0) for name, each in zip("ab", rows, strict=True)]
    return Pair(reference=sides[0], candidate=sides[1], background=background, permutations=99, **keywords)


@pytest.mark.parametrize("case", CASES)
def test_a_family_says_the_same_alone_and_in_company(case: str) -> None:
    together = score_card(pair(CASES[case]))
    alone: dict[str, MetricValue] = {}
    for family in METRICS:
        if family.name in (*SHARING, "similarity"):
            alone |= score_card(pair(CASES[case]), [family.name])
    assert {name: together[name] for name in alone} == alone


@pytest.mark.parametrize("case", ["plain", "ties and copies", "far from zero"])
def test_shared_support_equals_plain_loops(case: str) -> None:
    a, b = CASES[case]
    found = score_card(pair((a, b)), ["prdc", "proximity", "energy_distance"])
    plain = oracles.prdc(a.astype(np.float64), b.astype(np.float64), 5)
    for name in ("precision", "recall", "density", "coverage"):
        assert found[name].value == pytest.approx(plain[name], rel=1e-12), name


def test_shared_support_over_several_tiles_equals_whole_matrices() -> None:
    a, b = (rows.astype(np.float64) for rows in CASES["several tiles"])
    found = score_card(pair(CASES["several tiles"]), ["prdc", "proximity", "energy_distance"])
    cross = cdist(a, b, "sqeuclidean")
    ball_a, ball_b = (np.partition(cdist(x, x, "sqeuclidean"), 5, axis=1)[:, 5] for x in (a, b))
    inside = cross < ball_a[:, None]
    expected = {
        "precision": inside.any(axis=0).mean(),
        "recall": (cross < ball_b).any(axis=1).mean(),
        "density": inside.sum() / (5 * len(b)),
        "coverage": inside.any(axis=1).mean(),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected, rel=1e-12)


def test_a_refusal_leaves_the_others_standing() -> None:
    found = score_card(pair((cloud(4, 3, 0), cloud(40, 3, 1))), ["prdc", "proximity", "energy_distance"])
    assert {name for name, row in found.items() if row.value is None} >= {"precision", "knn_mixing"}
    assert found["energy_distance"].value is not None


def test_a_pair_costs_three_passes_and_the_next_one_a_single_one(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[bool] = []
    plain = clouds.bound_tiles

    def counted(*args: Any, upper: bool, **kwargs: Any) -> Iterator[Bounds]:
        passes.append(upper)
        return plain(*args, upper=upper, **kwargs)

    for module in (clouds, neighbors, radii):
        monkeypatch.setattr(module, "bound_tiles", counted)
    # Floors relabel the images: passes of their own, over samples.
    nothing = relabelled.SupportFloor(
        precision=None, recall=None, density=None, coverage=None, matched=None, sizes=(0, 0)
    )
    monkeypatch.setattr(relabelled, "_support_floor", lambda pair: nothing)
    a, b, c = (EmbeddedSet(name, cloud(1000, 6, seed)) for seed, name in enumerate("abc"))
    asked = ["prdc", "prdc_matched", "proximity", "near_duplicates", "energy_distance"]
    score_card(Pair(reference=a, candidate=b), asked)
    assert sorted(passes) == [False, True, True]
    score_card(Pair(reference=a, candidate=c), asked)
    assert sorted(passes[3:]) == [False, True]
    score_card(Pair(reference=b, candidate=c), asked)
    assert passes[5:] == [False]
    passes.clear()
    fresh = Pair(reference=EmbeddedSet("a", a.rows), candidate=EmbeddedSet("b", b.rows))
    score_card(fresh, ["prdc", "proximity"])
    assert sorted(passes) == [False, True, True]
