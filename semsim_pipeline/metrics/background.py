"""Measure what unrelated images look like to an encoder, on a panel of images in categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS, Embeddings, unit_rows
from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.kernel_sums import median_squared_distance
from semsim_pipeline.seeding import generator

MIN_CATEGORIES = 5


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PanelMeasure:
    """bandwidth: s², positive. kappa: in 0..1. mean: float64 [d], the mean unit row."""

    bandwidth: float
    kappa: float
    mean: NDArray[np.float64]


def measure_background(rows: Embeddings, categories: Sequence[str], *, source: str) -> PanelMeasure:
    """s², κ and the mean unit row of a panel.

    s² = ¼ · median ‖x - y‖² over all pairs of unit rows (of a seeded sample of 2,048 rows above that many: a median
    of two million pairs); κ = mean of exp(-‖x - y‖²/s²) over all pairs of different categories, by tiles.

    Args: rows float32 or float64 [n, d]; categories: one name a row (a panel's label); source: the panel's name.
    Raises: TooFewSamplesError below five categories: then κ would rest on a handful of contrasts.
    """
    names = np.asarray(categories)
    require_categories(len(np.unique(names)), source)
    unit = unit_rows(rows)
    bandwidth = median_squared_distance(unit, generator(0, "background")) / 4
    if bandwidth <= 0:
        raise TooFewSamplesError(f"half of all pairs of {source!r} are the same image to this encoder: no scale")
    kappa = _mean_kernel_between(unit, names, bandwidth)
    mean = unit.mean(axis=0, dtype=np.float64)
    return PanelMeasure(bandwidth=bandwidth, kappa=kappa, mean=mean)


def require_categories(kinds: int, source: str) -> None:
    """Raises TooFewSamplesError below five categories; cheap, so that a caller can ask before it embeds a panel."""
    if kinds < MIN_CATEGORIES:
        raise TooFewSamplesError(
            f"A background needs a panel of at least {MIN_CATEGORIES} categories of unrelated images; the labels of "
            f"{source!r} name {kinds}. Use a labelled panel, one folder a category."
        )


def _mean_kernel_between(unit: Embeddings, names: NDArray[np.str_], bandwidth: float) -> float:
    total, pairs = 0.0, 0
    for i in range(0, len(unit), TILE_ROWS):
        for j in range(0, len(unit), TILE_ROWS):
            different = names[i : i + TILE_ROWS, None] != names[None, j : j + TILE_ROWS]
            squared = 2.0 - 2.0 * (unit[i : i + TILE_ROWS] @ unit[j : j + TILE_ROWS].T)
            total += float(np.exp(-squared[different] / bandwidth).sum(dtype=np.float64))
            pairs += int(different.sum())
    return total / pairs
