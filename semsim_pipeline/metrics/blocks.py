"""Sums of a kernel over all pairs, one tile at a time: the n × m matrix never exists."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS, Embeddings

Tile = NDArray[np.float32] | NDArray[np.float64]
Kernel = Callable[[Tile], Tile]
"""Turns a tile of inner products into kernel values; may overwrite the tile it is given."""

SMALLEST_TILE = 16


def tile_rows(working_memory: int) -> int:
    """Rows of a square tile within a byte budget, at most 1,024 (the fastest), at least 16.

    >>> tile_rows(64 << 20), tile_rows(1 << 20), tile_rows(0)
    (1024, 181, 16)
    """
    # Four float64 tiles at most live at once: products, kernel values, a mask, a scratch.
    return min(TILE_ROWS, max(SMALLEST_TILE, math.isqrt(working_memory // 32)))


TileWatch = Callable[[int, int, Tile], None]
"""Takes (first row, first column, tile) of a pass that others make; leaves the tile as it is."""


def inner_product_tiles(
    left: Embeddings, right: Embeddings, tile: int, *, upper: bool, dtype: np.dtype[np.floating] | None = None
) -> Iterator[tuple[int, int, Tile]]:
    """(first row, first column, left·rightᵀ) tile by tile; `upper` leaves out the tiles below the diagonal.

    dtype: of the products; default float32 where both sides are, else float64. The tile is a buffer: the next step
    overwrites it.
    Memory: one tile, and one copy of a block of rows where a side's dtype is another.
    """
    dtype = dtype or np.result_type(left.dtype, right.dtype)
    buffer = np.empty(tile * tile, dtype)
    for i in range(0, len(left), tile):
        a = left[i : i + tile].astype(dtype, copy=False)
        for j in range(i if upper else 0, len(right), tile):
            b = right[j : j + tile].astype(dtype, copy=False)
            out = buffer[: len(a) * len(b)].reshape(len(a), len(b))
            np.matmul(a, b.T, out=out)
            yield i, j, out


def cross_sum(left: Embeddings, right: Embeddings, kernel: Kernel, *, tile: int = TILE_ROWS) -> float:
    """Sum of kernel(xᵢ·yⱼ) over all n·m pairs; values are added in float64. Memory: two tiles."""
    return math.fsum(
        float(kernel(products).sum(dtype=np.float64))
        for _, _, products in inner_product_tiles(left, right, tile, upper=False)
    )


def within_sum(rows: Embeddings, kernel: Kernel, *, tile: int = TILE_ROWS) -> float:
    """Sum of kernel(xᵢ·xⱼ) over ordered pairs i ≠ j; only the upper half is computed. Memory: two tiles.

    Self-pairs are set to zero in the tile before it is summed: subtracting them afterwards would cancel digits where
    a row is long (its self-pair is the cube of its squared length).
    """
    parts: list[float] = []
    for i, j, products in inner_product_tiles(rows, rows, tile, upper=True):
        values = kernel(products)
        if i == j:
            np.fill_diagonal(values, 0)
        parts.append(float(values.sum(dtype=np.float64)) * (1 if i == j else 2))
    return math.fsum(parts)


def largest_square(rows: Embeddings) -> float:
    """The largest squared length of a row, in float64; bounds every inner product."""
    largest = 0.0
    for start in range(0, len(rows), TILE_ROWS):
        block = rows[start : start + TILE_ROWS].astype(np.float64)
        with np.errstate(over="ignore"):
            largest = max(largest, float(np.einsum("ij,ij->i", block, block).max()))
    return largest
