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
from semsim_pipeline.metrics.resampling import set_code
from semsim_pipeline.metrics.units import own_units
from semsim_pipeline.seeding import generator

MOST_ROWS = 1024
"""Rows a side that the variances are measured on. They are known to 1/√(2·1024) = 2 % then, whatever n is."""

FEWEST_ROWS = 4

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Sampled:
    """Some of a side's rows, units whole. rows: float64 [s, d]. unit: int64 [s], 0 …. n: the side's images."""

    rows: Floats
    unit: NDArray[np.int64]
    n: int


def kid_interval(pair: Pair, value: float) -> tuple[float, float] | None:
    """All distances θ that the value is within 1.96 standard errors of, the error being the one that θ itself has.

    Var(θ) = v + c·max(θ, 0). v = 2σ²_aa/n² + 2σ²_bb/m² + 4σ²_ab/(nm) is what equal distributions show (σ²: variance of
    the kernel once both its margins are taken out). Beyond it the variance grows with the distance, so that a low
    value also looks more certain than it is: value ± 1.96 of its own error misses the truth above in 8 to 10 % of
    samples. c: the jackknife variance of the V-statistic over the V-statistic, which is never negative or zero.
    None with fewer than four independent images a side, or where cubes overflow.
    Images of one unit (copies, a group) move together; a unit on both sides counts as two, which makes the interval
    wide rather than narrow.
    Memory: four matrices of 1,024² float64. Source: Hoeffding 1948; Sutherland et al. 2017 for the variance of MMD²;
    Wilson 1927 for the inversion. Checked against: plain loops, and fresh samples (`benchmarks/simulation_study.py`).
    """
    a, b = (_sampled(side, pair.seed) for side in (pair.reference, pair.candidate))
    if min(len(np.unique(a.unit)), len(np.unique(b.unit))) < FEWEST_ROWS:
        return None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        at_zero, slope = _error_model(a, b)
    if not (math.isfinite(at_zero) and math.isfinite(slope)):
        return None
    return inverted(value, at_zero, slope)


def _sampled(side: EmbeddedSet, seed: int) -> _Sampled:
    unit = own_units(side).unit
    rows = np.arange(len(side))
    if len(side) > MOST_ROWS:
        units, index, counts = np.unique(unit, return_inverse=True, return_counts=True)
        order = generator(seed, "kid interval", set_code(side)).permutation(len(units))
        taken = np.zeros(len(units), bool)
        taken[order[np.cumsum(counts[order]) <= MOST_ROWS]] = True
        rows = np.flatnonzero(taken[index.reshape(-1)])
    chosen: Embeddings = side.rows[rows]
    _, dense = np.unique(unit[rows], return_inverse=True)
    return _Sampled(rows=chosen.astype(np.float64), unit=dense.reshape(-1).astype(np.int64), n=len(side))


def _error_model(a: _Sampled, b: _Sampled) -> tuple[float, float]:
    """(variance at distance 0, its growth per distance) for the sides' full sizes."""
    kernel = cubic_kernel(a.rows.shape[1])
    within_a, within_b = (np.asarray(kernel(side.rows @ side.rows.T), np.float64) for side in (a, b))
    across = np.asarray(kernel(a.rows @ b.rows.T), np.float64)
    selves = [float(np.diagonal(within).mean()) for within in (within_a, within_b)]
    for within in (within_a, within_b):
        np.fill_diagonal(within, 0.0)
    own_a, own_b = (within.sum(axis=1) / (len(within) - 1) for within in (within_a, within_b))
    from_a, from_b = across.mean(axis=1), across.mean(axis=0)
    s, t = across.shape
    aa, bb = _left_over(within_a, own_a), _left_over(within_b, own_b)
    centred = across - from_a[:, None] - from_b[None, :] + across.mean()
    ab = float(np.square(centred).sum()) / ((s - 1) * (t - 1))
    at_zero = 2 * aa / (a.n * (a.n - 1)) + 2 * bb / (b.n * (b.n - 1)) + 4 * ab / (a.n * b.n)
    moved = _moved(a, own_a - from_a, aa / (s - 1) + ab / t) + _moved(b, own_b - from_b, bb / (t - 1) + ab / s)
    moved += 4 / a.n * (aa / (a.n - 1) + ab / b.n) + 4 / b.n * (bb / (b.n - 1) + ab / a.n)
    biased = float(own_a.mean() + own_b.mean() - 2 * across.mean())
    biased += (selves[0] - float(own_a.mean())) / a.n + (selves[1] - float(own_b.mean())) / b.n
    # Rounding alone makes a V-statistic of equal or constant rows zero or less; then nothing moves it either.
    return at_zero, moved / biased if biased > 0 else 0.0


def _left_over(within: Floats, own: Floats) -> float:
    """Mean square of k(x, x') over different rows, less what each row has with all others."""
    s = len(within)
    centred = within - own[:, None] - own[None, :] + own.mean()
    np.fill_diagonal(centred, 0.0)
    return float(np.square(centred).sum()) / (s * (s - 3))


def _moved(side: _Sampled, effect: Floats, noise: float) -> float:
    """4ζ/n: how far the side's images, unit by unit, move the distance, freed of the noise of their means."""
    by_unit = np.bincount(side.unit, weights=effect - effect.mean())
    units = len(by_unit)
    spread = float(by_unit @ by_unit) / len(effect) * units / (units - 1)
    return 4 * max(0.0, spread - noise) / side.n
