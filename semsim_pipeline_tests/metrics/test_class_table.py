from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics import class_kernel, class_table
from semsim_pipeline.metrics.base import EmbeddedSet, Labels, Pair
from semsim_pipeline.metrics.class_kernel import class_means
from semsim_pipeline.metrics.class_table import ClassTable, label_columns
from semsim_pipeline.metrics.class_table import class_table as table_of
from semsim_pipeline.metrics.frechet import frechet_distance
from semsim_pipeline.metrics.similarity import similarity_of
from semsim_pipeline.records import Background

S2, KAPPA, D = 0.5, 0.1, 5
BACKGROUND = Background(id="test", bandwidth=S2, kappa=KAPPA, source="test")


def labelled(
    name: str, centres: Sequence[int], n: int, seed: int, *, column: str = "label", **words: object
) -> EmbeddedSet:
    """Class i of n rows around a direction of its own, in a shuffled order."""
    random = np.random.default_rng(seed)
    at = random.permutation(np.repeat(np.arange(len(centres)), n))
    rows = random.normal(scale=0.25, size=(len(at), D))
    rows[np.arange(len(at)), np.array(centres)[at]] += 1
    labels = {column: Labels.of([f"{name}{i}" for i in at])}
    return EmbeddedSet(name, rows, labels=labels, **words)  # type: ignore[arg-type]


def made(a: EmbeddedSet, b: EmbeddedSet, **words: object) -> ClassTable:
    found = table_of(Pair(reference=a, candidate=b), S2, KAPPA, **words)  # type: ignore[arg-type]
    assert found is not None
    return found


def rows_of(side: EmbeddedSet, number: int) -> EmbeddedSet:
    chosen = side.labels["label"].codes == number
    groups = None if side.group_codes is None else [str(code) for code in side.group_codes[chosen]]
    return EmbeddedSet("part", side.rows[chosen], groups=groups)


def test_every_cell_is_the_headline_of_its_two_classes() -> None:
    a, b = labelled("a", (0, 1, 2), 25, 1), labelled("b", (2, 0), 30, 2)
    found = made(a, b)
    for i in range(3):
        for j in range(2):
            left, right = rows_of(a, i), rows_of(b, j)
            headline = similarity_of(Pair(reference=left, candidate=right, background=BACKGROUND, permutations=1))
            assert found.similarities[i][j] == pytest.approx(headline.raw, abs=1e-9)
            assert found.frechet_distances[i][j] == pytest.approx(frechet_distance(left, right), rel=1e-9)
    assert [(m.reference, m.candidate) for m in found.matches] == [("a0", "b1"), ("a2", "b0")]
    assert all(m.floor == pytest.approx(2 * KAPPA / _own(a, b, m), rel=1e-9) for m in found.matches)
    assert found.mean_similarity == pytest.approx(np.mean([m.similarity for m in found.matches]))


def _own(a: EmbeddedSet, b: EmbeddedSet, match: class_table.MatchedClasses) -> float:
    total = 0.0
    for side, name in ((a, match.reference), (b, match.candidate)):
        unit = side.unit[side.labels["label"].codes == side.labels["label"].names.index(name)]
        kernel = [math.exp(-float(((x - y) ** 2).sum()) / S2) for i, x in enumerate(unit) for y in unit[:i]]
        total += float(np.mean(kernel))
    return total


@pytest.mark.parametrize("features", [False, True])
def test_copies_and_groups_are_left_out_of_every_mean(features: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if features:
        monkeypatch.setattr(class_kernel, "MOST_EXACT", 0)
    a, b = labelled("a", (0, 1), 40, 1), labelled("b", (0, 1), 40, 2)
    codes = (a.labels["label"].codes, b.labels["label"].codes)
    plain = class_means(a, b, codes, S2)
    shared = np.concatenate([b.rows, a.rows[:12], b.rows[:7]])
    more = np.concatenate([codes[1], codes[0][:12], codes[1][:7]])
    leaky = class_means(a, EmbeddedSet("b", shared), (codes[0], more), S2)
    direct = _loop(a.unit, EmbeddedSet("b", shared).unit, codes[0], more)
    tolerance = 0.02 if features else 1e-9
    assert leaky.exact is not features
    np.testing.assert_allclose(leaky.across, direct, atol=tolerance)
    np.testing.assert_allclose(leaky.reference, plain.reference, atol=1e-9)


def _loop(a: np.ndarray, b: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    out = np.zeros((left.max() + 1, right.max() + 1))
    for i, j in np.ndindex(out.shape):
        values = [
            math.exp(-float(((x - y) ** 2).sum()) / S2)
            for x in a[left == i]
            for y in b[right == j]
            if not np.array_equal(x, y)
        ]
        out[i, j] = np.mean(values)
    return out


def test_groups_keep_the_exact_kernel_and_their_pairs_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_kernel, "MOST_EXACT", 0)
    rows = np.random.default_rng(0).normal(size=(12, D))
    bursts = [f"v{i // 3}" for i in range(12)]
    side = EmbeddedSet("a", rows, groups=bursts)
    found = class_means(side, EmbeddedSet("b", rows + 1), (np.zeros(12, np.intp), np.zeros(12, np.intp)), S2)
    unit = side.unit
    wanted = [
        math.exp(-float(((unit[i] - unit[j]) ** 2).sum()) / S2)
        for i in range(12)
        for j in range(12)
        if bursts[i] != bursts[j]
    ]
    assert found.exact
    assert found.reference[0] == pytest.approx(np.mean(wanted), rel=1e-9)


def test_random_features_are_near_the_exact_table(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = labelled("a", (0, 1, 2), 200, 1), labelled("b", (0, 1, 3), 150, 2)
    exact = np.array(made(a, b).similarities)
    monkeypatch.setattr(class_kernel, "MOST_EXACT", 0)
    near = made(a, b)
    assert not near.exact
    assert np.abs(np.array(near.similarities) - exact).max() < 0.02
    assert [m.candidate for m in near.matches] == ["b0", "b1", "b2"]


def test_which_columns_tell_classes_apart() -> None:
    def side(**columns: list[str]) -> EmbeddedSet:
        return EmbeddedSet("s", np.eye(4, D), labels={name: Labels.of(values) for name, values in columns.items()})

    one, two = ["x"] * 4, ["x", "y"] * 2
    assert label_columns(side(label=one, kind=two), side(label=two, kind=two)) == ("kind", "kind")
    assert label_columns(side(label=two), side(species=two)) == ("label", "species")
    assert label_columns(side(label=two), side(label=one)) is None
    assert label_columns(side(), side()) is None


def test_rows_without_a_label_and_classes_of_one_image_are_left_out() -> None:
    rows = np.random.default_rng(3).normal(size=(9, D))
    labels = {"label": Labels.of(["x", "x", "x", "y", "y", "y", "z", None, None])}
    found = made(EmbeddedSet("a", rows, labels=labels), EmbeddedSet("b", rows + 0.1, labels=labels))
    assert found.reference_classes == ("x", "y")
    assert found.reference_sizes == (3, 3)
    assert found.left_out_reference == ("z",)


def test_classes_of_copies_of_one_image_have_no_pair_and_say_so() -> None:
    rows = np.repeat(np.eye(2, D), 5, axis=0)
    side = EmbeddedSet("a", rows, labels={"label": Labels.of(["x"] * 5 + ["y"] * 5)})
    with pytest.raises(TooFewSamplesError, match="two independent images"):
        made(side, side)


def test_unequal_sizes_do_not_draw_a_match_away() -> None:
    # The small class's Gaussian is far from everything in W2 (its bias); MMD is unbiased.
    random = np.random.default_rng(4)
    wide = random.normal(scale=0.5, size=(400, 40)) + np.eye(40)[0] * 2
    other = random.normal(scale=0.2, size=(400, 40)) + np.eye(40)[0]
    few = random.normal(scale=0.5, size=(12, 40)) + np.eye(40)[0] * 2
    a = EmbeddedSet("a", np.concatenate([wide, other]), labels={"label": Labels.of(["wide"] * 400 + ["other"] * 400)})
    b = EmbeddedSet(
        "b",
        np.concatenate([few, random.normal(scale=0.2, size=(400, 40)) + np.eye(40)[0]]),
        labels={"label": Labels.of(["few"] * 12 + ["many"] * 400)},
    )
    assert [(m.reference, m.candidate) for m in made(a, b).matches] == [("other", "many"), ("wide", "few")]


def test_too_dear_gaussians_are_left_out_and_the_rest_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = labelled("a", (0, 1, 2), 20, 1), labelled("b", (0, 1, 2), 20, 2)
    monkeypatch.setattr(class_table, "MOST_GAUSSIAN_WORK", 5 * D**3)
    found = made(a, b)
    assert [[value is not None for value in row] for row in found.frechet_distances] == np.eye(3, dtype=bool).tolist()
    monkeypatch.setattr(class_table, "MOST_GAUSSIAN_WORK", 1)
    assert {match.frechet_distance for match in made(a, b).matches} == {None}
    monkeypatch.setattr(class_table, "MOST_CELLS", 8)
    assert made(a, b).similarities == ()
    assert len(made(a, b).matches) == 3


def test_clusters_stand_in_for_labels_only_where_asked() -> None:
    a, b = labelled("a", (0, 1, 2), 40, 1), labelled("b", (0, 1, 2), 40, 2)
    bare = [EmbeddedSet(side.name, side.rows) for side in (a, b)]
    assert table_of(Pair(reference=bare[0], candidate=bare[1]), S2, KAPPA) is None
    found = made(bare[0], bare[1], clusters=True)
    assert found.clustered
    assert found.columns is None
    assert len(found.matches) == 3
    assert found.mean_similarity > 0.95
