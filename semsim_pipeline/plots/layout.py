"""Where each image lies on a two-dimensional map of both sides: t-SNE, or the two widest directions of a few images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.seeding import generator

MOST_A_SIDE = 1000
FEWEST_FOR_TSNE = 12
WIDEST = 50
PERPLEXITY = 20
ANGLE = 0.7
SMALL = 600
FEW_STEPS, MORE_STEPS = 300, 500
"""250 of these are t-SNE's own early phase. On 360 digits 300 steps keep as large a share of the ten nearest neighbours
(0.71) as 1,000, on 2,000 digits 500 do (0.53); perplexity 30 and angle 0.5 keep no more at 1.4 times the cost."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Places of the images drawn. reference, candidate: their rows, ascending. points: [k, 2], the reference's first,
    centred, the wider direction across, farthest from the centre at distance 1 (all 0 where all rows are equal).
    method: in words."""

    reference: NDArray[np.intp]
    candidate: NDArray[np.intp]
    points: Points
    method: str


def layout_of(reference: NDArray[np.float32], candidate: NDArray[np.float32], seed: int) -> Layout:
    """The map of two sets of embeddings, [n, d] and [m, d]: at most 1,000 images a side, a seeded fair sample.

    On unit rows (as the score is), reduced to 50 dimensions. The same numbers for the same input on one machine, as
    long as BLAS and OpenMP run one thread. Memory: about 1 kB an image drawn.
    """
    first = _sample(len(reference), seed, "reference")
    second = _sample(len(candidate), seed, "candidate")
    rows = _directions(np.concatenate([reference[first], candidate[second]]).astype(np.float64))
    main = _principal(rows)
    if not main.any():
        return Layout(reference=first, candidate=second, points=main[:, :2], method="all embeddings are equal")
    if len(rows) < FEWEST_FOR_TSNE:
        method = "principal components (too few images for t-SNE)"
        return Layout(reference=first, candidate=second, points=_placed(main[:, :2]), method=method)
    perplexity = float(min(PERPLEXITY, (len(rows) - 1) // 3))
    points = _tsne(main, perplexity, seed)
    return Layout(reference=first, candidate=second, points=_placed(points), method=f"t-SNE, perplexity {perplexity:g}")


def _sample(n: int, seed: int, side: str) -> NDArray[np.intp]:
    if n <= MOST_A_SIDE:
        return np.arange(n)
    drawn = generator(seed, "embedding map", side).choice(n, MOST_A_SIDE, replace=False)
    return np.sort(drawn).astype(np.intp)


def _directions(rows: Points) -> Points:
    """Unit rows; a zero row stays zero, because a map may show what a score refuses."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    out: Points = rows / np.where(length > 0, length, 1.0)
    return out


def _principal(rows: Points) -> Points:
    """Coordinates along the widest directions, [k, up to 50], at least two columns; all 0 where all rows are equal."""
    centred = rows - rows.mean(axis=0)
    if float(np.abs(centred).max()) < 1e-9:
        return np.zeros((len(rows), 2))
    from sklearn.decomposition import PCA

    width = min(WIDEST, *rows.shape)
    found: Points = PCA(n_components=width, random_state=0).fit_transform(rows)
    return found if width >= 2 else np.concatenate([found, np.zeros((len(rows), 2 - width))], axis=1)


def _tsne(rows: Points, perplexity: float, seed: int) -> Points:
    from sklearn.manifold import (
        TSNE,
    )  # openTSNE takes 2.2 times as long at 360 and at 2,000 points for the same neighbours kept

    start = rows[:, :2] / rows[:, 0].std() * 1e-4  # as scikit-learn's own `init="pca"` scales it
    tsne = TSNE(
        n_components=2,
        perplexity=perplexity,
        init=start.astype(np.float32),
        learning_rate="auto",
        max_iter=FEW_STEPS if len(rows) <= SMALL else MORE_STEPS,
        random_state=int(generator(seed, "t-SNE").integers(1 << 31)),
        angle=ANGLE,
        n_jobs=1,
    )
    found = np.asarray(tsne.fit_transform(rows), dtype=np.float64)
    return found if np.isfinite(found).all() else rows[:, :2]


def _placed(points: Points) -> Points:
    """Centred and turned so that the wider direction lies across, within the unit disc; signs are fixed."""
    centred = points - (points.max(axis=0) + points.min(axis=0)) / 2
    _, axes = np.linalg.eigh(np.cov((points - points.mean(axis=0)).T)) if len(points) > 1 else (None, np.eye(2))
    axes = axes[:, ::-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    turned = centred @ axes
    turned -= (turned.max(axis=0) + turned.min(axis=0)) / 2
    reach = float(np.linalg.norm(turned, axis=1).max())
    out: Points = turned / reach if reach > 0 else turned
    return out
