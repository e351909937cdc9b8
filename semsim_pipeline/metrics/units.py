"""Which rows are independent of each other: twins by content and groups (videos, bursts), within and across sides.

Two relations, deliberately different. A *pair of rows* is left out of every kernel mean where the two have equal
content or an equal group. A *unit* is what resampling moves: rows connected through any chain of such pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.metrics.base import NO_GROUP, EmbeddedSet

Codes = NDArray[np.int64]
"""int64 [n]: equal numbers mean equal things; -1 for a row that shares the thing with no other row."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SideUnits:
    """One side of a `Layout`. content, group, joint: codes that both sides share. unit: int64 [n], 0 … units - 1,
    numbered over both sides in an order that does not depend on the rows' order."""

    content: Codes
    group: Codes
    joint: Codes
    unit: NDArray[np.int64]

    @property
    def units(self) -> int:
        """How many independent units this side has."""
        return len(np.unique(self.unit))

    def take(self, rows: NDArray[np.intp]) -> SideUnits:
        """The same for some of the rows."""
        return SideUnits(
            content=self.content[rows], group=self.group[rows], joint=self.joint[rows], unit=self.unit[rows]
        )


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Layout:
    """Who is whose twin in a pair. only_reference, only_candidate, spanning: unit numbers, sorted."""

    reference: SideUnits
    candidate: SideUnits
    only_reference: NDArray[np.int64]
    only_candidate: NDArray[np.int64]
    spanning: NDArray[np.int64]
    overlap: int

    @property
    def sides_independent(self) -> bool:
        """No unit has rows on both sides, so that what one side needs can be computed without the other."""
        return len(self.spanning) == 0

    def chained_units(self) -> list[int]:
        """Units that hold a counted pair: rows connected only through others (a copy in two groups)."""
        content = np.concatenate([self.reference.content, self.candidate.content])
        group = np.concatenate([self.reference.group, self.candidate.group])
        unit = np.concatenate([self.reference.unit, self.candidate.unit])
        # Every pair of a unit is left out where the unit is one content or one group; only a unit with several of
        # each can hold a pair that counts.
        order = np.argsort(unit, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(unit[order]) != 0])
        varied = [
            np.minimum.reduceat(codes[order], starts) != np.maximum.reduceat(codes[order], starts)
            for codes in (content, group)
        ]
        return [int(number) for number in unit[order][starts][varied[0] & varied[1]]]


def layout_of(reference: EmbeddedSet, candidate: EmbeddedSet) -> Layout:
    """The twins and units of a pair. `overlap` counts distinct contents that both sides hold.

    Memory: about 100 bytes a row.
    """
    return _layout(
        len(reference),
        np.concatenate([reference.content_codes, candidate.content_codes]),
        np.concatenate([_groups(reference), _groups(candidate)]),
    )


def _layout(n: int, content_codes: NDArray[np.uint64], group_codes: NDArray[np.uint64]) -> Layout:
    """The layout of pooled rows of which the first n are the reference's."""
    content, order = _dense(content_codes)
    group, _ = _dense(group_codes)
    grouped = group_codes != NO_GROUP
    unit = _components(content, group, grouped, order)
    shared_content = _repeated(content)
    shared_group = np.where(grouped, _repeated(group), -1)
    both = (shared_content >= 0) & (shared_group >= 0)
    joint_keys = np.where(both, shared_content * (len(group) + 1) + shared_group, -1)
    joint = np.where(both, _dense(joint_keys)[0], -1)

    def side(rows: slice) -> SideUnits:
        return SideUnits(content=shared_content[rows], group=shared_group[rows], joint=joint[rows], unit=unit[rows])

    in_reference, in_candidate = np.unique(unit[:n]), np.unique(unit[n:])
    return Layout(
        reference=side(slice(None, n)),
        candidate=side(slice(n, None)),
        only_reference=np.setdiff1d(in_reference, in_candidate, assume_unique=True),
        only_candidate=np.setdiff1d(in_candidate, in_reference, assume_unique=True),
        spanning=np.intersect1d(in_reference, in_candidate, assume_unique=True),
        overlap=len(np.intersect1d(content[:n], content[n:])),
    )


def own_units(side: EmbeddedSet) -> SideUnits:
    """The twins and units of one set taken alone (for its split-half ceiling)."""
    key = ("units",)
    found = side.memo.get(key)
    if not isinstance(found, SideUnits):
        found = _layout(len(side), side.content_codes, _groups(side)).reference
        side.memo[key] = found
    return found


def too_few_units(units: tuple[int, int], fewest: int) -> str | None:
    """Why a value stands without an interval, for want of independent images a side; None where there are enough.

    units: of the reference and of the candidate.
    """
    short = [
        f"{word} has {found}" for word, found in zip(("reference", "candidate"), units, strict=True) if found < fewest
    ]
    if not short:
        return None
    return (
        f"there is no interval: it needs at least {fewest} independent images a side, and {' and '.join(short)} "
        "(copies and images of one group count once)"
    )


def excluded_weight(left: SideUnits, right: SideUnits, wl: NDArray[np.uint8], wr: NDArray[np.uint8], *,
                    same: bool) -> NDArray[np.float64]:  # fmt: skip
    """Σ wl_i·wr_j over the pairs that are left out (equal content or equal group), per column: float64 [C].

    By inclusion and exclusion over cells: equal content + equal group - both, so that no pair is ever listed.
    wl uint8 [n, C], wr uint8 [m, C]; same: both are the same rows, then each row is also its own twin.
    """
    total = np.zeros(wl.shape[1])
    for name, sign in (("content", 1.0), ("group", 1.0), ("joint", -1.0)):
        total += sign * _cell_products(getattr(left, name), getattr(right, name), wl, wr)
    if same:
        # A row without a twin is not in any content cell; it is still its own twin. One that is in a group without
        # being in a joint cell would otherwise be counted by its group as well.
        alone = (left.content < 0).astype(np.float64) - ((left.content < 0) & (left.group >= 0))
        total += _weighted_squares(alone, wl, wr)
    return total


def _weighted_squares(alone: NDArray[np.float64], wl: NDArray[np.uint8], wr: NDArray[np.uint8]) -> NDArray[np.float64]:
    total = np.zeros(wl.shape[1])
    for start in range(0, len(alone), 4096):
        rows = slice(start, start + 4096)
        total += alone[rows] @ (wl[rows].astype(np.float64) * wr[rows])
    return total


def _cell_products(left: Codes, right: Codes, wl: NDArray[np.uint8], wr: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Σ over cells of (Σ wl in the cell)·(Σ wr in the cell), for cells that both sides have."""
    from scipy.sparse import csr_array

    cells = np.intersect1d(left[left >= 0], right[right >= 0])
    if not cells.size:
        return np.zeros(wl.shape[1])

    def sums(codes: Codes, weights: NDArray[np.uint8]) -> NDArray[np.float64]:
        rows = np.flatnonzero(np.isin(codes, cells))
        where = np.searchsorted(cells, codes[rows])
        member = csr_array((np.ones(len(rows)), (where, np.arange(len(rows)))), shape=(len(cells), len(rows)))
        return np.asarray(member @ weights[rows].astype(np.float64))

    out: NDArray[np.float64] = (sums(left, wl) * sums(right, wr)).sum(axis=0)
    return out


def _groups(side: EmbeddedSet) -> NDArray[np.uint64]:
    return np.full(len(side), NO_GROUP) if side.group_codes is None else side.group_codes


def _dense(codes: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
    """Codes as 0 … k - 1 in the order of their values (not of the rows), and those values."""
    values, dense = np.unique(codes, return_inverse=True)
    return dense.astype(np.int64).reshape(-1), values


def _repeated(dense: NDArray[np.int64]) -> Codes:
    """The codes that at least two rows have; -1 elsewhere."""
    return np.where(np.bincount(dense)[dense] > 1, dense, -1)


def _components(
    content: NDArray[np.int64], group: NDArray[np.int64], grouped: NDArray[np.bool_], order: NDArray[np.generic]
) -> NDArray[np.int64]:
    """Unit numbers of rows connected by content or group, numbered by each unit's smallest content code."""
    if not grouped.any():
        return content  # already dense, and ordered by content code
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    contents = len(order)
    size = contents + int(group.max()) + 1
    edges = coo_array((np.ones(int(grouped.sum())), (content[grouped], contents + group[grouped])), shape=(size, size))
    _, label = connected_components(edges, directed=False)
    component = np.asarray(label)[content].astype(np.int64)
    first = np.full(int(component.max()) + 1, contents, np.int64)
    np.minimum.at(first, component, content)
    return _dense(first[component])[0]
