from __future__ import annotations

import numpy as np
import pytest

from semsim_pipeline.errors import InvalidEmbeddingsError
from semsim_pipeline.metrics import vendi as module
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.metrics.vendi import vendi
from semsim_pipeline_tests.metrics import oracles


def rows(n: int, d: int, seed: int, *, centre: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


def side(array: np.ndarray) -> EmbeddedSet:
    return EmbeddedSet("side", array)


@pytest.mark.parametrize(("n", "d"), [(9, 4), (4, 9), (7, 7), (30, 3)])
def test_equals_the_n_by_n_oracle_on_either_side_of_the_dual(n: int, d: int) -> None:
    found = rows(n, d, 0, centre=0.5)
    assert vendi(side(found)) == pytest.approx(oracles.vendi(found), rel=1e-12)


def test_closed_forms() -> None:
    assert vendi(side(np.eye(6))) == pytest.approx(6, rel=1e-12)
    assert vendi(side(np.full((50, 6), 0.3))) == pytest.approx(1, rel=1e-12)
    # Shares 3/4 and 1/4: exp of their entropy.
    two = np.repeat(np.eye(2), [30, 10], axis=0)
    assert vendi(side(two)) == pytest.approx(4 / 3**0.75, rel=1e-12)


def test_copies_of_every_image_change_nothing_and_length_neither() -> None:
    found = rows(20, 5, 0)
    assert vendi(side(np.repeat(found, 7, axis=0))) == pytest.approx(vendi(side(found)), rel=1e-12)
    assert vendi(side(found * np.linspace(0.1, 9, 20)[:, None])) == pytest.approx(vendi(side(found)), rel=1e-12)


def test_more_rows_than_a_block() -> None:
    found = rows(2500, 3, 0)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(unit.T @ unit / 2500)
    assert vendi(side(found)) == pytest.approx(float(np.exp(-(shares * np.log(shares)).sum())), rel=1e-12)


def test_float32_rows_lose_nothing_but_their_own_rounding() -> None:
    found = rows(300, 40, 0, centre=3)
    assert vendi(side(found.astype(np.float32))) == pytest.approx(vendi(side(found)), rel=1e-6)


def test_trap_the_ratio_is_of_equal_sizes_while_the_values_are_of_all_rows() -> None:
    large, small = rows(4000, 60, 0), rows(60, 60, 1)
    card = score_card(Pair(reference=side(large), candidate=side(small)), ["vendi"])
    naive = (card["vendi_candidate"].value or 0) / (card["vendi_reference"].value or 1)
    assert naive < 0.7
    assert card["vendi_ratio"].value == pytest.approx(1.0, abs=0.06)
    assert card["vendi_ratio"].detail["rows_matched"] == 60


def test_equal_sizes_are_not_thinned() -> None:
    a, b = rows(40, 6, 0), rows(40, 6, 1, centre=0.4)
    card = score_card(Pair(reference=side(a), candidate=side(b)), ["vendi"])
    assert card["vendi_ratio"].value == pytest.approx(oracles.vendi(b) / oracles.vendi(a), rel=1e-12)


def test_a_collapsed_candidate_has_a_small_ratio_both_ways_round() -> None:
    a, b = rows(200, 16, 0), 1 + 0.01 * rows(150, 16, 1)
    found, turned = (
        score_card(Pair(reference=one, candidate=other), ["vendi_ratio"])["vendi_ratio"].value or 0
        for one, other in ((side(a), side(b)), (side(b), side(a)))
    )
    assert found < 0.1
    assert turned == pytest.approx(1 / found)


def test_thinning_is_seeded_and_by_content_and_not_by_row_order() -> None:
    found = rows(100, 6, 0)
    turned = found[np.random.default_rng(1).permutation(100)]
    one, again, other = (vendi(side(found), size=30, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert vendi(side(turned), size=30) == pytest.approx(one, rel=1e-12)


def test_a_set_pays_once_for_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    plain = module._exp_entropy

    def counted(matrix: np.ndarray, most: int) -> float:
        calls.append(most)
        return plain(matrix, most)

    monkeypatch.setattr(module, "_exp_entropy", counted)
    reference = side(rows(50, 6, 0))
    for seed in (1, 2, 3):
        score_card(Pair(reference=reference, candidate=side(rows(40, 6, seed))), ["vendi"])
    assert len(calls) == 2 + 3


def test_a_zero_row_is_refused_in_words() -> None:
    found = rows(5, 3, 0)
    found[2] = 0
    with pytest.raises(InvalidEmbeddingsError, match="all zeros"):
        vendi(side(found))
