"""Arithmetic on kernel sums: the three means, leave-one-unit-out errors, permutations, split halves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import Z_95
from semsim_pipeline.metrics.kernel_sums import KernelSums
from semsim_pipeline.metrics.resampling import PairWeights
from semsim_pipeline.metrics.units import Layout, SideUnits, excluded_weight

Column = NDArray[np.float64]
ENOUGH_EXCEEDANCES = 20


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Means:
    """E k(a, b), E k(a, a'), E k(b, b') over counted pairs, one column per set of weights: float64 [C]."""

    ab: Column
    aa: Column
    bb: Column

    @staticmethod
    def of(layout: Layout, weights: PairWeights, aa: Column, ab: Column, bb: Column) -> Means:
        """Weighted kernel sums divided by the weight of their counted pairs; NaN where no pair is left."""
        counts = pair_counts(layout, weights)
        return Means(aa=_mean(aa, counts.aa), ab=_mean(ab, counts.ab), bb=_mean(bb, counts.bb))

    @staticmethod
    def of_swaps(layout: Layout, swaps: PairWeights, aa: KernelSums, ab: KernelSums, bb: KernelSums) -> Means:
        """The means after the rows marked in `swaps` went over to the other side."""
        kernel = _exchanged(swaps, aa, ab, bb)
        counts = _exchanged(swaps, *_count_sums(layout, swaps))
        return Means(aa=_mean(kernel.aa, counts.aa), ab=_mean(kernel.ab, counts.ab), bb=_mean(kernel.bb, counts.bb))

    def similarities(self) -> Column:
        """S for each column."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 2 * self.ab / (self.aa + self.bb)

    def cauchy_schwarzes(self) -> Column:
        """The Cauchy–Schwarz form for each column."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.ab / np.sqrt(self.aa * self.bb)

    @property
    def similarity(self) -> float:
        """S of the first column."""
        return float(self.similarities()[0])

    @property
    def cauchy_schwarz(self) -> float:
        """The Cauchy–Schwarz form of the first column."""
        return float(self.cauchy_schwarzes()[0])

    @property
    def k_ab(self) -> float:
        """E k(a, b) of the first column."""
        return float(self.ab[0])

    @property
    def k_aa(self) -> float:
        """E k(a, a') of the first column."""
        return float(self.aa[0])

    @property
    def k_bb(self) -> float:
        """E k(b, b') of the first column."""
        return float(self.bb[0])

    def require_pairs(self, reference: str, candidate: str) -> None:
        """Raises TooFewSamplesError where one of the means has no pair to average, or nothing is near anything."""
        for name, mean in ((reference, self.k_aa), (candidate, self.k_bb)):
            if not np.isfinite(mean):
                raise TooFewSamplesError(
                    f"needs at least 2 independent images a side; {name} has 1 (copies of one image and images of "
                    "one group are not independent)"
                )
        if not np.isfinite(self.k_ab):
            raise TooFewSamplesError(
                "every image of one side is a twin of every image of the other: nothing to compare"
            )
        if self.k_aa + self.k_bb <= 0:
            raise TooFewSamplesError("no two images of either side are near each other at this bandwidth: add images")


@dataclass(frozen=True, slots=True, kw_only=True)
class JackknifeErrors:
    """Leave-one-unit-out variances of S and of its Cauchy–Schwarz form, and the denominator's relative error."""

    similarity: float
    cauchy_schwarz: float
    relative_denominator: float


def _mean(sums: Column, counts: Column) -> Column:
    """Sums per counted pair; NaN where none is left (counts are whole numbers, sums then only rounding)."""
    means: Column = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0.5)
    return means


def pair_counts(layout: Layout, weights: PairWeights) -> Means:
    """The weight of the counted pairs, per column (as `Means`, whose fields it shares)."""
    a, b = weights.reference, weights.candidate
    na, nb = a.sum(axis=0, dtype=np.float64), b.sum(axis=0, dtype=np.float64)
    left, right = layout.reference, layout.candidate
    return Means(
        aa=na * na - excluded_weight(left, left, a, a, same=True),
        ab=na * nb - excluded_weight(left, right, a, b, same=False),
        bb=nb * nb - excluded_weight(right, right, b, b, same=True),
    )


def _count_sums(layout: Layout, swaps: PairWeights) -> tuple[KernelSums, KernelSums, KernelSums]:
    """The sums of a kernel that is 1 on every counted pair."""
    sides = {"a": (layout.reference, swaps.reference), "b": (layout.candidate, swaps.candidate)}
    out = []
    for one, other in (("a", "a"), ("a", "b"), ("b", "b")):
        (left, wl), (right, wr) = sides[one], sides[other]
        same = one == other
        sizes = wl.sum(axis=0, dtype=np.float64) * wr.sum(axis=0, dtype=np.float64)
        out.append(
            KernelSums(
                rows=_counted(left, right, same=same),
                columns=_counted(right, left, same=same),
                forms=sizes - excluded_weight(left, right, wl, wr, same=same),
            )
        )
    return out[0], out[1], out[2]


def _counted(left: SideUnits, right: SideUnits, *, same: bool) -> Column:
    """For each row of `left`, how many rows of `right` it makes a counted pair with."""
    excluded = np.zeros(len(left.unit))
    for name, sign in (("content", 1.0), ("group", 1.0), ("joint", -1.0)):
        mine, theirs = getattr(left, name), getattr(right, name)
        size = 1 + int(max(mine.max(initial=-1), theirs.max(initial=-1)))
        cell = np.bincount(theirs[theirs >= 0], minlength=size)
        known = mine >= 0
        excluded[known] += sign * cell[mine[known]]
    if same:
        excluded += (left.content < 0) & (left.group < 0)
    return len(right.unit) - excluded


def _exchanged(swaps: PairWeights, aa: KernelSums, ab: KernelSums, bb: KernelSums) -> Means:
    """Sums within the new reference, across, and within the new candidate, once the marked rows changed sides.

    With s and t the marks, the new reference is (1 - s) of A and t of B; every new sum is a combination of the old
    totals, of row sums weighted by marks, and of the three quadratic forms in the marks.
    """
    s_aa, s_ab = _weighted(swaps.reference, aa.rows), _weighted(swaps.reference, ab.rows)
    t_ab, t_bb = _weighted(swaps.candidate, ab.columns), _weighted(swaps.candidate, bb.rows)
    within_reference = aa.total - 2 * s_aa + aa.forms + 2 * (t_ab - ab.forms) + bb.forms
    within_candidate = aa.forms + 2 * (s_ab - ab.forms) + bb.total - 2 * t_bb + bb.forms
    across = (s_aa - aa.forms) + (ab.total - s_ab - t_ab + 2 * ab.forms) + (t_bb - bb.forms)
    return Means(aa=within_reference, ab=across, bb=within_candidate)


def _weighted(marks: NDArray[np.uint8], values: Column) -> Column:
    """Σ_i marks_ic · values_i in float64, by row blocks."""
    total = np.zeros(marks.shape[1])
    for start in range(0, len(marks), 4096):
        total += values[start : start + 4096] @ marks[start : start + 4096].astype(np.float64)
    return total


def jackknife(
    layout: Layout,
    aa: KernelSums,
    ab: KernelSums,
    bb: KernelSums,
    means: Means,
    inner: Mapping[int, tuple[float, float, float]],
) -> JackknifeErrors:
    """Delete each unit in turn, from row sums alone; strata are the units of A, of B, and of both.

    inner: kernel sums inside the few units that hold counted pairs.
    """
    left, right = layout.reference, layout.candidate
    size = 1 + int(max(left.unit.max(), right.unit.max()))
    drop = _Dropped.of(layout, size, aa, ab, bb)
    counts = _count_sums(layout, _nothing(left, right))
    drop_counts = _Dropped.of(layout, size, *counts)
    for unit, sums in inner.items():
        drop.add_inner(unit, sums)
        drop_counts.add_inner(unit, _inner_counts(left, right, unit))
    without = Means(
        aa=_mean(aa.total - drop.aa, counts[0].total - drop_counts.aa),
        ab=_mean(ab.total - drop.ab, counts[1].total - drop_counts.ab),
        bb=_mean(bb.total - drop.bb, counts[2].total - drop_counts.bb),
    )
    values = (without.similarities(), without.cauchy_schwarzes(), without.aa + without.bb)
    strata = (layout.only_reference, layout.only_candidate, layout.spanning)
    variances = [sum(_stratum_variance(value[stratum]) for stratum in strata) for value in values]
    return JackknifeErrors(
        similarity=variances[0],
        cauchy_schwarz=variances[1],
        relative_denominator=float(np.sqrt(variances[2]) / (means.k_aa + means.k_bb)),
    )


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Dropped:
    """What leaves each of the three sums when a unit is deleted: float64 [units]."""

    aa: Column
    ab: Column
    bb: Column

    @staticmethod
    def of(layout: Layout, size: int, aa: KernelSums, ab: KernelSums, bb: KernelSums) -> _Dropped:
        a, b = layout.reference.unit, layout.candidate.unit

        def by_unit(unit: NDArray[np.int64], values: Column) -> Column:
            return np.bincount(unit, values, minlength=size).astype(np.float64)

        return _Dropped(
            aa=2 * by_unit(a, aa.rows),
            ab=by_unit(a, ab.rows) + by_unit(b, ab.columns),
            bb=2 * by_unit(b, bb.rows),
        )

    def add_inner(self, unit: int, sums: tuple[float, float, float]) -> None:
        """Counted pairs inside the unit were taken off twice."""
        self.aa[unit] -= sums[0]
        self.ab[unit] -= sums[1]
        self.bb[unit] -= sums[2]


def _nothing(left: SideUnits, right: SideUnits) -> PairWeights:
    return PairWeights(
        reference=np.zeros((len(left.unit), 0), np.uint8), candidate=np.zeros((len(right.unit), 0), np.uint8)
    )


def _inner_counts(left: SideUnits, right: SideUnits, unit: int) -> tuple[float, float, float]:
    a, b = left.take(np.flatnonzero(left.unit == unit)), right.take(np.flatnonzero(right.unit == unit))
    return (
        float(_counted(a, a, same=True).sum()),
        float(_counted(a, b, same=False).sum()),
        float(_counted(b, b, same=True).sum()),
    )


def _stratum_variance(values: Column) -> float:
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return 0.0
    return float((len(values) - 1) / len(values) * np.square(values - values.mean()).sum())


def permutation_p_value(observed: float, permuted: Column, tie: float) -> tuple[float, int, bool]:
    """(p, permutations used, decided): sequential after Besag & Clifford 1991, so that p is never 0.

    Counting stops at the ENOUGH_EXCEEDANCES-th permutation that is at least as extreme (S at most the observed):
    p = h / L there. Otherwise p = (1 + exceedances) / (1 + R), and more permutations may follow. tie: what rounding
    may make of equal values.
    """
    permuted = permuted[np.isfinite(permuted)]
    extreme = np.flatnonzero(permuted <= observed + tie)
    if len(extreme) >= ENOUGH_EXCEEDANCES:
        used = int(extreme[ENOUGH_EXCEEDANCES - 1]) + 1
        return ENOUGH_EXCEEDANCES / used, used, True
    return (1 + len(extreme)) / (1 + len(permuted)), len(permuted), False


def ceiling_of_splits(forms: Column, counted: Column) -> tuple[float | None, tuple[float, float] | None]:
    """Mean of S over the splits, and mean ± 1.96 standard deviations between splits.

    forms, counted: three columns a split: first half, second half, both together; of the latter, what is in neither
    half is the sum across (twice).
    """
    first, second, both = forms[0::3], forms[1::3], forms[2::3]
    n_first, n_second, n_both = counted[0::3], counted[1::3], counted[2::3]
    with np.errstate(invalid="ignore", divide="ignore"):
        across = (both - first - second) / (n_both - n_first - n_second)
        values = 2 * across / (first / n_first + second / n_second)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None, None
    mean, spread = float(values.mean()), float(Z_95 * values.std(ddof=1))
    return mean, (mean - spread, mean + spread)
