"""Vendi score: how many different images a set is worth, of each side and of the two at equal size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.unit_pairs import where_independent
from semsim_pipeline.records import MetricValue
from semsim_pipeline.seeding import generator


def _second_moment(side: EmbeddedSet, chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    """A matrix whose eigenvalues, beside zeros, are those of K/n: UᵀU/n [d, d], or UUᵀ/n [n, n] where that is smaller.

    U: the chosen unit rows. float64 whatever the rows' dtype.
    """
    n = len(chosen)
    if n <= side.dim:
        unit = side.unit_at(chosen)
        return np.asarray(unit @ unit.T / n)
    total = np.zeros((side.dim, side.dim))
    for start in range(0, n, TILE_ROWS):
        unit = side.unit_at(chosen[start : start + TILE_ROWS])
        total += unit.T @ unit
    return total / n


def _exp_entropy(matrix: NDArray[np.float64], most: int) -> float:
    """exp(-Σ λ log λ) over the positive eigenvalues, kept in [1, most], which rounding alone leaves."""
    values = np.linalg.eigvalsh(matrix)
    values = values[values > 0]
    # The trace is 1 in exact arithmetic.
    values /= values.sum()
    return float(min(most, max(1.0, np.exp(-(values * np.log(values)).sum()))))


def vendi(side: EmbeddedSet, *, size: int | None = None, seed: int = 0) -> float:
    """exp(entropy of the eigenvalues of K/n), K the n × n cosines of the set's rows; computed once per set and size.

    Range: [1, min(n, d)]; 1 where all images are one direction, n where all are orthogonal. It grows with n: compare
    sets of equal size only, or give a `size`. size: at most that many rows, drawn without replacement by `seed` and by
    the images' content, never by their order. Copies count: a set of ten copies of each image has the same score.
    Raises: InvalidEmbeddingsError on a zero row. Memory: min(n, d)²·8 bytes (the d × d dual, never n × n where n > d).
    Source: Friedman & Dieng 2023 (q = 1, cosine kernel). Checked against: vendi-score, dgm-eval (1e-9).
    """
    thinned = size is not None and size < len(side)
    key = ("vendi", str(size), str(seed)) if thinned else ("vendi",)
    found = side.memo.get(key)
    if not isinstance(found, float):
        chosen = _thinned(side, size or 0, seed) if thinned else np.arange(len(side))
        found = _exp_entropy(_second_moment(side, chosen), min(len(chosen), side.dim))
        side.memo[key] = found
    return found


def _thinned(side: EmbeddedSet, size: int, seed: int) -> NDArray[np.intp]:
    by_content = np.argsort(side.content_codes, kind="stable")
    drawn = generator(seed, "vendi", len(side), size).choice(len(side), size, replace=False)
    return np.sort(by_content[drawn])


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """Both scores on all rows, and candidate ÷ reference with the larger side thinned to the smaller one's size.

    The ratio's detail holds the two scores that it is made of, and their common size.
    """
    size = min(len(pair.reference), len(pair.candidate))
    reference, candidate = (vendi(side, size=size, seed=pair.seed) for side in (pair.reference, pair.candidate))
    matched = {"reference_matched": reference, "candidate_matched": candidate, "rows_matched": float(size)}
    return {
        "vendi_reference": MetricValue(value=vendi(pair.reference)),
        "vendi_candidate": MetricValue(value=vendi(pair.candidate)),
        "vendi_ratio": where_independent(MetricValue(value=candidate / reference, null=1.0, detail=matched), pair),
    }


def _side_facts(word: str) -> MetricFacts:
    return MetricFacts(
        name=f"vendi_{word}",
        group="diversity",
        cost="one pass",
        symmetric=False,
        higher_is_closer=None,
        range=(1.0, np.inf),
        at_identity=None,
        rotation_invariant=True,
        min_samples=2,
        meaning=f"How many unlike images all of the {word} is worth; grows with its size, so compare vendi_ratio.",
        source="Friedman & Dieng 2023",
        no_null=f"it describes the {word} alone; vendi_ratio compares",
    )


METRICS.add(
    "vendi",
    MetricFamily(
        name="vendi",
        facts=(
            _side_facts("reference"),
            _side_facts("candidate"),
            MetricFacts(
                name="vendi_ratio",
                group="diversity",
                # The larger side is thinned; equal sizes are compared on all rows.
                cost="subsample",
                symmetric=False,
                higher_is_closer=None,
                range=(0.0, np.inf),
                at_identity=1.0,
                rotation_invariant=True,
                min_samples=2,
                meaning="Diversity of the candidate ÷ that of the reference, at the smaller one's size; 1 is equal.",
                source="Friedman & Dieng 2023, at matched n",
            ),
        ),
        compute=compute,
    ),
)
