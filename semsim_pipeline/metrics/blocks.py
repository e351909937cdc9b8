"""Sums of a kernel over all pairs, one tile at a time: the n × m matrix never exists.

While a tile is used, other threads multiply the next ones: products are most of the time of every pass, and what is
done with them runs on one core whatever the BLAS has. Same products, same order: not a bit changes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from itertools import chain, islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS, Embeddings
from semsim_pipeline.cores import cores

Tile = NDArray[np.float32] | NDArray[np.float64]
Kernel = Callable[[Tile], Tile]
"""Turns a tile of inner products into kernel values; may overwrite the tile it is given."""

SMALLEST_TILE = 16
MOST_AHEAD = 4
"""Tiles made while one is used, a core each: with more, whoever uses them is what is waited for."""

LEAST_AHEAD = 256
"""Side of a tile from which handing it to another thread (0.1 ms) is cheap beside its product."""
T = TypeVar("T")
Step = Callable[[Tile], T]
"""Fills the beginning of a flat buffer, and says what that is."""


def tile_rows(working_memory: int) -> int:
    """Rows of a square tile within a byte budget, at most 1,024 (the fastest), at least 16.

    >>> tile_rows(64 << 20), tile_rows(1 << 20), tile_rows(0)
    (1024, 128, 16)
    """
    # Eight float64 tiles at most live at once: products, MOST_AHEAD more, kernel values, a mask, a scratch.
    return min(TILE_ROWS, max(SMALLEST_TILE, math.isqrt(working_memory // (8 * (MOST_AHEAD + 4)))))


def made_ahead(steps: Iterable[Step[T]], tile: int, dtype: np.dtype[np.floating]) -> Iterator[T]:
    """What each step says, in order, while other threads take the next steps with other buffers.

    A step's buffer is used again once its tile was. What a step raises is raised here, in its turn; where the caller
    stops early, steps under way are waited for. A single step, tiles below LEAST_AHEAD and a single core need no other
    thread. Memory: a tile, and one for each core up to MOST_AHEAD.
    """
    threads = min(cores(), MOST_AHEAD)
    waiting = iter(steps)
    first = list(islice(waiting, 2 if tile >= LEAST_AHEAD and threads > 1 else 1))
    if len(first) < 2:
        buffer = np.empty(tile * tile, dtype)
        yield from (step(buffer) for step in chain(first, waiting))
        return
    free = [np.empty(tile * tile, dtype) for _ in range(threads + 1)]
    begun: deque[tuple[Future[T], Tile]] = deque()
    with ThreadPoolExecutor(threads, "semsim-tile") as others:
        for step in chain(first, waiting):
            buffer = free.pop()
            begun.append((_begin(others, step, buffer), buffer))
            if not free:
                yield from _first(begun, free)
        while begun:
            yield from _first(begun, free)


def _begin(others: ThreadPoolExecutor, step: Step[T], buffer: Tile) -> Future[T]:
    try:
        # With the caller's settings, such as what numpy says of an overflow.
        return others.submit(copy_context().run, step, buffer)
    except RuntimeError:  # the program's main thread has ended, and with it everybody else's work
        made: Future[T] = Future()
        made.set_result(step(buffer))
        return made


def _first(begun: deque[tuple[Future[T], Tile]], free: list[Tile]) -> Iterator[T]:
    made, buffer = begun.popleft()
    yield made.result()
    free.append(buffer)


TileWatch = Callable[[int, int, Tile], None]
"""Takes (first row, first column, tile) of a pass that others make; leaves the tile as it is."""


def inner_product_tiles(
    left: Embeddings, right: Embeddings, tile: int, *, upper: bool, dtype: np.dtype[np.floating] | None = None
) -> Iterator[tuple[int, int, Tile]]:
    """(first row, first column, left·rightᵀ) tile by tile; `upper` leaves out the tiles below the diagonal.

    dtype: of the products; default float32 where both sides are, else float64. The tile is a buffer: the next step
    overwrites it.
    Memory: as `made_ahead`, and where a side's dtype is another, a copy of a block of rows for each tile.
    """
    dtype = dtype or np.result_type(left.dtype, right.dtype)

    def steps() -> Iterator[Step[tuple[int, int, Tile]]]:
        for i in range(0, len(left), tile):
            a = left[i : i + tile].astype(dtype, copy=False)
            for j in range(i if upper else 0, len(right), tile):
                yield partial(_tile, i, j, a, right[j : j + tile], dtype)

    yield from made_ahead(steps(), tile, dtype)


def _tile(i: int, j: int, a: Tile, b: Embeddings, dtype: np.dtype[np.floating], buffer: Tile) -> tuple[int, int, Tile]:
    return i, j, product(a, b.astype(dtype, copy=False), buffer)


def product(a: Tile, b: Tile, buffer: Tile) -> Tile:
    """a·bᵀ in the beginning of a flat buffer."""
    out = buffer[: len(a) * len(b)].reshape(len(a), len(b))
    np.matmul(a, b.T, out=out)
    return out


def cross_sum(left: Embeddings, right: Embeddings, kernel: Kernel, *, tile: int = TILE_ROWS) -> float:
    """Sum of kernel(xᵢ·yⱼ) over all n·m pairs; values are added in float64. Memory: as `made_ahead`, and a tile."""
    return math.fsum(
        float(kernel(products).sum(dtype=np.float64))
        for _, _, products in inner_product_tiles(left, right, tile, upper=False)
    )


def within_sum(rows: Embeddings, kernel: Kernel, *, tile: int = TILE_ROWS) -> float:
    """Sum of kernel(xᵢ·xⱼ) over ordered pairs i ≠ j; only the upper half is computed. Memory: as
    `made_ahead`, and a tile.

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
