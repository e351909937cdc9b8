from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from semsim_pipeline.comparison.matrix import OTHER_SCALE, Cell, SimilarityMatrix, similarity_matrix
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.score import score_arrays
from semsim_pipeline.metrics.similarity import Ceiling
from semsim_pipeline.records import Background

BACKGROUND = Background(id="one", bandwidth=0.4, source="panel", kappa=0.05, mean=np.full(6, 0.1))


def comparison(seed: int, *, n: int = 40, background: Background = BACKGROUND) -> Comparison:
    random = np.random.default_rng(seed)
    rows = [1 + random.normal(size=(n + extra, 6)) for extra in (0, 3)]
    return score_arrays(*rows, background=background, metrics=["mean_cosine"])


def ceilings(result: Comparison, reference: float | None, candidate: float | None) -> Comparison:
    assert result.similarity is not None
    found = replace(
        result.similarity,
        ceiling_reference=Ceiling(value=reference, interval=None),
        ceiling_candidate=Ceiling(value=candidate, interval=None),
    )
    return replace(result, similarity=found)


def test_across_is_symmetric_with_mean_ceilings_on_its_diagonal() -> None:
    result = comparison(0)
    pairs = [
        ("a", "b", "k1", ceilings(result, 0.9, 0.8)),
        ("a", "c", "k2", ceilings(result, 0.7, 1.2)),
        ("b", "c", "k3", ceilings(result, None, 0.6)),
    ]
    found = similarity_matrix("m", result.encoder, "across", pairs)
    assert found.rows == found.columns == ("a", "b", "c")
    assert found.cells["a", "b"] == found.cells["b", "a"]
    assert found.cells["a", "b"].value == result.value
    assert found.cells["a", "b"].n == (40, 43)
    diagonal = [found.cells[label, label].value for label in "abc"]
    assert diagonal == pytest.approx([0.8, 0.8, 0.8])  # (0.9 + 0.7)/2; 0.8 alone; (1 + 0.6)/2
    assert [key for *_, cell in found.scored() for key in [cell.key]] == ["k1", "k2", "k3"]
    assert (found.background, found.seed) == ("one", 0)


def test_match_keeps_the_sides_apart() -> None:
    pairs = [(label, label, label, comparison(seed)) for seed, label in enumerate("xyz")]
    found = similarity_matrix("m", pairs[0][3].encoder, "match", pairs)
    assert set(found.cells) == {(label, label) for label in "xyz"}
    assert found.cluster_order() == ("x", "y", "z")
    values = [cell.value for *_, cell in found.ranked()]
    assert values == sorted(values, key=lambda value: -(value or 0))


def test_scores_on_another_scale_have_no_value() -> None:
    other = replace(BACKGROUND, id="two", bandwidth=0.9)
    pairs = [(str(seed), str(seed), str(seed), comparison(seed)) for seed in range(2)]
    pairs.append(("9", "9", "9", comparison(9, background=other)))
    found = similarity_matrix("m", pairs[0][3].encoder, "match", pairs)
    assert found.cells["9", "9"].value is None
    assert found.cells["9", "9"].status == OTHER_SCALE
    assert found.cells["0", "0"].value is not None
    assert len(found.ranked()) == 2


def test_a_pair_without_a_score_is_there_without_a_value() -> None:
    found = similarity_matrix("m", comparison(0).encoder, "pairs", [("a", "b", "k", comparison(0, n=1))])
    cell = found.cells["a", "b"]
    assert (cell.value, cell.interval, cell.status, cell.resolved) == (None, None, "not_computed", False)
    assert found.ranked() == []
    assert len(found.scored()) == 1


def test_what_cannot_be_one_matrix_is_refused() -> None:
    result = comparison(0)
    with pytest.raises(ValueError, match="two pairs"):
        similarity_matrix("m", result.encoder, "across", [("a", "b", "1", result), ("b", "a", "2", result)])
    with pytest.raises(ValueError, match="cannot hold scores of"):
        similarity_matrix("m", "another", "pairs", [("a", "b", "1", result)])


def planted(blocks: list[str], missing: frozenset[tuple[str, str]] = frozenset()) -> SimilarityMatrix:
    """High similarity within a block of letters, low between; labels come shuffled."""
    labels = tuple(np.random.default_rng(3).permutation(list("".join(blocks))).tolist())
    block = {label: place for place, letters in enumerate(blocks) for label in letters}
    cells = {}
    for one, other in combinations(labels, 2):
        value = None if (one, other) in missing else 0.9 if block[one] == block[other] else 0.2
        for place in ((one, other), (other, one)):
            cells[place] = Cell(
                value=value, interval=None, floor=None, verdict="", n=(9, 9), status="ok", key="".join(sorted(place))
            )
    return SimilarityMatrix(name="m", encoder="e", kind="across", rows=labels, columns=labels, cells=cells)


def test_cluster_order_puts_planted_blocks_together() -> None:
    blocks = ["abcd", "efg", "hijkl"]
    for missing in (frozenset[tuple[str, str]](), frozenset(product("ab", "e"))):
        found = planted(blocks, missing)
        order = "".join(found.cluster_order())
        assert sorted(order) == sorted(found.rows)
        assert all("".join(sorted(order[order.index(min(b, key=order.index)) :][: len(b)])) == b for b in blocks)
        assert found.cluster_order() == found.cluster_order()


def test_nothing_to_cluster_keeps_the_order() -> None:
    found = planted(["ab", "cd"])
    cells = {place: replace(cell, value=None) for place, cell in found.cells.items()}
    assert replace(found, cells=cells).cluster_order() == found.rows
    assert replace(found, rows=("b", "a"), columns=("b", "a")).cluster_order() == ("b", "a")
