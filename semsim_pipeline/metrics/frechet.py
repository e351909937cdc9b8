"""Fréchet distance of two Gaussians (the distance that FID prints), with its mean and covariance parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.gaussians import FrechetParts, gaussian_of, parts_between
from semsim_pipeline.metrics.noise_floor import noise_floor
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


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """The distance and its two parts; see `frechet_parts` for what it raises, `noise_floor` for the nulls."""
    parts, permuted = pair_parts(pair), noise_floor(pair)
    traces = {"trace_reference": parts.trace_reference, "trace_candidate": parts.trace_candidate}
    # E‖μ₁-μ₂‖² = tr S (1/n + 1/m) for two samples of one distribution: the part of the bias that has a closed form.
    floor = parts.trace_reference / len(pair.reference) + parts.trace_candidate / len(pair.candidate)
    return {
        "frechet_distance": MetricValue(value=parts.total, null=permuted.distance, detail=traces),
        "frechet_mean_term": MetricValue(value=parts.mean_term, null=floor),
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
