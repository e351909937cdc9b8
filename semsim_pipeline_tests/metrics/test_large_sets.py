"""Very large sets: what compares all pairs does so on a sample, is right about it, and says it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from semsim_pipeline.comparison.assess import EncoderIdentity, assess
from semsim_pipeline.metrics import large_sets
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, Pair
from semsim_pipeline.metrics.large_sets import compares_all_pairs, for_pairs
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.records import Background

MOST = 120
BACKGROUND = Background(id="made up", bandwidth=0.5, source="test", kappa=0.02, mean=np.zeros(6))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_sets, "MOST_EXACT", MOST)


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


def pair(n: int = 300, m: int = 100, order: int | None = None) -> Pair:
    a, b = rows(n, 0), rows(m, 1)
    groups = [f"g{i // 3}" for i in range(n)]
    if order is not None:
        shuffled = np.random.default_rng(order).permutation(n)
        a, groups = a[shuffled], [groups[i] for i in shuffled]
    return Pair(
        reference=EmbeddedSet("a", a, groups=groups),
        candidate=EmbeddedSet("b", b),
        background=BACKGROUND,
        permutations=99,
    )


def test_small_sets_are_left_alone() -> None:
    both = pair(MOST, MOST)
    assert for_pairs(both) is both


def test_a_sample_keeps_rows_groups_and_contents_together() -> None:
    both = pair()
    used = for_pairs(both)
    assert (len(used.reference), used.candidate) == (MOST, both.candidate)
    assert for_pairs(both) is used
    places = [int(np.flatnonzero((both.reference.rows == row).all(axis=1))[0]) for row in used.reference.rows]
    assert len(set(places)) == MOST
    assert used.reference.group_codes is not None
    assert both.reference.group_codes is not None
    assert (used.reference.group_codes == both.reference.group_codes[places]).all()
    assert (used.reference.content_codes == both.reference.content_codes[places]).all()


def test_every_family_is_of_the_sample_or_of_all_rows_and_says_which() -> None:
    both = pair()
    card, sampled = score_card(both), score_card(for_pairs(both))
    for family in METRICS:
        for facts in family.facts:
            value = card[facts.name]
            if value.status != "ok":
                continue
            if compares_all_pairs(family):
                assert value.note is not None
                assert "120 of the 300 reference images" in value.note
                assert "candidate" not in value.note, "the candidate is whole"
                assert value.value == sampled[facts.name].value
                assert (value.detail["rows_reference"], value.detail["rows_candidate"]) == (MOST, 100)
            else:
                assert value.note is None, facts.name


def test_one_pass_metrics_use_all_rows() -> None:
    both = pair()
    found = score_card(both, ["mean_cosine", "frechet_distance", "vendi_reference"])
    sampled = score_card(for_pairs(both), ["mean_cosine", "frechet_distance", "vendi_reference"])
    assert all(found[name].value != sampled[name].value for name in found)


def test_the_order_of_rows_changes_nothing() -> None:
    plain, shuffled = (score_card(pair(order=order)) for order in (None, 5))
    for name, value in plain.items():
        if name.startswith("c2st"):  # folds are dealt by row order
            continue
        other = shuffled[name].value
        assert (other is None) == (value.value is None), name
        if other is not None:
            assert other == pytest.approx(value.value, rel=1e-6, abs=1e-9), name


def test_the_headline_says_it_too_and_counts_every_shared_image() -> None:
    a = rows(300, 0)
    b = np.concatenate([rows(250, 1), a[:50]])
    identity = EncoderIdentity(name="e", fingerprint="", background=BACKGROUND)
    found = assess(EmbeddedSet("a", a), EmbeddedSet("b", b), identity, permutations=99)
    assert found.similarity is not None
    assert (found.overlap, found.similarity.sampled) == (50, (MOST, MOST))
    headline = found.to_json()["similarity"]
    assert isinstance(headline, dict)
    assert headline["sampled"] == {"reference": MOST, "candidate": MOST}
    whole = assess(EmbeddedSet("a", a[:60]), EmbeddedSet("b", b[:60]), identity, permutations=99)
    assert isinstance(inner := whole.to_json()["similarity"], dict)
    assert "sampled" not in inner


def test_another_seed_draws_another_sample() -> None:
    both = pair()
    other = replace(both, seed=1)
    assert (for_pairs(both).reference.rows != for_pairs(other).reference.rows).any()
