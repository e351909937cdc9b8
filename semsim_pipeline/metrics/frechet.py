"""Fréchet distance of two Gaussians (the distance that FID prints), with its mean and covariance parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.moments import moments_of
from semsim_pipeline.records import MetricValue

CONDITION_LIMIT = 1e-9
"""Below this ratio of smallest to largest eigenvalue, the root of a product's eigenvalues is worth fewer digits than
the singular values of the factors' product."""

NEGATIVE_TOLERANCE = 1e-9
"""Share of the total variance below zero that rounding explains; anything lower is an error, not a zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrechetParts:
    """mean_term = ‖μ₁-μ₂‖²; covariance_term = tr S₁ + tr S₂ - 2·tr √(S₁S₂); both >= 0, squared units of the rows."""

    mean_term: float
    covariance_term: float
    trace_reference: float
    trace_candidate: float
    trace_root: float

    @property
    def total(self) -> float:
        """The Fréchet distance (squared 2-Wasserstein distance of the Gaussians)."""
        return self.mean_term + self.covariance_term


def _centred_rows(side: EmbeddedSet) -> NDArray[np.float64]:
    """(x - mean)/√(n-1), float64 [n, d]: a factor of the covariance that keeps its rank exactly."""
    rows: NDArray[np.float64] = side.rows.astype(np.float64)
    rows -= moments_of(side).mean
    rows /= math.sqrt(len(side) - 1)
    return rows


def _covariance_factor(side: EmbeddedSet) -> NDArray[np.float64]:
    """F [r, d] with FᵀF = covariance and r <= min(n, d): centred rows where n < d, else scaled eigenvectors.

    Eigenvalues within rounding of zero (d·eps of the largest) are left out: their root would be noise of 1e-8.
    """
    if len(side) < side.dim:
        return _centred_rows(side)
    values, vectors = np.linalg.eigh(moments_of(side).covariance())
    kept = values > side.dim * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return np.ascontiguousarray((vectors[:, kept] * np.sqrt(values[kept])).T)


def trace_root_product(reference: EmbeddedSet, candidate: EmbeddedSet) -> float:
    """tr √(S₁S₂) = sum of the singular values of F₁F₂ᵀ, for covariances S = FᵀF (ddof = 1); >= 0, never complex.

    Args: sides with n, m >= 2. Full rank on both sides takes eigenvalues of the symmetric form F₁S₂F₁ᵀ (cheaper);
    otherwise the singular values themselves, exact for rank-deficient covariances (n < d), where `sqrtm` of the
    product returns NaN, complex numbers, or 1e-6 of noise.
    Raises: UndefinedMetricError where float64 overflows. Memory: 4·d²·8 bytes, or (n + m)·d·8 + n·m·8 where n < d.
    Source: Olkin & Pukelsheim 1982; Bhatia, Jain & Lim 2019. Checked against: scipy sqrtm (1e-9), mpmath 40 digits.
    """
    _require_two(reference, candidate)
    total = sum(float(np.trace(moments_of(side).scatter)) for side in (reference, candidate))
    if not math.isfinite(total) or total > 1e150:
        raise UndefinedMetricError("The rows' variance is outside what float64 can square; scale the embeddings down.")
    left = _covariance_factor(reference)
    if len(candidate) >= candidate.dim and len(left) == reference.dim:
        symmetric = left @ moments_of(candidate).covariance() @ left.T
        values = np.linalg.eigvalsh((symmetric + symmetric.T) / 2)
        if values[0] > CONDITION_LIMIT * values[-1]:
            return float(np.sqrt(values).sum())
    right = _covariance_factor(candidate)
    if min(len(left), len(right)) == 0:
        return 0.0
    return float(np.linalg.svd(left @ right.T, compute_uv=False).sum())


def frechet_parts(reference: EmbeddedSet, candidate: EmbeddedSet) -> FrechetParts:
    """Both parts of the Fréchet distance on the rows as given, covariances with ddof = 1.

    Raises: TooFewSamplesError below two rows a side; UndefinedMetricError on overflow. A covariance term below zero
    by rounding (1e-9 of the total variance) is returned as 0; further below, UndefinedMetricError: it cannot be.
    Memory: see `trace_root_product`. Source: Dowson & Landau 1982; Heusel 2017.
    Checked against: clean-fid, torch-fidelity, dgm-eval (1e-9), mpmath for rank-deficient sides.
    """
    root = trace_root_product(reference, candidate)
    a, b = moments_of(reference), moments_of(candidate)
    gap = a.mean - b.mean
    trace_a, trace_b = float(np.trace(a.scatter)) / (a.n - 1), float(np.trace(b.scatter)) / (b.n - 1)
    covariance_term = trace_a + trace_b - 2 * root
    if covariance_term < -NEGATIVE_TOLERANCE * (trace_a + trace_b):
        raise UndefinedMetricError(
            f"The covariance term came out at {covariance_term:.3g} of a total variance {trace_a + trace_b:.3g}; it "
            "cannot be negative, so these covariances are beyond float64: scale the embeddings."
        )
    return FrechetParts(
        mean_term=float(gap @ gap),
        covariance_term=max(0.0, covariance_term),
        trace_reference=trace_a,
        trace_candidate=trace_b,
        trace_root=root,
    )


def frechet_distance(reference: EmbeddedSet, candidate: EmbeddedSet) -> float:
    """‖μ₁-μ₂‖² + tr S₁ + tr S₂ - 2·tr √(S₁S₂); see `frechet_parts`. Strongly biased upwards at small n."""
    return frechet_parts(reference, candidate).total


def _require_two(reference: EmbeddedSet, candidate: EmbeddedSet) -> None:
    for word, side in (("reference", reference), ("candidate", candidate)):
        if len(side) < 2:
            raise TooFewSamplesError(f"needs at least 2 images a side; {word} has {len(side)}")


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """The distance and its two parts; see `frechet_parts` for what it raises."""
    parts = frechet_parts(pair.reference, pair.candidate)
    traces = {"trace_reference": parts.trace_reference, "trace_candidate": parts.trace_candidate}
    # E‖μ₁-μ₂‖² = tr S (1/n + 1/m) for two samples of one distribution: the part of the bias that has a closed form.
    floor = parts.trace_reference / len(pair.reference) + parts.trace_candidate / len(pair.candidate)
    return {
        "frechet_distance": MetricValue(value=parts.total, detail=traces),
        "frechet_mean_term": MetricValue(value=parts.mean_term, null=floor),
        "frechet_covariance_term": MetricValue(
            value=parts.covariance_term, detail={**traces, "trace_root": parts.trace_root}
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
