"""How well classes are told apart by nearest neighbours, which asks of an embedding what a person would ask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
BLOCK = 1000


def leave_one_out(embeddings: NDArray[np.float32], classes: NDArray[np.int64], k: int = NEIGHBOURS) -> float:
    """The share of rows whose class is the commonest of their k nearest other rows by cosine, in [0, 1].

    embeddings: [n, d], n > k.
    """
    return float((labels_by_neighbours(embeddings, classes, k=k) == classes).mean())


def against(
    embeddings: NDArray[np.float32],
    classes: NDArray[np.int64],
    known: NDArray[np.float32],
    known_classes: NDArray[np.int64],
    k: int = NEIGHBOURS,
) -> float:
    """The same with the neighbours taken from other rows, [m, d] with m >= k."""
    return float((labels_by_neighbours(known, known_classes, embeddings, k=k) == classes).mean())


def labels_by_neighbours(
    known: NDArray[np.float32],
    classes: NDArray[np.int64],
    asked: NDArray[np.float32] | None = None,
    *,
    k: int = NEIGHBOURS,
) -> NDArray[np.int64]:
    """The commonest class among the k nearest rows of `known`, for each row of `asked`, or without it for each row of
    `known` among the others.

    A tie goes to the class whose neighbours are nearer in sum. Memory: BLOCK · len(known) floats.
    Checked against: scikit-learn's KNeighborsClassifier (equal where no two classes tie).
    """
    others = _unit(known)
    rows = others if asked is None else _unit(asked)
    votes_of = np.eye(int(classes.max()) + 1, dtype=np.float32)
    found = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        cosine = block @ others.T
        if asked is None:
            cosine[np.arange(len(block)), start + np.arange(len(block))] = -np.inf
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(cosine, nearest, axis=1)
        # A vote is 1 and at most 1/(3k) for nearness: k of those cannot outweigh one vote.
        votes = (votes_of[classes[nearest]] * (1.0 + near[..., None] / (3 * k))).sum(axis=1)
        found[start : start + len(block)] = votes.argmax(axis=1)
    return found


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(length, np.finfo(np.float32).tiny)
    return unit
