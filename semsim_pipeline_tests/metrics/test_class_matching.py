from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.class_matching import _sample, best_matching, cluster_count, cluster_labels, match_classes
from semsim_pipeline.metrics.frechet import frechet_distance
from semsim_pipeline_tests.golden import class_labels, entries, inputs

CENTRES = np.eye(4, 5) * 20


def classes(counts: dict[int, int], seed: int, *, shift: float = 0.0) -> tuple[np.ndarray, list[str]]:
    """Rows around CENTRES, and their classes' names in this set."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([CENTRES[c] + shift + rng.normal(size=(n, 5)) for c, n in counts.items()])
    return rows, [f"class {c}" for c, n in counts.items() for _ in range(n)]


def test_the_matrix_equals_otdd_on_labelled_clusters() -> None:
    rows, labels = inputs("clusters"), class_labels("clusters")
    entry = entries("clusters", "class_gauss_w2sq")[0]
    found = match_classes(
        EmbeddedSet("A", rows[0]),
        EmbeddedSet("B", rows[1]),
        reference_labels=[str(x) for x in labels[0]],
        candidate_labels=[str(x) for x in labels[1]],
    )
    assert found.distances.shape == (5, 4)
    for place, expected in entry.value.items():
        i, j = map(int, place.split("/"))
        assert found.distances[i, j] == pytest.approx(expected, rel=entry.rel), place
    assert [(m.reference, m.candidate) for m in found.matches] == [(str(i), str(i)) for i in range(4)]
    assert found.unmatched_reference == ("4",)
    assert found.unmatched_candidate == ()
    assert not found.clustered
    margins = [m.margin or 0.0 for m in found.matches]
    assert found.margin == min(margins) > 50
    assert max(margins) > 1.1 * min(margins)


def test_gaussians_in_closed_form() -> None:
    # Variances on the axes: W² = ‖Δμ‖² + Σ (σ - τ)²; standardised rows have exactly the moments asked for.
    rng = np.random.default_rng(0)

    def exact(mean: list[float], deviation: list[float]) -> np.ndarray:
        raw = rng.normal(size=(60, 2))
        raw -= raw.mean(axis=0)
        raw = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
        return raw * deviation + mean

    a = np.concatenate([exact([0, 0], [1, 2]), exact([9, 0], [1, 1])])
    b = np.concatenate([exact([9, 1], [3, 1]), exact([0, 3], [2, 2])])
    found = match_classes(
        EmbeddedSet("a", a),
        EmbeddedSet("b", b),
        reference_labels=["near"] * 60 + ["far"] * 60,
        candidate_labels=["x"] * 60 + ["y"] * 60,
    )
    # Classes in the order of their names: far, near; x, y.
    assert found.distances == pytest.approx(np.array([[1 + 4, 81 + 9 + 2], [81 + 1 + 5, 9 + 1]]), rel=1e-9)
    assert [(m.reference, m.candidate) for m in found.matches] == [("far", "x"), ("near", "y")]
    assert found.margin == pytest.approx(92 + 87 - 5 - 10)
    assert found.mean_distance == pytest.approx(7.5)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda r: st.integers(1, 4).flatmap(
            lambda c: st.lists(st.lists(st.integers(0, 9), min_size=c, max_size=c), min_size=r, max_size=r)
        )
    )
)
def test_matching_and_margins_equal_all_permutations(table: list[list[int]]) -> None:
    distances = np.array(table, float)
    rows, columns = distances.shape
    short, long = (rows, columns) if rows <= columns else (columns, rows)
    every = []
    for chosen in itertools.permutations(range(long), short):
        pairs = [(i, j) if rows <= columns else (j, i) for i, j in enumerate(chosen)]
        every.append((sum(distances[i, j] for i, j in pairs), set(pairs)))
    best = min(cost for cost, _ in every)
    found, margins = best_matching(distances)
    assert sum(distances[i, j] for i, j in found) == best
    assert len(found) == short
    for pair, margin in zip(found, margins, strict=True):
        without = [cost for cost, pairs in every if pair not in pairs]
        assert margin == (pytest.approx(min(without) - best) if without else None)


def test_a_class_of_one_image_is_left_out_and_listed() -> None:
    a, names = classes({0: 20, 1: 20, 2: 1}, 0)
    b, others = classes({0: 20, 1: 20}, 1)
    found = match_classes(EmbeddedSet("a", a), EmbeddedSet("b", b), reference_labels=names, candidate_labels=others)
    assert found.left_out_reference == ("class 2",)
    assert found.reference_classes == ("class 0", "class 1")
    with pytest.raises(TooFewSamplesError, match="no class of at least 2"):
        match_classes(
            EmbeddedSet("a", a[:2]), EmbeddedSet("b", b), reference_labels=["x", "y"], candidate_labels=others
        )


def test_fewer_rows_than_columns_in_every_class() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(16, 30)), rng.normal(size=(16, 30))
    names = ["x", "y"] * 8
    found = match_classes(EmbeddedSet("a", a), EmbeddedSet("b", b), reference_labels=names, candidate_labels=names)
    expected = frechet_distance(EmbeddedSet("x", a[::2]), EmbeddedSet("y", b[1::2]))
    assert found.distances[0, 1] == pytest.approx(expected, rel=1e-12)


def test_one_class_a_side_has_no_margin_and_label_counts_are_checked() -> None:
    a, b = (EmbeddedSet("s", np.random.default_rng(s).normal(size=(9, 3))) for s in (0, 1))
    found = match_classes(a, b, reference_labels=["x"] * 9, candidate_labels=["y"] * 9)
    assert (found.margin, found.matches[0].margin) == (None, None)
    with pytest.raises(ValueError, match="8 labels for 9 rows"):
        match_classes(a, b, reference_labels=["x"] * 8, candidate_labels=["y"] * 9)


def test_without_labels_clusters_find_the_classes_and_match_them() -> None:
    counts = {0: 90, 1: 70, 2: 50, 3: 40}
    (a, names), (b, others) = classes(counts, 0), classes(dict(reversed(counts.items())), 1, shift=0.5)
    left, right = EmbeddedSet("a", a), EmbeddedSet("b", b)
    assert cluster_count(left, right) == 4
    found = match_classes(left, right)
    assert found.clustered
    labelled = match_classes(left, right, reference_labels=names, candidate_labels=others)
    assert sorted(m.distance for m in found.matches) == pytest.approx(sorted(m.distance for m in labelled.matches))
    # Clusters are numbered by size, so the same class has the same number on both sides here.
    assert all(m.reference == m.candidate for m in found.matches)


def test_clusters_do_not_depend_on_row_order_and_ignore_copies() -> None:
    a, _ = classes({0: 60, 1: 40, 2: 30}, 0)
    order = np.random.default_rng(1).permutation(len(a))
    labels = np.array(cluster_labels(EmbeddedSet("a", a), 3))
    assert list(labels[order]) == cluster_labels(EmbeddedSet("a", a[order]), 3)
    assert [int((labels == f"cluster {i}").sum()) for i in (1, 2, 3)] == [60, 40, 30]
    copied = np.concatenate([a, np.repeat(a[-1:], 500, axis=0)])
    assert len(set(cluster_labels(EmbeddedSet("a", copied), 3)[:130])) == 3


@pytest.mark.parametrize("n", [60, 2300])
def test_the_sample_that_clusters_are_fitted_on_does_not_depend_on_row_order(n: int) -> None:
    rows = np.random.default_rng(0).normal(size=(n, 3))
    order = np.random.default_rng(1).permutation(n)
    one, other = (_sample(EmbeddedSet("a", x), 0) for x in (rows, rows[order]))
    assert one.shape == (min(n, 2000), 3)
    assert np.array_equal(one, other)


def test_large_sets_are_clustered_from_a_sample() -> None:
    a, names = classes({0: 1500, 1: 1500}, 0)
    labels = np.array(cluster_labels(EmbeddedSet("a", a), 2))
    assert len(set(zip(labels, names, strict=True))) == 2


def test_too_few_distinct_images_for_clusters_are_said() -> None:
    a, _ = classes({0: 60}, 0)
    with pytest.raises(TooFewSamplesError, match="at least 50 distinct images a side; found 30"):
        match_classes(EmbeddedSet("a", a), EmbeddedSet("b", np.concatenate([a[:30], a[:30]])))
