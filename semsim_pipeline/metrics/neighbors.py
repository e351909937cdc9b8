"""Exact nearest neighbours by merging the best of each tile; memory is some tiles and a short list a row."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from semsim_pipeline.metrics.base import DEFAULT_WORKING_MEMORY, EmbeddedSet
from semsim_pipeline.metrics.blocks import tile_rows
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
    rounded_up,
)
from semsim_pipeline.metrics.shortlist import RESERVE, Shortlist

CROSS = ("neighbors", "cross")

SHARED_DEPTH = 10
"""Own-set lists are made this deep at least, so that PRDC (k = 5) and mixing (k = 10) share one pass."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """Pairs (row, column, d²) of distinct rows, sorted by row and then by distance.

    For each row: every column whose distance is at most that of the k-th nearest, ties included, possibly a few more.
    """

    row: Index
    column: Index
    square: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Search:
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

    def _empty(self) -> Shortlist:
        # One slot more than there are rows: such a list never fills, which says that it left out nothing.
        width = min(self.depth + RESERVE, len(self.right) + 1)
        return Shortlist(len(self.left), width, self.frame.centre.dtype)

    def _settle(self, lists: Shortlist) -> Neighbours:
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
            found.append(self.within(np.flatnonzero(missed), kth[missed]))
        row, column, square = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((column, square, row))
        return Neighbours(row=row[order], column=column[order], square=square[order])

    def within(self, rows: Index, limit: Floats) -> tuple[Index, Index, Floats]:
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
    the pass (see `own_known`). Memory: 16·(k + 4)·u bytes and as `bound_tiles`.
    """
    key = _own_key(k)
    found = side.memo.get(key)
    if not isinstance(found, Neighbours):
        cloud = cloud_of(side)
        tile = tile_rows(working_memory)
        search = Search(frame=frame_of(side), left=cloud, right=cloud, depth=_depth(k), own=True, tile=tile)
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
    near duplicates. Memory: 16·(k + 4)·u bytes and as `bound_tiles`.
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


def _cross_search(side: EmbeddedSet, other: EmbeddedSet, k: int, working_memory: int) -> Search:
    return Search(
        frame=frame_of(side, other),
        left=cloud_of(side),
        right=cloud_of(other),
        depth=_depth(k),
        own=False,
        tile=tile_rows(working_memory),
    )


def nearest_squares(side: EmbeddedSet, other: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY) -> Floats:
    """Squared distance from every row of `side` to its nearest row of `other`, float64 [n]. Memory: `bound_tiles`."""
    near = cross_neighbours(side, other, 1, working_memory=working_memory)
    cloud = cloud_of(side)
    starts = np.searchsorted(near.row, np.arange(len(cloud)))
    return near.square[starts][cloud.inverse]
