"""Exact nearest neighbours by merging the best of each tile; memory is one tile and a short list a row."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import DEFAULT_WORKING_MEMORY, EmbeddedSet
from semsim_pipeline.metrics.blocks import Tile, tile_rows
from semsim_pipeline.metrics.clouds import (
    Cloud,
    Floats,
    Frame,
    Index,
    Watcher,
    bound_tiles,
    cloud_of,
    exact_squares,
    frame_of,
    narrowed,
    rounded_up,
)

CROSS = ("neighbors", "cross")

SHARED_DEPTH = 10
"""Own-set lists are made this deep at least, so that PRDC (k = 5) and mixing (k = 10) share one pass."""

RESERVE = 4
"""Entries kept beyond the k asked for: they separate the k-th distance from the best entry left out by more than the
product's error, which otherwise costs a second look at that row."""

GROUP = 16
"""Entries whose minimum stands for them in `_group_limit`."""

DENSE_HITS = 16
"""Hits a row above which a tile is cut down by partition instead (the first tiles, or rows sorted by nearness)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """Pairs (row, column, d²) of distinct rows, sorted by row and then by distance.

    For each row: every column whose distance is at most that of the k-th nearest, ties included, possibly a few more.
    """

    row: Index
    column: Index
    square: Floats


class _Shortlist:
    """The smallest lower bounds seen for each row, with their columns."""

    def __init__(self, rows: int, width: int, dtype: np.dtype[np.generic]) -> None:
        self.width = width
        self.low: Tile = narrowed(np.full((rows, width), np.inf), dtype)
        self.column: Index = np.full((rows, width), -1, np.intp)

    def offer(self, low: Tile, row: int, column: int, *, turned: bool = False) -> None:
        """Take what is better than a row's worst entry from a tile whose corner is (row, column); `turned`: the tile
        is of (columns, rows), as the mirror image of a tile above the diagonal is."""
        rows = low.shape[1 if turned else 0]
        width = self.width
        # The worst entry stays first, so that the threshold is a column and not a reduction.
        worst = self.low[row : row + rows, 0]
        hits = np.flatnonzero(low < (worst if turned else worst[:, None]))
        if hits.size == 0:
            return
        if hits.size > DENSE_HITS * rows and low.size > rows * width:
            limit = _group_limit(low, width, turned=turned)
            hits = np.flatnonzero(low <= (limit if turned else limit[:, None])) if limit is not None else hits
            if hits.size > 4 * DENSE_HITS * rows:
                self._offer_dense(low.T.copy() if turned else low, row, column)
                return
        first, second = np.divmod(hits, low.shape[1])
        at, columns = (second, first) if turned else (first, second)
        self._offer_hits(at + row, columns + column, low.ravel()[hits])

    def _offer_dense(self, low: Tile, row: int, column: int) -> None:
        columns = np.argpartition(low, self.width - 1, axis=1)[:, : self.width]
        self._merge(np.arange(row, row + len(low)), np.take_along_axis(low, columns, axis=1), columns + column)

    def _offer_hits(self, at: Index, columns: Index, values: Tile) -> None:
        """Listed entries: the best `width` of each row, padded to a table, then merged."""
        order = np.lexsort((values, at))
        at, columns, values = at[order], columns[order], values[order]
        starts = np.flatnonzero(np.r_[True, at[1:] != at[:-1]])
        sizes = np.diff(np.r_[starts, len(at)])
        rank = np.arange(len(at)) - np.repeat(starts, sizes)
        group = np.repeat(np.arange(len(starts)), sizes)
        kept = rank < self.width
        slots = min(self.width, int(sizes.max()))
        padded = narrowed(np.full((len(starts), slots), np.inf), values.dtype)
        places: Index = np.full((len(starts), slots), -1, np.intp)
        padded[group[kept], rank[kept]] = values[kept]
        places[group[kept], rank[kept]] = columns[kept]
        self._merge(at[starts], padded, places)

    def _merge(self, rows: Index, values: NDArray[Any], columns: Index) -> None:
        width = self.width
        both = np.concatenate([self.low[rows], values], axis=1)
        places = np.concatenate([self.column[rows], columns], axis=1)
        best = np.argpartition(both, width - 1, axis=1)[:, width - 1 :: -1]
        self.low[rows] = np.take_along_axis(both, best, axis=1)
        self.column[rows] = np.take_along_axis(places, best, axis=1)


def _group_limit(low: Tile, width: int, *, turned: bool) -> Tile | None:
    """For each row (column, where `turned`) a value that at least its `width` smallest entries do not exceed.

    The width-th smallest of the minima of groups: each of those groups holds one such entry at least. A tenth of the
    cost of a partition. None where the tile is too narrow to have enough groups.
    """
    rows, columns = low.shape
    across = rows if turned else columns
    groups = across // GROUP
    if groups * GROUP != across or groups < width:
        return None
    minima = (
        low.reshape(GROUP, groups, columns).min(axis=0).T if turned else low.reshape(rows, GROUP, groups).min(axis=1)
    )
    limit: Tile = np.partition(minima, width - 1, axis=1)[:, width - 1]
    return limit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Search:
    """Neighbours of every left row among the right ones, `depth` deep; `own` (left is right) leaves each row itself
    out."""

    frame: Frame
    left: Cloud
    right: Cloud
    depth: int
    own: bool
    tile: int

    def run(self, watchers: Sequence[Watcher] = ()) -> Neighbours:
        """Short lists by lower bounds, then exact distances. watchers: see every tile once the lists have."""
        lists = self._empty()
        for part in bound_tiles(self.frame, self.left, self.right, tile=self.tile, upper=self.own):
            on_diagonal = self.own and part.row == part.column
            if on_diagonal:
                np.fill_diagonal(part.low, np.inf)
            lists.offer(part.low, part.row, part.column)
            if self.own and not on_diagonal:
                lists.offer(part.low, part.column, part.row, turned=True)
            for watch in watchers:
                watch(part)
        return self._settle(lists)

    def run_both_ways(self, watchers: Sequence[Watcher] = ()) -> tuple[Neighbours, Neighbours]:
        """(left among right, right among left) of two sets, from one pass over their tiles."""
        back = replace(self, left=self.right, right=self.left)
        lists, turned = self._empty(), back._empty()
        for part in bound_tiles(self.frame, self.left, self.right, tile=self.tile, upper=False):
            lists.offer(part.low, part.row, part.column)
            turned.offer(part.low, part.column, part.row, turned=True)
            for watch in watchers:
                watch(part)
        return self._settle(lists), back._settle(turned)

    def _empty(self) -> _Shortlist:
        # One slot more than there are rows: such a list never fills, which says that it left out nothing.
        width = min(self.depth + RESERVE, len(self.right) + 1)
        return _Shortlist(len(self.left), width, self.frame.centre.dtype)

    def _settle(self, lists: _Shortlist) -> Neighbours:
        """Exact distances for the short lists; rows whose list may miss a neighbour are searched again by distance."""
        rows, slots = np.nonzero(lists.column >= 0)
        columns = lists.column[rows, slots]
        squares = exact_squares(self.left, rows, self.right, columns)
        table: Floats = np.full((len(self.left), lists.width), np.inf)
        table[rows, slots] = squares
        kth: Floats = np.full(len(self.left), np.inf)
        if self.depth <= lists.width:
            kth = np.partition(table, self.depth - 1, axis=1)[:, self.depth - 1]
        # What a list left out has a lower bound of at least the list's worst; it cannot be as near as the k-th then.
        # A list that is not full has left out nothing.
        worst = lists.low[:, 0].astype(np.float64)
        missed = (kth >= worst) & np.isfinite(worst)
        kept = (squares <= kth[rows]) & ~missed[rows]
        found = [(rows[kept], columns[kept], squares[kept])]
        if missed.any():
            found.append(self._within(np.flatnonzero(missed), kth[missed]))
        row, column, square = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((column, square, row))
        return Neighbours(row=row[order], column=column[order], square=square[order])

    def _within(self, rows: Index, limit: Floats) -> tuple[Index, Index, Floats]:
        """Every pair of the listed rows with d² <= its limit. Memory grows with the number of such pairs (ties)."""
        some = self.left.select(rows)
        ceiling = rounded_up(limit, self.frame.centre.dtype)
        found: list[tuple[Index, Index, Floats]] = []
        for part in bound_tiles(self.frame, some, self.right, tile=self.tile, upper=False):
            hits = np.flatnonzero(part.low <= ceiling[part.row : part.row + len(part.low), None])
            at, column = np.divmod(hits, part.low.shape[1])
            at, column = at + part.row, column + part.column
            if self.own:
                others = rows[at] != column
                at, column = at[others], column[others]
            square = exact_squares(some, at, self.right, column)
            kept = square <= limit[at]
            found.append((rows[at[kept]], column[kept], square[kept]))
        row, columns, squares = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return row, columns, squares


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """A side's last cross lists, and whose they are; weakly, so that they keep no other set alive."""

    other: weakref.ref[EmbeddedSet]
    depth: int
    found: Neighbours


def own_neighbours(
    side: EmbeddedSet, k: int, *, working_memory: int = DEFAULT_WORKING_MEMORY, watchers: Sequence[Watcher] = ()
) -> Neighbours:
    """Neighbours of a set's distinct rows among its other distinct rows, at least k deep; computed once per set.

    Self is left out by index, never by a zero distance; a watcher finds infinity there. watchers: see the tiles of
    the pass (see `own_known`). Memory: 16·(k + 4)·u bytes and one tile.
    """
    key = _own_key(k)
    found = side.memo.get(key)
    if not isinstance(found, Neighbours):
        cloud = cloud_of(side)
        tile = tile_rows(working_memory)
        search = _Search(frame=frame_of(side), left=cloud, right=cloud, depth=_depth(k), own=True, tile=tile)
        found = search.run(watchers)
        side.memo[key] = found
    return found


def own_known(side: EmbeddedSet, k: int) -> bool:
    """Whether `own_neighbours` has its answer already, so that no watcher would see a tile."""
    return _own_key(k) in side.memo


def _depth(k: int) -> int:
    return max(k, SHARED_DEPTH)


def _own_key(k: int) -> tuple[str, ...]:
    return ("neighbors", "own", str(_depth(k)))


def cross_neighbours(
    side: EmbeddedSet, other: EmbeddedSet, k: int, *, working_memory: int = DEFAULT_WORKING_MEMORY
) -> Neighbours:
    """Neighbours of `side`'s distinct rows among `other`'s distinct rows, at least k deep (all, where there are fewer).

    The lists of the last `other` are kept, so that every family of a pair shares one pass: mixing, nearest distances,
    near duplicates. Memory: 16·(k + 4)·u bytes and one tile.
    """
    kept = side.memo.get(CROSS)
    if isinstance(kept, _Kept) and kept.other() is other and kept.depth >= _depth(k):
        return kept.found
    found = _cross_search(side, other, k, working_memory).run()
    side.memo[CROSS] = _Kept(other=weakref.ref(other), depth=_depth(k), found=found)
    return found


def cross_both_ways(
    side: EmbeddedSet,
    other: EmbeddedSet,
    k: int,
    *,
    watchers: Sequence[Watcher],
    working_memory: int = DEFAULT_WORKING_MEMORY,
) -> None:
    """Make the lists that `cross_neighbours` gives of each among the other, in one pass that the watchers see too."""
    search = _cross_search(side, other, k, working_memory)
    for one, another, found in zip((side, other), (other, side), search.run_both_ways(watchers), strict=True):
        one.memo[CROSS] = _Kept(other=weakref.ref(another), depth=_depth(k), found=found)


def _cross_search(side: EmbeddedSet, other: EmbeddedSet, k: int, working_memory: int) -> _Search:
    return _Search(
        frame=frame_of(side, other),
        left=cloud_of(side),
        right=cloud_of(other),
        depth=_depth(k),
        own=False,
        tile=tile_rows(working_memory),
    )


def kth_squares(side: EmbeddedSet, k: int, *, working_memory: int = DEFAULT_WORKING_MEMORY) -> Floats:
    """Squared distance from each distinct row to its k-th nearest other image of its own set, float64 [u].

    Exactly 0 where k other images equal it. As a plain float64 loop over sum((x - y)²) gives it.
    Raises TooFewSamplesError with fewer than k + 1 images. Memory: see `own_neighbours`.
    """
    if len(side) < k + 1:
        raise TooFewSamplesError(f"needs at least {k + 1} images a side; '{side.name}' has {len(side)}")
    cloud = cloud_of(side)
    near = own_neighbours(side, k, working_memory=working_memory)
    row = np.concatenate([np.arange(len(cloud)), near.row])
    square = np.concatenate([np.zeros(len(cloud)), near.square])
    # A row's own copies come first, at distance 0; of itself there is one fewer.
    count = np.concatenate([cloud.weights - 1, cloud.weights[near.column]])
    order = np.lexsort((square, row))
    return kth_of(row[order], square[order], count[order], k, len(cloud))


def kth_of(row: Index, square: Floats, count: NDArray[np.int64], k: int, rows: int) -> Floats:
    """Of entries sorted by (row, square), each standing for `count` images: every row's k-th smallest, float64 [rows].

    Each row's counts must add up to k at least.
    """
    running = np.cumsum(count)
    before = np.zeros(rows, np.int64)
    starts = np.searchsorted(row, np.arange(rows))
    before[1:] = running[starts[1:] - 1]
    reached = np.flatnonzero(running - before[row] >= k)
    _, first = np.unique(row[reached], return_index=True)
    return square[reached[first]]


def radii(side: EmbeddedSet, k: int, *, working_memory: int = DEFAULT_WORKING_MEMORY) -> Floats:
    """Distance from every row to its k-th nearest other row of its own set, float64 [n]; see `kth_squares`."""
    squares = kth_squares(side, k, working_memory=working_memory)
    return np.sqrt(squares)[cloud_of(side).inverse]


def nearest_squares(side: EmbeddedSet, other: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY) -> Floats:
    """Squared distance from every row of `side` to its nearest row of `other`, float64 [n]. Memory: one tile."""
    near = cross_neighbours(side, other, 1, working_memory=working_memory)
    cloud = cloud_of(side)
    starts = np.searchsorted(near.row, np.arange(len(cloud)))
    return near.square[starts][cloud.inverse]
