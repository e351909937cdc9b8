"""Shape: do both sets spread along the same directions, and along as many of them?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.frechet import frechet_parts, pair_parts
from semsim_pipeline.metrics.gaussians import gaussian_of
from semsim_pipeline.metrics.noise_floor import noise_floor
from semsim_pipeline.records import MetricValue


def covariance_overlap(reference: EmbeddedSet, candidate: EmbeddedSet) -> float:
    """tr √(S₁S₂) / √(tr S₁ · tr S₂) of the rows' covariances (ddof = 1), in [0, 1]; means and scale do not count.

    1 where the covariances are proportional, 0 where the sets spread in orthogonal directions. Falls with n below
    a few times d: read it beside its null.
    Raises: TooFewSamplesError below two rows a side; UndefinedMetricError where a side has no spread, or on overflow.
    Memory: see `trace_root`; shares the Fréchet distance's decomposition.
    Source: the fidelity of Uhlmann 1976 on trace-normalised covariances.
    Checked against: numpy eigh and mpmath traces, scipy sqrtm (1e-9).
    """
    return frechet_parts(reference, candidate).overlap


def effective_rank_ratio(reference: EmbeddedSet, candidate: EmbeddedSet) -> float:
    """Effective rank of the candidate ÷ that of the reference: exp of the entropy of a covariance's eigenvalue shares.

    Range (0, ∞): below 1 where the candidate varies in fewer directions. An effective rank grows with n (it is at
    most n - 1), so unequal sizes alone move the ratio: its null is not 1 there.
    Raises: TooFewSamplesError below two rows a side; UndefinedMetricError where a side has no spread.
    Memory: d²·8 bytes, or n²·8 where n < d. Source: Roy & Vetterli 2007. Checked against: numpy eigvalsh (1e-9).
    """
    return gaussian_of(candidate).effective_rank / gaussian_of(reference).effective_rank


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """Both, with the nulls of permuted labels; detail: each side's effective rank."""
    overlap, permuted = pair_parts(pair).overlap, noise_floor(pair)
    ranks = [gaussian_of(side).effective_rank for side in (pair.reference, pair.candidate)]
    return {
        "covariance_overlap": MetricValue(value=overlap, null=permuted.overlap),
        "effective_rank_ratio": MetricValue(
            value=ranks[1] / ranks[0],
            null=permuted.rank_ratio,
            detail={"effective_rank_reference": ranks[0], "effective_rank_candidate": ranks[1]},
        ),
    }


METRICS.add(
    "shape",
    MetricFamily(
        name="shape",
        facts=(
            MetricFacts(
                name="covariance_overlap",
                group="shape",
                cost="one pass",
                symmetric=True,
                higher_is_closer=True,
                range=(0.0, 1.0),
                at_identity=1.0,
                rotation_invariant=True,
                min_samples=2,
                meaning="Do both sets vary in the same ways? 1 the same, 0 in ways that have nothing in common.",
                source="Uhlmann 1976 (fidelity), on covariances of trace 1",
            ),
            MetricFacts(
                name="effective_rank_ratio",
                group="shape",
                cost="one pass",
                symmetric=False,
                higher_is_closer=None,
                range=(0.0, np.inf),
                at_identity=1.0,
                rotation_invariant=True,
                min_samples=2,
                meaning="In how many ways the candidate varies, over how many the reference does; 1 for as many.",
                source="Roy & Vetterli 2007",
            ),
        ),
        compute=compute,
    ),
)
