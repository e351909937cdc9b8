"""A 95 % interval for KID on all rows: the variance of the unbiased MMD² by its first- and second-order parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import Embeddings
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.gap_interval import inverted
from semsim_pipeline.metrics.kid import cubic_kernel
from semsim_pipeline.metrics.kid_twins import distance_between_units
from semsim_pipeline.metrics.resampling import set_code
from semsim_pipeline.metrics.units import Layout, SideUnits, layout_of, too_few_units
from semsim_pipeline.seeding import generator

MOST_ROWS = 1024
"""Rows a side that the variances are measured on. They are known to 1/√(2·1024) = 2 % then, whatever n is."""

FEWEST_UNITS = 4

LEAST_BIASED = 0.25
"""Of what equal distributions show, the least V-statistic that a variance is divided by."""

BETWEEN_UNITS = (
    "the interval is of the distance without pairs of copies or of one group, which the value counts and which move it"
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Sampled:
    """Some of a side's rows, units whole. rows: float64 [s, d]. unit: int64 [s], as in the layout. n: the side's
    images."""

    rows: Floats
    unit: NDArray[np.int64]
    n: int

    @property
    def units(self) -> int:
        return len(np.unique(self.unit))

    @property
    def alone(self) -> bool:
        """Every row is a unit of its own."""
        return self.units == len(self.unit)

    def by_unit(self, matrix: Floats) -> Floats:
        """Sums of the matrix's rows by unit: [s, t] to [units, t]."""
        if self.alone:
            return matrix
        order = np.argsort(self.unit, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(self.unit[order]) != 0])
        return np.asarray(np.add.reduceat(matrix[order], starts, axis=0))


def kid_interval(pair: Pair, value: float) -> tuple[float, float] | None:
    """All distances θ that the estimate is within 1.96 standard errors of, the error being the one that θ itself has.

    Var(θ) = v + c·max(θ, 0). v = 2σ²_aa/n² + 2σ²_bb/m² + 4σ²_ab/(nm) is what equal distributions show (σ²: variance of
    the kernel once both its margins are taken out). Beyond it the variance grows with the distance, so that a low
    value also looks more certain than it is: value ± 1.96 of its own error misses the truth above in 8 to 10 % of
    samples. c: the jackknife variance of the V-statistic over the V-statistic, for which a quarter of what equal
    distributions show is put where it is less: a pair of rows that hardly differs would make c any number.

    Units (copies, a group) are what is independent: kernels are summed by unit before they are squared, and where a
    unit has several rows, on one side or on both, the estimate is not the value but the distance between different
    units (`distance_between_units`); the interval then also reaches to the value, which counts the other pairs too.
    A unit on both sides counts as two, as if another draw had not shared it. In truth what it adds to both sides
    cancels, so the interval is too wide there rather than too narrow: a set and itself get as wide a one as two sets.
    Copies that content does not show (the same pictures, compressed again) are taken for independent: an interval
    that lies below 0 altogether is their sign, or one sample in 40.
    None with fewer than four independent images a side, or where cubes overflow.
    Memory: four matrices of 1,024² float64. Source: Hoeffding 1948; Sutherland et al. 2017 for the variance of MMD²;
    Wilson 1927 for the inversion. Checked against: plain loops, and fresh samples (`benchmarks/simulation_study.py`).
    """
    layout = layout_of(pair.reference, pair.candidate)
    a, b = (
        _sampled(side, twins, pair.seed)
        for side, twins in ((pair.reference, layout.reference), (pair.candidate, layout.candidate))
    )
    if min(a.units, b.units) < FEWEST_UNITS:
        return None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        distance = distance_between_units(pair, layout) if _has_twins(layout) else value
        at_zero, slope = _error_model(a, b, distance)
    if not (math.isfinite(at_zero) and math.isfinite(slope) and math.isfinite(distance)):
        return None
    low, high = inverted(distance, at_zero, slope)
    return min(low, value), max(high, value)


def interval_reason(pair: Pair, interval: tuple[float, float] | None) -> str | None:
    """In words, why there is no interval, or of what it is where that is not quite the value; None otherwise."""
    layout = layout_of(pair.reference, pair.candidate)
    if interval is not None:
        return BETWEEN_UNITS if _has_twins(layout) else None
    few = too_few_units((layout.reference.units, layout.candidate.units), FEWEST_UNITS)
    return few or "there is no interval: a group is larger than the sample, or squares of kernels overflow float64"


def _has_twins(layout: Layout) -> bool:
    """Some unit has several rows."""
    rows = len(layout.reference.unit) + len(layout.candidate.unit)
    return layout.reference.units + layout.candidate.units - len(layout.spanning) < rows


def _sampled(side: EmbeddedSet, twins: SideUnits, seed: int) -> _Sampled:
    unit = twins.unit
    rows = np.arange(len(side))
    if len(side) > MOST_ROWS:
        units, index, counts = np.unique(unit, return_inverse=True, return_counts=True)
        order = generator(seed, "kid interval", set_code(side)).permutation(len(units))
        taken = np.zeros(len(units), bool)
        taken[order[np.cumsum(counts[order]) <= MOST_ROWS]] = True
        rows = np.flatnonzero(taken[index.reshape(-1)])
    chosen: Embeddings = side.rows[rows]
    return _Sampled(rows=chosen.astype(np.float64), unit=unit[rows], n=len(side))


def _error_model(a: _Sampled, b: _Sampled, distance: float) -> tuple[float, float]:
    """(variance at distance 0, its growth per distance) for the sides' full sizes."""
    kernel = cubic_kernel(a.rows.shape[1])
    within_a, own_a, excess_a = _within(a)
    within_b, own_b, excess_b = _within(b)
    across = np.asarray(kernel(a.rows @ b.rows.T), np.float64)
    counted = a.unit[:, None] != b.unit[None, :]
    across[~counted] = 0.0
    from_a, from_b = across.sum(axis=1) / counted.sum(axis=1), across.sum(axis=0) / counted.sum(axis=0)
    aa, bb = _left_over(a, within_a, own_a), _left_over(b, within_b, own_b)
    centred = across - from_a[:, None] - from_b[None, :] + across.sum() / counted.sum()
    centred[~counted] = 0.0
    s, t = across.shape
    sums = b.by_unit(a.by_unit(centred).T)
    ab = float(np.square(sums).sum()) / (_freed(s, a.units, 1) * _freed(t, b.units, 1))
    at_zero = 2 * aa / (a.n * (a.n - 1)) + 2 * bb / (b.n * (b.n - 1)) + 4 * ab / (a.n * b.n)
    moved = _moved(a, own_a - from_a, aa / (s - 1) + ab / t) + _moved(b, own_b - from_b, bb / (t - 1) + ab / s)
    moved += 4 / a.n * (aa / (a.n - 1) + ab / b.n) + 4 / b.n * (bb / (b.n - 1) + ab / a.n)
    # What the V-statistic of equal distributions is expected to be, and what these sides' is.
    expected = excess_a / a.n + excess_b / b.n
    biased = max(distance + expected, LEAST_BIASED * expected)
    # Rounding alone makes those of constant rows zero or less; then nothing moves them either.
    return at_zero, moved / biased if biased > 0 else 0.0


def _within(side: _Sampled) -> tuple[Floats, Floats, float]:
    """(kernels between different units [s, s], 0 elsewhere; each row's mean of them [s]; by how much a row's kernels
    with its own unit, itself among them, exceed that mean in sum)."""
    within = np.asarray(cubic_kernel(side.rows.shape[1])(side.rows @ side.rows.T), np.float64)
    same = side.unit[:, None] == side.unit[None, :]
    own_unit = float(within[same].sum())
    within[same] = 0.0
    partners = len(within) - same.sum(axis=1)
    mean = float(within.sum() / partners.sum())
    return within, within.sum(axis=1) / partners, (own_unit - mean * float(same.sum())) / len(within)


def _freed(rows: int, units: int, lost: int) -> float:
    """Rows, less those of so many units: what sums of squares are divided by."""
    return rows / units * (units - lost)


def _left_over(side: _Sampled, within: Floats, own: Floats) -> float:
    """Mean square of k(x, x') over rows of different units, less what each row has with all others; rows of one unit
    are added up before squaring."""
    centred = within - own[:, None] - own[None, :] + own.mean()
    centred[side.unit[:, None] == side.unit[None, :]] = 0.0
    sums = side.by_unit(side.by_unit(centred).T)
    return float(np.square(sums).sum()) / (len(within) * _freed(len(within), side.units, 3))


def _moved(side: _Sampled, effect: Floats, noise: float) -> float:
    """4ζ/n: how far the side's images, unit by unit, move the distance, freed of the noise of their means."""
    by_unit = side.by_unit((effect - effect.mean())[:, None])[:, 0]
    units = len(by_unit)
    spread = float(by_unit @ by_unit) / len(effect) * units / (units - 1)
    return 4 * max(0.0, spread - noise) / side.n
