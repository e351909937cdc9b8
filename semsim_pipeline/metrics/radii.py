"""Distance from each image to its k-th nearest other of its own set: exact, without the list of who is nearer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import DEFAULT_WORKING_MEMORY, EmbeddedSet
from semsim_pipeline.metrics.blocks import tile_rows
from semsim_pipeline.metrics.clouds import Cloud, Floats, Index, bound_tiles, cloud_of, exact_squares, frame_of
from semsim_pipeline.metrics.neighbors import Search, own_known, own_neighbours
from semsim_pipeline.metrics.shortlist import RESERVE, Shortlist


def kth_squares(side: EmbeddedSet, k: int, *, working_memory: int = DEFAULT_WORKING_MEMORY) -> Floats:
    """Squared distance from each distinct row to its k-th nearest other image of its own set, float64 [u]; kept.

    Exactly 0 where k other images equal it. As a plain float64 loop over sum((x - y)²) gives it.
    Raises TooFewSamplesError with fewer than k + 1 images. Memory: 8 bytes a row kept; meanwhile see `own_neighbours`.
    """
    if len(side) < k + 1:
        raise TooFewSamplesError(f"needs at least {k + 1} images a side; '{side.name}' has {len(side)}")
    key = ("radii", str(k))
    found = side.memo.get(key)
    if not isinstance(found, np.ndarray):
        if cloud_of(side).first is None and not own_known(side, k):
            found = _kth_of_distinct(side, k, tile_rows(working_memory))
        else:
            found = _kth_of_lists(side, k, working_memory)
        side.memo[key] = found
    return np.asarray(found, np.float64)


def _kth_of_lists(side: EmbeddedSet, k: int, working_memory: int) -> Floats:
    cloud = cloud_of(side)
    near = own_neighbours(side, k, working_memory=working_memory)
    row = np.concatenate([np.arange(len(cloud)), near.row])
    square = np.concatenate([np.zeros(len(cloud)), near.square])
    # A row's own copies come first, at distance 0; of itself there is one fewer.
    count = np.concatenate([cloud.weights - 1, cloud.weights[near.column]])
    order = np.lexsort((square, row))
    return kth_of(row[order], square[order], count[order], k, len(cloud))


def _kth_of_distinct(side: EmbeddedSet, k: int, tile: int) -> Floats:
    """Where no image occurs twice: bounds settle all but the entries that may be the k-th, one or two a row."""
    cloud, frame = cloud_of(side), frame_of(side)
    lists = Shortlist(len(cloud), min(k + RESERVE, len(cloud) + 1), frame.centre.dtype)
    spare: Floats = np.empty(len(cloud))
    for part in bound_tiles(frame, cloud, cloud, tile=tile, upper=True):
        rows = len(part.low)
        on_diagonal = part.row == part.column
        if on_diagonal:
            np.fill_diagonal(part.low, np.inf)
            spare[part.row : part.row + rows] = part.spare_rows
        lists.offer(part.low, part.row, part.column)
        if not on_diagonal:
            lists.offer(part.low, part.column, part.row, turned=True)
    low = lists.low.astype(np.float64)
    high = low + spare[:, None] + spare[lists.column]
    most = np.partition(high, k - 1, axis=1)[:, k - 1]
    kth = _settled(cloud, lists.column, low, high, k)
    # What a list left out has a lower bound of at least the list's worst, which stands first.
    missed = np.flatnonzero((most >= low[:, 0]) & np.isfinite(low[:, 0]))
    if missed.size:
        search = Search(frame=frame, left=cloud, right=cloud, depth=k, own=True, tile=tile)
        row, _, square = search.within(missed, most[missed])
        order = np.lexsort((square, row))
        place = np.searchsorted(missed, row[order])
        kth[missed] = kth_of(place, square[order], np.ones(len(row), np.int64), k, len(missed))
    return kth


def _settled(cloud: Cloud, column: Index, low: Floats, high: Floats, k: int) -> Floats:
    """The k-th smallest d² of each row of a table, given bounds on every entry; columns of -1 have infinite ones.

    An entry below the k-th smallest lower bound is nearer than the k-th, whatever they are; one above the k-th smallest
    upper bound is farther. The few between are evaluated.
    """
    least, most = (np.partition(bound, k - 1, axis=1)[:, k - 1 : k] for bound in (low, high))
    nearer = high < least
    row, slot = np.nonzero(~nearer & (low <= most) & (column >= 0))
    table: Floats = np.full(low.shape, np.inf)
    table[row, slot] = exact_squares(cloud, row, cloud, column[row, slot])
    table.sort(axis=1)
    return np.asarray(table[np.arange(len(table)), k - 1 - nearer.sum(axis=1)], np.float64)


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
