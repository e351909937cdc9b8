"""What is said of images in both sets, before the score."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import semsim_pipeline as semsim
from semsim_pipeline.comparison.cautions import Caution
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.records import MetricValue


def said(near: MetricValue | None, exact: float = 0.0) -> Caution | None:
    """The caution about duplicates of two sets with these rows on their card."""
    random = np.random.default_rng(0)
    found = semsim.score(random.normal(size=(30, 4)), random.normal(size=(30, 4)), metrics=["exact_duplicates"])
    rows = {"exact_duplicates": MetricValue(value=exact), **({} if near is None else {"near_duplicates": near})}
    sides = {"reference": dataclasses.replace(found.reference, name="a"),
             "candidate": dataclasses.replace(found.candidate, name="b")}  # fmt: skip
    cautions = dataclasses.replace(found, metrics=rows, **sides).cautions
    return next((each for each in cautions if each.kind == "duplicates"), None)


def hashed(images: int, twins: int) -> MetricValue:
    """`near_duplicates` of so few images that only their hashes are compared, as it is really made."""
    random = np.random.default_rng(1)
    left, right = (random.integers(1, 1 << 63, (images, 4), dtype=np.uint64) for _ in range(2))
    right[:twins] = left[:twins] ^ np.array([0, 255, 0, 0], np.uint64)
    pair = Pair(
        reference=EmbeddedSet("a", random.normal(size=(images, 3)), hashes=left),
        candidate=EmbeddedSet("b", random.normal(size=(images, 3)), hashes=right),
    )
    return score_card(pair, ["near_duplicates"])["near_duplicates"]


@pytest.mark.parametrize("twins", [1, 2, 4, 5])
def test_every_twin_by_hash_is_told_and_nothing_is_claimed_of_the_embedding(twins: int) -> None:
    found = said(hashed(60, twins))
    assert found is not None
    assert found.facts == {"near duplicates by hash": twins}
    verb = "image is" if twins == 1 else "images are"
    assert found.message.startswith(
        f"{twins} candidate {verb} as like a reference image, by perceptual hash, as a copy"
    )
    assert "embedding" not in found.message


def test_no_twin_is_no_caution() -> None:
    assert said(hashed(60, 0)) is None
    assert said(None) is None


@pytest.mark.parametrize(("count", "told"), [(10, False), (22, False), (23, True)])
def test_by_embedding_chance_is_taken_off(count: int, told: bool) -> None:
    # 10 expected, and 4 times the root of that.
    row = MetricValue(value=float(count), null=10.0, detail={"by_embedding": float(count), "by_hash": 0.0})
    found = said(row)
    assert (found is not None) is told
    if found is not None:
        assert found.facts == {"near duplicates by embedding": count}
        assert found.message == (
            "23 candidate images are nearer to a reference image in the embedding than 99.9 % of the reference's own "
            "are to their nearest (about 10 expected by chance)"
        )


def test_each_way_is_told_in_its_own_words() -> None:
    row = MetricValue(value=41.0, null=10.0, detail={"by_embedding": 40.0, "by_hash": 2.0})
    found = said(row, exact=3.0)
    assert found is not None
    assert [part.split()[0] for part in found.message.split("; ")] == ["3", "2", "40"]
    assert "byte for byte; 2 candidate images are as like a reference image" in found.message
    assert set(found.facts) == {"exact duplicates", "near duplicates by hash", "near duplicates by embedding"}
