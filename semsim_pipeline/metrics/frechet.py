"""Fréchet distance of two Gaussians (the distance that FID prints), with its mean and covariance parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS
from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.gaussians import FrechetParts, gaussian_of, parts_between
from semsim_pipeline.metrics.noise_floor import noise_floor
from semsim_pipeline.metrics.unit_pairs import UNKNOWN
from semsim_pipeline.metrics.units import own_units
from semsim_pipeline.records import MetricValue


def frechet_parts(reference: EmbeddedSet, candidate: EmbeddedSet) -> FrechetParts:
    """Both parts of the Fréchet distance on the rows as given, covariances with ddof = 1.

    Raises: TooFewSamplesError below two rows a side; UndefinedMetricError on overflow.
    Memory: see `trace_root`. Source: Dowson & Landau 1982; Heusel 2017.
    Checked against: clean-fid, torch-fidelity, dgm-eval (1e-9), mpmath for rank-deficient sides.
    """
    for word, side in (("reference", reference), ("candidate", candidate)):
        if len(side) < 2:
            raise TooFewSamplesError(f"needs at least 2 images a side; {word} has {len(side)}")
    return parts_between(gaussian_of(reference), gaussian_of(candidate))


def frechet_distance(reference: EmbeddedSet, candidate: EmbeddedSet) -> float:
    """‖μ₁-μ₂‖² + tr S₁ + tr S₂ - 2·tr √(S₁S₂); see `frechet_parts`. Strongly biased upwards at small n."""
    return frechet_parts(reference, candidate).total


def pair_parts(pair: Pair) -> FrechetParts:
    """`frechet_parts` of a pair, computed once for the families that need it."""
    key = ("frechet", "parts")
    found = pair.memo.get(key)
    if not isinstance(found, FrechetParts):
        found = frechet_parts(pair.reference, pair.candidate)
        pair.memo[key] = found
    return found


UNIT_SUMS = ("frechet", "squared unit sums")


def mean_noise(side: EmbeddedSet, trace: float) -> float | None:
    """E‖μ̂ - μ‖², by how much a side's mean misses the true one: tr S/n where all n images are independent.

    Else Σ‖s_u‖²/(n² - Σ n_u²) over units (groups, copies), s_u being the sum of a unit's n_u rows around the set's
    mean: right in expectation for units of one size, to Σ n_u²/n² of itself for others, and tr S/n where all n_u are 1.
    None where a side is one unit.
    trace: tr S with ddof = 1. Memory: one block of rows.
    """
    n = len(side)
    _, unit, sizes = np.unique(own_units(side).unit, return_inverse=True, return_counts=True)
    if len(sizes) == n:
        return trace / n
    free = n * n - int((sizes * sizes).sum())
    if not free:
        return None
    known = side.memo.get(UNIT_SUMS)  # each pair asks again, and one that was met before touches no row
    if not isinstance(known, float):
        known = side.memo[UNIT_SUMS] = _squared_unit_sums(side, unit.reshape(-1))
    return known / free


def _squared_unit_sums(side: EmbeddedSet, unit: NDArray[np.intp]) -> float:
    """Σ‖s_u‖², s_u being the sum of a unit's rows around the set's mean. Memory: one block of rows."""
    n, mean = len(side), gaussian_of(side).mean
    order = np.argsort(unit, kind="stable")
    total, carried, last = 0.0, np.zeros(side.dim), int(unit[order[0]])
    for start in range(0, n, TILE_ROWS):
        places = order[start : start + TILE_ROWS]
        codes = unit[places]
        starts = np.flatnonzero(np.r_[True, np.diff(codes) != 0])
        sums = np.add.reduceat(side.rows[places].astype(np.float64) - mean, starts, axis=0)
        if codes[0] == last:
            sums[0] += carried
        else:
            total += float(carried @ carried)
        total += float(np.einsum("ij,ij->", sums[:-1], sums[:-1]))
        carried, last = sums[-1], int(codes[-1])
    return total + float(carried @ carried)


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """The distance and its two parts; see `frechet_parts` for what it raises, `noise_floor` for the nulls."""
    parts, permuted = pair_parts(pair), noise_floor(pair)
    traces = {"trace_reference": parts.trace_reference, "trace_candidate": parts.trace_candidate}
    floors = (
        mean_noise(pair.reference, parts.trace_reference),
        mean_noise(pair.candidate, parts.trace_candidate),
    )
    floor = None if floors[0] is None or floors[1] is None else floors[0] + floors[1]
    return {
        "frechet_distance": MetricValue(value=parts.total, null=permuted.distance, detail=traces),
        "frechet_mean_term": MetricValue(value=parts.mean_term, null=floor, reason=UNKNOWN if floor is None else None),
        "frechet_covariance_term": MetricValue(
            value=parts.covariance_term,
            null=permuted.covariance_term,
            detail={**traces, "trace_root": parts.trace_root},
        ),
    }


def _facts(name: str, meaning: str) -> MetricFacts:
    return MetricFacts(
        name=name,
        group="distribution",
        cost="one pass",
        symmetric=True,
        higher_is_closer=False,
        range=(0.0, np.inf),
        at_identity=0.0,
        rotation_invariant=True,
        min_samples=2,
        meaning=meaning,
        source="Dowson & Landau 1982; Heusel 2017 (as FID)",
    )


METRICS.add(
    "frechet",
    MetricFamily(
        name="frechet",
        facts=(
            _facts("frechet_distance", "FID's distance on this encoder's rows: 0 for equal means and covariances."),
            _facts("frechet_mean_term", "The part of the Fréchet distance that comes from the two means."),
            _facts("frechet_covariance_term", "The part of the Fréchet distance that comes from spread and shape."),
        ),
        compute=compute,
    ),
)
