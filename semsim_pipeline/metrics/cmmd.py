"""CMMD: the squared MMD under a very wide Gaussian kernel on unit rows, × 1000, with all its digits."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import row_blocks
from semsim_pipeline.metrics.base import (
    DEFAULT_WORKING_MEMORY,
    METRICS,
    EmbeddedSet,
    MetricFacts,
    MetricFamily,
    Pair,
)
from semsim_pipeline.metrics.blocks import Kernel, Tile, inner_product_tiles, tile_rows
from semsim_pipeline.metrics.unit_pairs import UNKNOWN, mean_apart
from semsim_pipeline.metrics.units import own_units
from semsim_pipeline.records import MetricValue

SIGMA = 10.0
SCALE = 1000.0
WIDTH = SIGMA * SIGMA
"""‖x - y‖²/(2σ²) = (1 - x·y)/σ² on unit rows: how far a cosine must move to move the exponent by 1."""

EIGHTHS = 8
CROSS = ("cmmd", "cross")

LARGEST = 2 * SCALE * -math.expm1(-2 / WIDTH)
"""Of two points opposite each other."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _UnitMoments:
    """Of unit rows u in float64: mean [d] of u, and second [d, d], the mean of u uᵀ."""

    mean: NDArray[np.float64]
    second: NDArray[np.float64]


def _unit_moments(side: EmbeddedSet) -> _UnitMoments:
    key = ("cmmd", "moments")
    found = side.memo.get(key)
    if not isinstance(found, _UnitMoments):
        total, second = np.zeros(side.dim), np.zeros((side.dim, side.dim))
        for start, block in row_blocks(side.rows):
            unit = side.unit_at(slice(start, start + len(block)))
            total += unit.sum(axis=0)
            second += unit.T @ unit
        found = _UnitMoments(mean=total / len(side), second=second / len(side))
        side.memo[key] = found
    return found


def remainder_kernel(centre: float) -> Kernel:
    """exp(t) - 1 - t - t²/2 for t = (cosine - centre)/σ², on tiles of cosines, in place.

    By its series t³/6 + … + t⁶/720, |t| <= 0.02: what follows is below t⁷/5000, 3e-16.
    """

    def kernel(cosines: Tile) -> Tile:
        cosines -= centre
        cosines *= 1 / WIDTH
        series = cosines * (1 / 720)
        for coefficient in (1 / 120, 1 / 24, 1 / 6):
            series += coefficient
            series *= cosines
        series *= cosines
        series *= cosines
        return series

    return kernel


class RemainderTotal:
    """Adds up the remainders of a pass over tiles of cosines; `own`: of one set's upper triangle, without
    self-pairs."""

    def __init__(self, centre: float, *, own: bool) -> None:
        self.centre, self.own = centre, own
        self._kernel = remainder_kernel(centre)
        self._parts: list[float] = []

    def see(self, i: int, j: int, cosines: Tile) -> None:
        """Add one tile, which is left as it is."""
        values = self._kernel(cosines.copy())
        if self.own and i == j:
            np.fill_diagonal(values, 0)
        self._parts.append(float(values.sum(dtype=np.float64)) * (2 if self.own and i != j else 1))

    def total(self) -> float | None:
        """The sum over all ordered pairs; None where no pass has shown its tiles."""
        return math.fsum(self._parts) if self._parts else None


def centre_of(reference: EmbeddedSet, candidate: EmbeddedSet) -> float:
    """What a pair's cosines are expanded around: their mean, to the nearest eighth, so that a set's own remainders
    serve most of its pairs."""
    return round(float(_unit_moments(reference).mean @ _unit_moments(candidate).mean) * EIGHTHS) / EIGHTHS


def keep_within(side: EmbeddedSet, centre: float, total: float) -> float:
    """Keep the mean remainder over a set's n² pairs, of a sum over i ≠ j that any pass has found; returns it."""
    # A row with itself has cosine 1.
    own = float(remainder_kernel(centre)(np.ones((1, 1)))[0, 0])
    mean = (total / len(side) + own) / len(side)
    side.memo[_within_key(centre)] = mean
    return mean


def keep_cross(reference: EmbeddedSet, candidate: EmbeddedSet, centre: float, total: float) -> float:
    """Keep a pair's mean remainder likewise; weakly, so that it keeps no set alive."""
    mean = total / (len(reference) * len(candidate))
    reference.memo[CROSS] = (weakref.ref(candidate), centre, mean)
    return mean


def _within_key(centre: float) -> tuple[str, ...]:
    return ("cmmd", "within", str(centre))


def _within(side: EmbeddedSet, centre: float, tile: int) -> float:
    found = side.memo.get(_within_key(centre))
    if isinstance(found, float):
        return found
    total = RemainderTotal(centre, own=True)
    for i, j, cosines in inner_product_tiles(side.unit, side.unit, tile, upper=True):
        total.see(i, j, cosines)
    return keep_within(side, centre, total.total() or 0.0)


def _cross(reference: EmbeddedSet, candidate: EmbeddedSet, centre: float, tile: int) -> float:
    kept = reference.memo.get(CROSS)
    if isinstance(kept, tuple) and kept[0]() is candidate and kept[1] == centre:
        return float(kept[2])
    total = RemainderTotal(centre, own=False)
    for i, j, cosines in inner_product_tiles(reference.unit, candidate.unit, tile, upper=False):
        total.see(i, j, cosines)
    return keep_cross(reference, candidate, centre, total.total() or 0.0)


def cmmd(reference: EmbeddedSet, candidate: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY) -> float:
    """1000 · MMD² under exp(-‖x - y‖²/(2·10²)) on unit rows, the V-statistic with its diagonal, as CMMD prints it.

    In [0, 39.6027], dimensionless; 0 for equal sets. Biased upwards at small n (see `cmmd_null`).
    All kernel values lie in [0.9607, 1], so adding them in float32 leaves three digits. Here exp((c - 1)/σ²) of a
    cosine c is expanded around the mean cosine c₀ (to the nearest eighth), t = (c - c₀)/σ²: the
    constant cancels; the linear and quadratic terms are ‖μ_A - μ_B‖² and ‖M_A - M_B‖² of the float64 first and second
    moments, to 1e-15; the rest, t³/6 + …, is summed over all pairs in tiles.
    Error: float64 rows, rounding alone (tested to 1e-9). float32 rows: a tile's cosine is off by at most
    γ = (d + 8)·6e-8 (Higham 2002, 3.1), which moves a remainder by t²/2·γ/σ²; four means of it, with |c - c₀| <= δ,
    by 2e-6·δ²·γ in MMD². That is 2.5e-12 at d = 512 and δ = 0.2, where MMD² of two samples of 10,000 is 1e-6; single
    roundings average out, so that 1e-12 relative is seen at 300 to 800 rows. A quadratic left in the tiles would cost
    1e-6 instead.
    Raises: InvalidEmbeddingsError on a zero row. Memory: d²·8 bytes a set (kept), the unit rows, as `made_ahead` and
    a tile.
    Source: Jayasumana 2024, σ = 10. Checked against: cmmd-pytorch in float64 (1e-9), a plain loop (1e-9).
    """
    a, b = _unit_moments(reference), _unit_moments(candidate)
    centre = centre_of(reference, candidate)
    gap, spread = a.mean - b.mean, a.second - b.second
    linear = float(gap @ gap)
    quadratic = float(np.einsum("ij,ij->", spread, spread)) - 2 * centre * linear
    tile = tile_rows(working_memory)
    rest = _within(reference, centre, tile) + _within(candidate, centre, tile)
    rest -= 2 * _cross(reference, candidate, centre, tile)
    # A V-statistic is a squared length; only rounding brings it below 0.
    return SCALE * max(0.0, math.exp((centre - 1) / WIDTH) * (linear / WIDTH + quadratic / (2 * WIDTH**2) + rest))


def cmmd_null(reference: EmbeddedSet, candidate: EmbeddedSet) -> float | None:
    """Expected CMMD of two samples of one distribution: 1000·(1 - E k)(1/n + 1/m), from the diagonal alone.

    E k is taken within each side over different rows, to second order in the exponent (1e-6 relative).
    Where images come in groups or copies, pairs of one unit count like the diagonal: the mean of k over all n² pairs
    less the mean over pairs of different units takes the place of (1 - E k)/n. None where a side is one such unit;
    0 for a side of one row, whose spread is unknown. Cost: see `company_sum`.
    """
    total = 0.0
    for side in (reference, candidate):
        n, moments = len(side), _unit_moments(side)
        # 1 - c averaged over the n² pairs, and its square.
        first = 1 - float(moments.mean @ moments.mean)
        second = 2 * first - 1 + float(np.einsum("ij,ij->", moments.second, moments.second))
        apart = max(0.0, first / WIDTH - second / (2 * WIDTH**2))
        if own_units(side).units == n:
            total += apart / (n - 1) if n > 1 else 0.0
            continue
        between = mean_apart(side, apart * n / (n - 1), side.unit_at, _apart)
        if between is None:
            return None
        # A V-statistic's expectation is a squared length; only noise brings its estimate below 0.
        total += max(0.0, between - apart)
    return SCALE * total


def _apart(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - k of two blocks of unit rows."""
    return np.asarray(-np.expm1((left @ right.T - 1) / WIDTH))


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """CMMD with its expectation under one distribution; see `cmmd` for what it raises."""
    null = cmmd_null(pair.reference, pair.candidate)
    return {
        "cmmd": MetricValue(
            value=cmmd(pair.reference, pair.candidate, working_memory=pair.working_memory),
            null=null,
            reason=UNKNOWN if null is None else None,
        )
    }


METRICS.add(
    "cmmd",
    MetricFamily(
        name="cmmd",
        facts=(
            MetricFacts(
                name="cmmd",
                group="distribution",
                cost="blocks",
                symmetric=True,
                higher_is_closer=False,
                range=(0.0, LARGEST),
                at_identity=0.0,
                rotation_invariant=True,
                min_samples=2,
                meaning="Kernel distance of directions, as CMMD prints it (for CLIP rows); 0 for equal sets.",
                source="Jayasumana 2024",
            ),
        ),
        compute=compute,
    ),
)
