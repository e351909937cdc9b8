"""Distances that can be trusted: tiles of rigorous lower bounds from a fast GEMM, exact values where they decide.

A float32 (or float64) matrix product gives squared distances with an error that has a strict bound. Here every tile
holds d² minus that bound. An entry at or above a threshold is then *proven* outside; the few below it are either
proven inside or evaluated as sum((x - y)²) in float64, the value that a plain loop would give. So ties, duplicates
and float32 cost no decision (`cdist` in float32 has given a row a distance of 0.23 to itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS, Embeddings
from semsim_pipeline.errors import UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet, code_of
from semsim_pipeline.metrics.blocks import Step, Tile, made_ahead, product
from semsim_pipeline.seeding import generator

Index = NDArray[np.intp]
Floats = NDArray[np.float64]

PANEL_TILES = 4
"""Row blocks kept centred at once, so that a column block is centred once for all of them."""

PAIRS_AT_ONCE = 1 << 17
"""Numbers in one chunk of exact distances: 1 MB in float64, which stays in cache."""

FLOAT32_RANGE = (1e-12, 1e15)
FLOAT64_RANGE = (1e-140, 1e150)
"""Largest magnitudes whose squares, summed over d, neither overflow nor vanish."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cloud:
    """A set's distinct rows. Repeats are folded into `weights`, so that a set of copies is no harder than one point.

    rows: all rows [n, d]. first: intp [u], where each distinct row first occurs; None where all n are distinct.
    weights: int64 [u], how often it occurs. inverse: intp [n], a row's place among the distinct ones.
    """

    rows: Embeddings
    first: Index | None
    weights: NDArray[np.int64]
    inverse: Index

    def __len__(self) -> int:
        return len(self.weights)

    def block(self, start: int, stop: int) -> Embeddings:
        """Distinct rows start..stop; a view where nothing repeats."""
        return self.rows[start:stop] if self.first is None else self.rows[self.first[start:stop]]

    def take(self, places: Index) -> Embeddings:
        """Distinct rows at `places`, a copy."""
        return self.rows[places if self.first is None else self.first[places]]

    def select(self, places: Index) -> Cloud:
        """Some of the distinct rows as a cloud of their own (`inverse` is then the identity)."""
        return Cloud(
            rows=self.rows,
            first=places if self.first is None else self.first[places],
            weights=self.weights[places],
            inverse=np.arange(len(places)),
        )


def cloud_of(side: EmbeddedSet) -> Cloud:
    """The distinct rows of a set, bit by bit (0.0 equals -0.0); computed once per set. Memory: 24 bytes a row."""
    key = ("clouds", "cloud")
    found = side.memo.get(key)
    if isinstance(found, Cloud):
        return found
    _, first, inverse, counts = np.unique(
        _row_codes(side.rows), return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    cloud = Cloud(
        rows=side.rows,
        first=None if len(first) == len(side) else first[order],
        weights=counts[order].astype(np.int64),
        inverse=place[inverse],
    )
    side.memo[key] = cloud
    return cloud


def _row_codes(rows: Embeddings) -> NDArray[np.uint64]:
    """A code per row, equal exactly where rows are: a random linear hash, its matches verified."""
    words = rows.shape[1] * rows.itemsize // 4
    weights = generator(0, "row codes").integers(1 << 63, size=words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    codes = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), TILE_ROWS):
        # Adding zero turns -0.0 into 0.0. Halves of 32 bits: round numbers have their low bits empty, and so would
        # their products with 64-bit weights.
        bits = (rows[start : start + TILE_ROWS] + rows.dtype.type(0)).view(np.uint32)
        codes[start : start + len(bits)] = (bits * weights).sum(axis=1, dtype=np.uint64)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    repeated = np.flatnonzero(first[inverse] != np.arange(len(rows)))
    for start in range(0, len(repeated), TILE_ROWS):
        some = repeated[start : start + TILE_ROWS]
        if not np.array_equal(rows[some], rows[first[inverse[some]]]):
            return np.array([code_of((row + 0.0).tobytes()) for row in rows], np.uint64)
    return codes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """How two clouds are compared: a common centre [d] in the working dtype, and the bound on the product's error.

    slack: |product - d²| <= slack·(‖x‖² + ‖y‖²) + floor for centred rows. Made of: an inner product of d + 2 terms
    (the two norms ride along), each rounding at most 2(‖x‖² + ‖y‖²) (Higham 2002, 3.1, any order of summation);
    centring in the working dtype, 4; casts of norms, 2; the rest is reserve. Centring keeps ‖x‖² near the distances.
    """

    centre: Tile
    slack: float
    floor: float


def frame_of(*sides: EmbeddedSet) -> Frame:
    """A frame at the sides' pooled mean; float32 where all sides are, and their range allows it.

    Raises UndefinedMetricError where squared distances leave float64's range.
    """
    largest = max(_largest_magnitude(side) for side in sides)
    if largest > FLOAT64_RANGE[1] or 0 < largest < FLOAT64_RANGE[0]:
        raise UndefinedMetricError(
            f"The largest embedding value is {largest:.3g}: its square leaves float64's range; scale the embeddings."
        )
    total = sum(len(side) for side in sides)
    centre = sum((_mean(side) * (len(side) / total) for side in sides), np.zeros(sides[0].dim))
    narrow = all(side.rows.dtype == np.float32 for side in sides)
    # All zeros is fine in either dtype.
    in_range = largest == 0 or FLOAT32_RANGE[0] < largest < FLOAT32_RANGE[1]
    info = np.finfo(np.float32) if narrow and in_range else np.finfo(np.float64)
    d = sides[0].dim
    return Frame(
        centre=narrowed(centre, info.dtype),
        slack=1.05 * (2 * d + 32) * float(info.eps) / 2,
        floor=8 * (d + 4) * float(info.tiny),
    )


def _largest_magnitude(side: EmbeddedSet) -> float:
    key = ("clouds", "largest")
    found = side.memo.get(key)
    if not isinstance(found, float):
        found = max(float(side.rows.max()), -float(side.rows.min()))
        side.memo[key] = found
    return found


def _mean(side: EmbeddedSet) -> Floats:
    key = ("clouds", "mean")
    found = side.memo.get(key)
    if not isinstance(found, np.ndarray):
        found = side.rows.mean(axis=0, dtype=np.float64)
        side.memo[key] = found
    return np.asarray(found, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """One tile: `low` [r, c] is at most the true d² of rows row.. and columns column..; d² is at most
    low + spare_rows[:, None] + spare_columns[None, :], and half of the spares added makes it what the product itself
    gave. `low` is a buffer that the next tile overwrites. squares: ‖x‖² of the rows from the frame's centre [r]."""

    row: int
    column: int
    low: Tile
    spare_rows: Floats
    spare_columns: Floats
    squares: Floats


Watcher = Callable[[Bounds], None]
"""Takes a look at every tile of a pass that others make; the last of several may overwrite `low`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Block:
    """Centred rows [r, d + 2], the last two columns the norm's bound and 1 (left), or 1 and the bound (right): one
    product then gives ‖x‖² + ‖y‖² - 2x·y, without passes over the tile to add the norms."""

    start: int
    rows: Tile
    spare: Floats
    squares: Floats


def _block(frame: Frame, cloud: Cloud, start: int, stop: int, *, right: bool, squares: Floats | None = None) -> _Block:
    """squares: ‖x‖² of these rows, where an earlier block of them has found it."""
    d = len(frame.centre)
    table = np.ones((stop - start, d + 2), frame.centre.dtype)
    rows = np.subtract(cloud.block(start, stop), frame.centre, out=table[:, :d])
    # The norms are of the rounded rows, in float64: d products without a rounding that the bound must know of.
    if squares is None:
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    table[:, d + 1 if right else d] = (1 - frame.slack) * squares - frame.floor
    if right:
        # A power of two: the product is scaled without a rounding.
        rows *= -2
    return _Block(start=start, rows=table, spare=2 * (frame.slack * squares + frame.floor), squares=squares)


def bound_tiles(frame: Frame, left: Cloud, right: Cloud, *, tile: int = TILE_ROWS, upper: bool) -> Iterator[Bounds]:
    """Tiles of lower bounds over left × right; `upper` (left is right) leaves out the tiles below the diagonal.

    Memory: the tiles of `made_ahead`, a centred block of rows for each and for two panels, 8 bytes a right row.
    """
    lengths: dict[int, Floats] = {}
    panel = tile * PANEL_TILES

    def steps() -> Iterator[Step[Bounds]]:
        for start in range(0, len(left), panel):
            blocks = [
                _block(frame, left, i, min(i + tile, len(left)), right=False)
                for i in range(start, min(start + panel, len(left)), tile)
            ]
            for j in range(start if upper else 0, len(right), tile):
                columns = _block(frame, right, j, min(j + tile, len(right)), right=True, squares=lengths.get(j))
                lengths[j] = columns.squares
                for block in blocks:
                    if not (upper and j < block.start):
                        yield partial(_bounds, block, columns)

    yield from made_ahead(steps(), tile, frame.centre.dtype)


def _bounds(block: _Block, columns: _Block, buffer: Tile) -> Bounds:
    return Bounds(
        row=block.start,
        column=columns.start,
        low=product(block.rows, columns.rows, buffer),
        spare_rows=block.spare,
        spare_columns=columns.spare,
        squares=block.squares,
    )


def watch_cross(
    reference: EmbeddedSet, candidate: EmbeddedSet, watchers: Sequence[Watcher], *, tile: int = TILE_ROWS
) -> None:
    """Show every tile of two sets to some watchers. Memory: see `bound_tiles`."""
    frame = frame_of(reference, candidate)
    for part in bound_tiles(frame, cloud_of(reference), cloud_of(candidate), tile=tile, upper=False):
        for watch in watchers:
            watch(part)


def exact_squares(left: Cloud, rows: Index, right: Cloud, columns: Index) -> Floats:
    """sum((x - y)²) in float64 for listed pairs, [p]: the value that every tie is decided by.

    Symmetric bit by bit, and independent of which other pairs are listed. Memory: 3 MB.
    """
    out = np.empty(len(rows))
    step = max(1, PAIRS_AT_ONCE // left.rows.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        gap = left.take(rows[part]).astype(np.float64)
        gap -= right.take(columns[part])
        out[part] = np.einsum("ij,ij->i", gap, gap)
    return out


def narrowed(values: Floats, dtype: np.dtype[np.generic]) -> Tile:
    """Values in the working dtype, float32 or float64, to nearest; beyond float32's range they become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32) if dtype == np.float32 else values


def rounded_up(values: Floats, dtype: np.dtype[np.generic]) -> Tile:
    """Values in the working dtype, never below the float64 value, so that a comparison with `low` misses nothing."""
    narrow = narrowed(values, dtype)
    return np.asarray(np.nextafter(narrow, narrow.dtype.type(np.inf)))
