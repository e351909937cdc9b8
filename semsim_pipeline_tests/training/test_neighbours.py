from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from semsim_pipeline.training.neighbours import against, labels_by_neighbours, leave_one_out


def clouds(n: int, seed: int):
    random = np.random.default_rng(seed)
    classes = random.integers(0, 2, n)
    return (random.normal(size=(n, 8)) + 1.2 * classes[:, None]).astype(np.float32), classes.astype(np.int64)


def test_against_is_scikit_learns_classifier() -> None:
    known, known_classes = clouds(1500, 0)
    rows, _ = clouds(1200, 1)
    peer = KNeighborsClassifier(9, metric="cosine").fit(known, known_classes)  # an odd k of two classes: no ties
    found = labels_by_neighbours(known, known_classes, rows, k=9)
    assert 0.2 < found.mean() < 0.8
    np.testing.assert_array_equal(found, peer.predict(rows))


def test_leave_one_out_leaves_the_row_itself_out() -> None:
    rows, classes = clouds(1300, 2)
    expected = [
        against(rows[[k]], classes[[k]], np.delete(rows, k, 0), np.delete(classes, k)) for k in range(0, 1300, 100)
    ]
    found = labels_by_neighbours(rows, classes)[::100] == classes[::100]
    np.testing.assert_array_equal(found, np.array(expected, bool))
    # With itself among its neighbours, labels at random would be right more often than half of the time.
    random = np.random.default_rng(3).integers(0, 2, 1300)
    assert abs(leave_one_out(rows, random) - 0.5) < 0.05


def test_a_tie_goes_to_the_nearer_class() -> None:
    known = np.array([[1, 0.1], [1, 0.2], [1, -0.3], [1, -0.4]], np.float32)
    assert labels_by_neighbours(known, np.array([1, 1, 0, 0]), np.array([[1, 0]], np.float32), k=4).tolist() == [1]
    assert labels_by_neighbours(known, np.array([0, 0, 1, 1]), np.array([[1, 0]], np.float32), k=4).tolist() == [0]
