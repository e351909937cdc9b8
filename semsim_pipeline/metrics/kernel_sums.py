"""Sums of the Gaussian kernel over all counted pairs of rows, by tiles: the numbers that the headline is made of.

k(x, y) = exp(-‖x - y‖² / s²) on unit rows, so ‖x - y‖² = 2 - 2 x·y and one matrix product a tile does it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS, Embeddings
from semsim_pipeline.metrics.blocks import TileWatch, inner_product_tiles
from semsim_pipeline.metrics.units import Codes, SideUnits

FLOAT32_BANDWIDTHS = (0.02, 8.0)
"""A float32 product of unit rows is off by about 1e-7. Divided by a smaller s² that would reach the fifth digit of the
kernel (vectors in a very narrow cone); with a larger one all kernels are nearly 1 and what tells them apart is lost.
Outside, kernels are computed in float64."""

ROUNDING = {np.dtype(np.float32): 2e-7, np.dtype(np.float64): 1e-10}
"""How far two ways to the same ratio of kernel sums may come out apart."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class KernelSums:
    """Over counted pairs only (equal content and equal group left out).

    rows: float64 [n], Σ_j k(x_i, y_j). columns: float64 [m], Σ_i k(x_i, y_j).
    forms: float64 [C], Σ_ij wl_ic · k(x_i, y_j) · wr_jc, one for each column of weights.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    forms: NDArray[np.float64]

    @property
    def total(self) -> float:
        """Σ_ij k(x_i, y_j)."""
        return float(self.rows.sum())


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class WeightedRows:
    """Unit rows [n, d] with their twins' codes and weights uint8 [n, C] (resampling counts, labels)."""

    unit: Embeddings
    twins: SideUnits
    weights: NDArray[np.uint8]


def kernel_sums(
    left: WeightedRows, right: WeightedRows, bandwidth: float, *, watch: TileWatch | None = None
) -> KernelSums:
    """Sums between two sets; `left is right` means the sums within one set (its upper triangle is computed once).

    Returns float64 sums; the kernel itself is float32 for float32 rows (see FLOAT32_BANDWIDTHS), tile sums and
    everything after are float64. watch: sees every tile of cosines, where they are made in the rows' own dtype.
    Cost: 2·n·m·(d + C) operations, half of it within one set.
    Memory: the tiles of `made_ahead` and two of TILE_ROWS² and TILE_ROWS·C numbers, whatever n and m.
    """
    same = left is right
    dtype = kernel_dtype(left.unit, right.unit, bandwidth)
    rows, columns = np.zeros(len(left.unit)), np.zeros(len(right.unit))
    forms = np.zeros(left.weights.shape[1])
    marks, first = left.weights[:0].astype(dtype), -1
    for i, j, cosines in inner_product_tiles(left.unit, right.unit, TILE_ROWS, upper=same, dtype=dtype):
        if watch is not None and dtype == np.result_type(left.unit, right.unit):
            watch(i, j, cosines)
        if i != first:
            marks, first = left.weights[i : i + TILE_ROWS].astype(dtype), i
        kernel = np.subtract(cosines, 1, out=cosines)
        np.multiply(kernel, dtype.type(2 / bandwidth), out=kernel)
        np.exp(kernel, out=kernel)
        _leave_out(kernel, left.twins, right.twins, i, j, same=same)
        rows[i : i + len(kernel)] += kernel.sum(axis=1, dtype=np.float64)
        if not same:
            columns[j : j + kernel.shape[1]] += kernel.sum(axis=0, dtype=np.float64)
        elif i != j:
            rows[j : j + kernel.shape[1]] += kernel.sum(axis=0, dtype=np.float64)
        if marks.shape[1]:
            products = kernel.T @ marks
            products *= right.weights[j : j + TILE_ROWS]
            forms += (2.0 if same and i != j else 1.0) * products.sum(axis=0, dtype=np.float64)
    return KernelSums(rows=rows, columns=rows if same else columns, forms=forms)


def kernel_dtype(left: Embeddings, right: Embeddings, bandwidth: float) -> np.dtype[np.floating]:
    """float32 where both sides are and the bandwidth allows it, else float64."""
    single = FLOAT32_BANDWIDTHS[0] <= bandwidth <= FLOAT32_BANDWIDTHS[1]
    return np.result_type(left, right) if single else np.dtype(np.float64)


def _leave_out(kernel: Embeddings, left: SideUnits, right: SideUnits, i: int, j: int, *, same: bool) -> None:
    """Zero the pairs of a tile that are not counted."""
    if same and i == j:
        np.fill_diagonal(kernel, 0)
    for a, b in ((left.content, right.content), (left.group, right.group)):
        _zero_equal(kernel, a[i : i + kernel.shape[0]], b[j : j + kernel.shape[1]])


def _zero_equal(kernel: Embeddings, left: Codes, right: Codes) -> None:
    here = np.intersect1d(left[left >= 0], right[right >= 0])
    if here.size:
        rows = np.flatnonzero(np.isin(left, here))
        columns = np.flatnonzero(np.isin(right, here))
        tile = kernel[np.ix_(rows, columns)]
        tile[left[rows][:, None] == right[columns][None, :]] = 0
        kernel[np.ix_(rows, columns)] = tile


def median_squared_distance(unit: Embeddings, rng: np.random.Generator, most_rows: int = 2048) -> float:
    """Median ‖x - y‖² over all pairs of different rows; above `most_rows` rows, of a seeded sample of them.

    Range: [0, 4] for unit rows; 0 for a single row, which has no distance. Memory: most_rows² · itemsize bytes.
    """
    if len(unit) < 2:
        return 0.0
    if len(unit) > most_rows:
        unit = unit[np.sort(rng.choice(len(unit), most_rows, replace=False))]
    distances = 2.0 - 2.0 * (unit @ unit.T)[np.triu_indices(len(unit), k=1)]
    return float(max(0.0, np.median(distances)))
