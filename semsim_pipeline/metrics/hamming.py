"""Twins by perceptual hash: which rows of one side lie within so many bits of some row of the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
"""uint64 [n, w]: 64·w bits a row; a row of zeros is an image without a hash."""

TILE = 512
"""Rows of a tile, of either side: 512² first words and their counts stay in the second-level cache."""


def within(hashes: Hashes, others: Hashes, bits: int) -> NDArray[np.bool_]:
    """bool [n]: which rows have some row of `others` [m, w] at a Hamming distance of at most `bits`, exactly.

    Rows without a hash have no twin and are none. Equal hashes are found by sorting; the rest by tiles, whose pairs
    are judged by their first word, and by the next where that is not enough.
    Cost: n·m words. Memory: one tile of each kind, about 5 MB, whatever n and m.
    """
    found = np.zeros(len(hashes), np.bool_)
    other = np.unique(others[others.any(axis=1)], axis=0)
    if not len(other):
        return found
    every, inverse = np.unique(hashes, axis=0, return_inverse=True)
    hit = _equal(every, other)
    open_ = np.flatnonzero(~hit & every.any(axis=1))
    for start in range(0, len(open_), TILE):
        rows = open_[start : start + TILE]
        hit[rows] = _near(every[rows], other, bits)
    found[:] = hit[inverse.reshape(-1)]
    return found


def _equal(hashes: Hashes, others: Hashes) -> NDArray[np.bool_]:
    """Which rows are among the others; both distinct."""
    pool = np.concatenate([others, hashes])
    _, inverse, counts = np.unique(pool, axis=0, return_inverse=True, return_counts=True)
    equal: NDArray[np.bool_] = counts[inverse.reshape(-1)[len(others) :]] > 1
    return equal


def _near(rows: Hashes, others: Hashes, bits: int) -> NDArray[np.bool_]:
    """bool [len(rows)], one tile of rows against all the others."""
    hit = np.zeros(len(rows), np.bool_)
    for start in range(0, len(others), TILE):
        tile = others[start : start + TILE]
        first = np.bitwise_count(rows[:, 0, None] ^ tile[None, :, 0])
        left, right = np.nonzero(first <= bits)
        distance = first[left, right].astype(np.int64)
        for word in range(1, rows.shape[1]):
            if not len(left):
                break
            distance += np.bitwise_count(rows[left, word] ^ tile[right, word])
            kept = distance <= bits
            left, right, distance = left[kept], right[kept], distance[kept]
        hit[left] = True
    return hit
