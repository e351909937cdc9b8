"""Which images of two sides are nearest to each other, and which are farthest from the other side; exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import unit_rows
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.neighbors import Neighbours, cross_neighbours

COPIES_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An image, its nearest image on the other side, their cosine, and whether both are the same file."""

    row: int
    other: int
    cosine: float
    copy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """pairs: candidate images with their nearest reference image, nearest first. far_candidate: those candidate
    images whose nearest reference image is farthest, farthest first, copies left out; far_reference: the same from
    the other side. copies: candidate images that are in the reference too."""

    pairs: tuple[Match, ...]
    far_candidate: tuple[Match, ...]
    far_reference: tuple[Match, ...]
    copies: int


def extremes(
    reference: NDArray[np.float32],
    candidate: NDArray[np.float32],
    ids: tuple[Sequence[str], Sequence[str]],
    k: int,
) -> Extremes:
    """The k nearest pairs and the k images of each side that are farthest from the other.

    ids: content of each reference and each candidate row. No content is shown twice in one list, and at most three
    pairs are copies while other pairs are left. Rows of zeros have no direction and are left out. Ties: the other
    side's copy of the image itself, else its first row.
    Cost: two passes of tiles over n·m. Memory: unit rows and one tile.
    """
    to_reference = _matches(candidate, reference, ids[1], ids[0])
    to_candidate = _matches(reference, candidate, ids[0], ids[1])
    known = set(ids[0])
    return Extremes(
        pairs=_nearest(to_reference, ids[1], ids[0], k),
        far_candidate=_farthest(to_reference, ids[1], k),
        far_reference=_farthest(to_candidate, ids[0], k),
        copies=sum(each in known for each in ids[1]),
    )


def _matches(
    rows: NDArray[np.float32], others: NDArray[np.float32], ids: Sequence[str], other_ids: Sequence[str]
) -> list[Match]:
    """The nearest other row of every row that has a direction."""
    kept, other_kept = np.flatnonzero(rows.any(axis=1)), np.flatnonzero(others.any(axis=1))
    if not len(kept) or not len(other_kept):
        return []
    side = EmbeddedSet("rows", unit_rows(rows[kept]), content=np.arange(len(kept), dtype=np.uint64))
    other = EmbeddedSet("others", unit_rows(others[other_kept]), content=np.arange(len(other_kept), dtype=np.uint64))
    where = {each: place for place, each in reversed(list(enumerate(other_ids)))}
    nearest = dict(_first_of_each(cross_neighbours(side, other, 1), side, other))
    out = []
    for place, (match, square) in sorted(nearest.items()):
        row, found = int(kept[place]), int(other_kept[match])
        twin = where.get(ids[row])
        # A copy has the same embedding, so it is among the nearest; that it is a copy is what is worth showing.
        found = found if twin is None else twin
        cosine = 1.0 if twin is not None else min(1.0, max(-1.0, 1.0 - square / 2))
        out.append(Match(row=row, other=found, cosine=cosine, copy=twin is not None))
    return out


def _first_of_each(found: Neighbours, side: EmbeddedSet, other: EmbeddedSet) -> Iterator[tuple[int, tuple[int, float]]]:
    """(row, (nearest row, d²)) of every row; the neighbours are of distinct rows, nearest first, ties by place."""
    from semsim_pipeline.metrics.clouds import cloud_of

    starts = np.searchsorted(found.row, np.arange(len(cloud_of(side))))
    first = cloud_of(other).first
    for row, distinct in enumerate(cloud_of(side).inverse):
        start = starts[distinct]
        column = int(found.column[start])
        yield row, (column if first is None else int(first[column]), float(found.square[start]))


def _nearest(matches: Sequence[Match], ids: Sequence[str], other_ids: Sequence[str], k: int) -> tuple[Match, ...]:
    ordered = sorted(matches, key=lambda each: (-each.cosine, not each.copy, each.row))
    copies = [each for each in ordered if each.copy]
    others = [each for each in ordered if not each.copy]
    shown: list[Match] = []
    seen: tuple[set[str], set[str]] = (set(), set())
    for some, most in ((copies, min(COPIES_SHOWN, k)), (others, k), (copies, k)):
        for each in some:
            if len(shown) == most:
                break
            if ids[each.row] not in seen[0] and other_ids[each.other] not in seen[1]:
                seen[0].add(ids[each.row])
                seen[1].add(other_ids[each.other])
                shown.append(each)
    return tuple(sorted(shown, key=ordered.index))


def _farthest(matches: Sequence[Match], ids: Sequence[str], k: int) -> tuple[Match, ...]:
    out: list[Match] = []
    seen: set[str] = set()
    for each in sorted(matches, key=lambda each: (each.cosine, each.row)):
        if len(out) == k:
            break
        if ids[each.row] not in seen and not each.copy:
            seen.add(ids[each.row])
            out.append(each)
    return tuple(out)
