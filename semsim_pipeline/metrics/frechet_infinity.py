"""The Fréchet distance without the part that comes from having few images: extrapolated to infinitely many."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.frechet import pair_parts
from semsim_pipeline.metrics.gaussians import Gaussian, gaussian_where, moments_where, parts_between
from semsim_pipeline.metrics.moments import Moments
from semsim_pipeline.metrics.resampling import set_code
from semsim_pipeline.metrics.units import own_units
from semsim_pipeline.records import MetricValue
from semsim_pipeline.seeding import generator

QUARTERS = 4
HALVES = tuple(itertools.combinations(range(QUARTERS), 2))
"""The six halves that four quarters make; each image is in three of them."""

MIN_UNITS = 40
"""Independent images a side, so that a half has 20; below, the extrapolation's own noise is what would be printed."""


MOST_KEPT = 32 << 20
"""Bytes of one side's halves that are kept for its other pairs: all of them up to d = 590, quarters up to 1,024."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """value: the distance at 1/n = 0. at_half: mean distance of the halves. spread: their standard deviation (they
    share images: not a standard error). smallest: images in the smallest half."""

    value: float
    at_half: float
    spread: float
    smallest: int


def quarters(side: EmbeddedSet, seed: int) -> NDArray[np.int64]:
    """Which of four parts each row falls into, int64 [n]; units (copies, groups) stay whole, parts differ by at most
    one unit. Drawn by content and seed: the rows' order changes nothing. Raises TooFewSamplesError below 40 units."""
    units, index = np.unique(own_units(side).unit, return_inverse=True)
    if len(units) < MIN_UNITS:
        raise TooFewSamplesError(
            f"needs at least {MIN_UNITS} independent images a side; '{side.name}' has {len(units)} (copies and images "
            "of one group count once)"
        )
    part = generator(seed, "frechet infinity", set_code(side)).permutation(len(units)) % QUARTERS
    return np.asarray(part[index.reshape(-1)], np.int64)


def _halves(side: EmbeddedSet, seed: int) -> list[Gaussian]:
    """The Gaussians of a set's six halves; kept with the set for its other pairs while they are few enough bytes, else
    the moments of its quarters, which they are made of."""
    key = ("frechet_infinity", "halves", str(seed))
    kept = side.memo.get(key)
    if isinstance(kept, list):
        return kept
    part = quarters(side, seed)
    sizes = np.bincount(part, minlength=QUARTERS)
    if min(sizes[list(half)].sum() for half in HALVES) < side.dim:
        found = [gaussian_where((side, np.isin(part, half))) for half in HALVES]
    else:
        moments = _quarter_moments(side, part, seed)
        found = [Gaussian.from_moments(functools.reduce(Moments.merge, (moments[q] for q in half))) for half in HALVES]
    # Each also keeps its factor, as large again, once it was asked for.
    if 2 * sum(half.nbytes for half in found) <= MOST_KEPT:
        side.memo[key] = found
        side.memo.pop(_quarters_key(seed), None)
    return found


def _quarters_key(seed: int) -> tuple[str, ...]:
    return ("frechet_infinity", "quarters", str(seed))


def _quarter_moments(side: EmbeddedSet, part: NDArray[np.int64], seed: int) -> list[Moments]:
    kept = side.memo.get(_quarters_key(seed))
    if isinstance(kept, list):
        return kept
    found = [moments_where(side, part == quarter) for quarter in range(QUARTERS)]
    if sum(quarter.scatter.nbytes for quarter in found) <= MOST_KEPT:
        side.memo[_quarters_key(seed)] = found
    return found


def frechet_infinity(pair: Pair) -> Extrapolation:
    """The Fréchet distance extrapolated over 1/n: the line through all rows and the mean of six half-size subsets.

    FD(n) is about FD(∞) + c/n, so FD(∞) = 2·FD(all) - mean FD(halves). Both sides are halved together (Chong & Forsyth
    halve the generated side only, against 50,000 fixed images: here the reference is finite too), sizes may differ.
    Range (-∞, ∞): unbiased to that order, so often negative near equality; not clipped.
    Six halves: 6 to 17 % less noise than two; smaller parts leave the line (at n/4 = 0.6·d by 18 % of FD(all)).
    The line holds where a half has more rows than the spectrum has directions that matter, always for n >= 2·d. Below,
    with a flat spectrum, part of the bias stays (half of it at n = 0.4·d, eigenvalues falling as 1/i): too large then,
    never beyond the plain distance. With a spectrum such as encoders have (1/i²) it is gone at n = 0.4·d as well.
    Raises: TooFewSamplesError below 40 independent images a side; UndefinedMetricError as `frechet_parts` does.
    Cost: six distances at half size; one pass a set, not a pair, up to d = 1,024. Memory: 12·d²·8 bytes a side, or
    3·n·d·8 where n < 2·d.
    Source: Chong & Forsyth 2020. Checked against: torch-fidelity and numpy.polyfit
    on the same halves (1e-9), known distances of Gaussians.
    """
    a, b = pair.reference, pair.candidate
    full = pair_parts(pair).total
    halves = list(zip(_halves(a, pair.seed), _halves(b, pair.seed), strict=True))
    at_half = [parts_between(left, right).total for left, right in halves]
    mean = float(np.mean(at_half))
    smallest = min(half.n for both in halves for half in both)
    return Extrapolation(value=2 * full - mean, at_half=mean, spread=float(np.std(at_half)), smallest=smallest)


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """The extrapolated distance; null 0, the distance of equal distributions at infinite n."""
    found = frechet_infinity(pair)
    return {
        "frechet_infinity": MetricValue(
            value=found.value,
            null=0.0,
            detail={
                "at_half": found.at_half,
                "subset_std": found.spread,
                "subsets": float(len(HALVES)),
                "smallest_subset": float(found.smallest),
            },
        )
    }


METRICS.add(
    "frechet_infinity",
    MetricFamily(
        name="frechet_infinity",
        facts=(
            MetricFacts(
                name="frechet_infinity",
                group="distribution",
                cost="subsample",
                symmetric=True,
                higher_is_closer=False,
                range=(-np.inf, np.inf),
                # Both copies are halved alike.
                at_identity=0.0,
                # Subsets are drawn by content: a rotation makes other bits, and other subsets.
                rotation_invariant=False,
                min_samples=MIN_UNITS,
                meaning="The Fréchet distance with what few images add to it taken off; about 0, also below, if equal.",
                source="Chong & Forsyth 2020",
            ),
        ),
        compute=compute,
    ),
)
