"""The best few of each row, merged tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.metrics.blocks import Tile
from semsim_pipeline.metrics.clouds import Index, narrowed

RESERVE = 4
"""Entries kept beyond the k asked for: they separate the k-th distance from the best entry left out by more than the
product's error, which otherwise costs a second look at that row."""

GROUP = 16
"""Entries whose minimum stands for them in `_group_limit`."""

DENSE_HITS = 16
"""Hits a row above which a tile is cut down by partition instead (the first tiles, or rows sorted by nearness)."""

MOST_SLOTS = 4
"""Hits of one row, in widths of its list, above which a tile's hits are sorted before they are merged."""


class Shortlist:
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
        values = low.ravel()[hits]
        if turned:
            # 16 bits hold a row within a tile, and are sorted by radix.
            order = np.argsort(second.astype(np.int16), kind="stable")
            first, second, values = second[order], first[order], values[order]
        self._offer_hits(first, second + column, values, row)

    def _offer_dense(self, low: Tile, row: int, column: int) -> None:
        columns = np.argpartition(low, self.width - 1, axis=1)[:, : self.width]
        self._merge(np.arange(row, row + len(low)), np.take_along_axis(low, columns, axis=1), columns + column)

    def _offer_hits(self, at: Index, columns: Index, values: Tile, row: int) -> None:
        """Listed entries in ascending order of `at`, the row within the tile: padded to a table, then merged."""
        sizes = np.bincount(at)
        rank = np.arange(len(at)) - (np.cumsum(sizes) - sizes)[at]
        slots = int(sizes.max())
        if slots > MOST_SLOTS * self.width:
            order = np.lexsort((values, at))
            columns, values = columns[order], values[order]
            kept = rank < self.width
            at, columns, values, rank, slots = at[kept], columns[kept], values[kept], rank[kept], self.width
        present = sizes > 0
        group = (np.cumsum(present) - 1)[at]
        shape = (int(present.sum()), slots)
        padded = narrowed(np.full(shape, np.inf), values.dtype)
        places: Index = np.full(shape, -1, np.intp)
        padded[group, rank], places[group, rank] = values, columns
        self._merge(np.flatnonzero(present) + row, padded, places)

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
