"""Kernel means between all classes of two sets, from sums over classes: exact by tiles, or by random features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS, Embeddings
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.kernel_sums import WeightedRows, kernel_sums
from semsim_pipeline.metrics.units import SideUnits, excluded_weight, layout_of
from semsim_pipeline.seeding import generator

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

MOST_EXACT = 400_000_000
"""Pairs of rows up to which every kernel value is computed (some seconds at d = 512); above, random features."""

FREQUENCIES = 4096
"""Random frequencies, a cosine and a sine each: a similarity is then off by 0.005 in the median, 0.02 at the
95th percentile (classes of 90 digits, s² = 0.25)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassMeans:
    """Mean kernels over counted pairs (copies of one image and images of one group never count).

    across: float64 [r, c], E k(a, b) of each reference class (rows) with each candidate class. reference: [r] and
    candidate: [c], E k(a, a') within each class. NaN where no pair counts. exact: False with random features.
    """

    across: Floats
    reference: Floats
    candidate: Floats
    exact: bool

    def similarities(self) -> Floats:
        """S of every two classes, [r, c], on the raw scale; NaN where undefined."""
        own = self.reference[:, None] + self.candidate[None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(own > 0, 2 * self.across / own, np.nan)

    def squared_mmd(self) -> Floats:
        """Unbiased MMD² of every two classes, [r, c]; about 0, also below, for equal ones; NaN where undefined."""
        return self.reference[:, None] + self.candidate[None, :] - 2 * self.across

    def floors(self, kappa: float) -> Floats:
        """What unrelated classes of this spread would score, [r, c]."""
        own = self.reference[:, None] + self.candidate[None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(own > 0, 2 * kappa / own, np.nan)


def class_means(
    reference: EmbeddedSet, candidate: EmbeddedSet, classes: tuple[Index, Index], bandwidth: float, *, seed: int = 0
) -> ClassMeans:
    """The kernel means of every two classes for k = exp(-‖x-y‖²/s²) on unit rows.

    classes: each row's class, intp [n] and [m], 0 … count - 1, -1 for rows in none. Random features are not used where
    a side has groups: leaving out their pairs needs the pairs.
    Raises InvalidEmbeddingsError on zero rows. Cost: n·m kernel values, or one pass of n·d·8,192 operations.
    Memory: two tiles; with features 8,192·8 bytes a class. Source: Rahimi & Recht 2007 for the features.
    Checked against: a plain loop (1e-9), and exact against features.
    """
    layout = layout_of(reference, candidate)
    sides = [
        _Classes.of(side, twins, codes)
        for side, twins, codes in zip(
            (reference, candidate), (layout.reference, layout.candidate), classes, strict=True
        )
    ]
    left, right = sides
    grouped = reference.group_codes is not None or candidate.group_codes is not None
    exact = grouped or len(left.unit) * len(right.unit) <= MOST_EXACT
    if exact:
        across, within = _tiles(left, right, bandwidth), [_own_exact(each, bandwidth) for each in sides]
    else:
        rng = generator(seed, "class_kernel")
        directions = rng.normal(size=(left.unit.shape[1], FREQUENCIES)) * math.sqrt(2 / bandwidth)
        sums = [_feature_sums(each, directions) for each in sides]
        shared = left.excluded_with(right)
        across = sums[0] @ sums[1].T - shared  # copies have equal features: each takes off exactly one
        within = [
            np.einsum("ij,ij->i", total, total) - each.excluded() for total, each in zip(sums, sides, strict=True)
        ]
    counts = np.outer(left.sizes, right.sizes) - left.excluded_with(right)
    own = [_mean(total, each.sizes**2 - each.excluded()) for total, each in zip(within, sides, strict=True)]
    return ClassMeans(across=_mean(across, counts), reference=own[0], candidate=own[1], exact=exact)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Classes:
    """One side's rows that are in a class, class by class. starts: where each class begins; sizes: float64, rows."""

    unit: Embeddings
    twins: SideUnits
    starts: Index
    sizes: Floats

    @classmethod
    def of(cls, side: EmbeddedSet, twins: SideUnits, codes: Index) -> _Classes:
        order = np.argsort(codes, kind="stable")
        order = order[codes[order] >= 0]
        sizes = np.bincount(codes[order])
        starts = np.r_[0, np.cumsum(sizes)[:-1]].astype(np.intp)
        return cls(unit=side.unit[order], twins=twins.take(order), starts=starts, sizes=sizes.astype(np.float64))

    def rows(self, number: int) -> slice:
        start = int(self.starts[number])
        return slice(start, start + int(self.sizes[number]))

    def excluded(self) -> Floats:
        """Ordered pairs within each class that do not count, each row with itself among them: float64 [classes]."""
        out = []
        for number in range(len(self.sizes)):
            rows = self.rows(number)
            once = np.ones((rows.stop - rows.start, 1), np.uint8)
            twins = self.twins.take(np.arange(rows.start, rows.stop))
            out.append(float(excluded_weight(twins, twins, once, once, same=True)[0]))
        return np.array(out)

    def excluded_with(self, other: _Classes) -> Floats:
        """Pairs across that do not count, by classes: float64 [r, c]. By inclusion and exclusion over cells."""
        total = np.zeros((len(self.sizes), len(other.sizes)))
        for name, sign in (("content", 1.0), ("group", 1.0), ("joint", -1.0)):
            left, right = getattr(self.twins, name), getattr(other.twins, name)
            cells = np.intersect1d(left[left >= 0], right[right >= 0])
            if cells.size:
                total += sign * (self._members(left, cells) @ other._members(right, cells).T).toarray()
        return total

    def _members(self, codes: NDArray[np.int64], cells: NDArray[np.int64]) -> csr_array:
        """Sparse [classes, cells]: how many rows of each class are in each cell."""
        from scipy.sparse import csr_array  # a tenth of a second, which naming a result should not cost

        rows = np.flatnonzero(np.isin(codes, cells))
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        where = np.searchsorted(cells, codes[rows])
        return csr_array((np.ones(len(rows)), (owner, where)), shape=(len(self.sizes), len(cells)))


def _own_exact(side: _Classes, bandwidth: float) -> Floats:
    """Σ k over the counted pairs within each class: float64 [classes]."""
    out = []
    for number in range(len(side.sizes)):
        rows = side.rows(number)
        weighted = WeightedRows(
            unit=side.unit[rows],
            twins=side.twins.take(np.arange(rows.start, rows.stop)),
            weights=np.zeros((rows.stop - rows.start, 0), np.uint8),
        )
        out.append(kernel_sums(weighted, weighted, bandwidth).total)
    return np.array(out)


def _tiles(left: _Classes, right: _Classes, bandwidth: float) -> Floats:
    """Σ k over the counted pairs of every two classes: float64 [r, c]."""
    total = np.zeros((len(left.sizes), len(right.sizes)))
    whole = WeightedRows(unit=right.unit, twins=right.twins, weights=np.zeros((len(right.unit), 0), np.uint8))
    for number in range(len(left.sizes)):
        rows = left.rows(number)
        part = WeightedRows(
            unit=left.unit[rows],
            twins=left.twins.take(np.arange(rows.start, rows.stop)),
            weights=np.zeros((rows.stop - rows.start, 0), np.uint8),
        )
        total[number] = np.add.reduceat(kernel_sums(part, whole, bandwidth).columns, right.starts)
    return total


def _feature_sums(side: _Classes, directions: Floats) -> Floats:
    """Sums of the random features over each class, float64 [classes, 2·frequencies]; a row's features have length 1."""
    out = np.zeros((len(side.sizes), 2 * directions.shape[1]))
    scale = 1 / math.sqrt(directions.shape[1])
    weights: Embeddings = directions.astype(np.float32) if side.unit.dtype == np.float32 else directions
    for number in range(len(side.sizes)):
        rows = side.rows(number)
        for start in range(rows.start, rows.stop, TILE_ROWS):
            angles = side.unit[start : min(start + TILE_ROWS, rows.stop)] @ weights
            out[number, : directions.shape[1]] += np.cos(angles).sum(axis=0, dtype=np.float64)
            out[number, directions.shape[1] :] += np.sin(angles).sum(axis=0, dtype=np.float64)
    return out * scale


def _mean(total: Floats, counted: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counted > 0, total / counted, np.nan)
