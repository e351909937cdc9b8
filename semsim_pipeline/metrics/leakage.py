"""Leakage: images that both sets hold. Reported apart from similarity, which a tenth of copies does not move."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.records import MetricValue


def copied(reference: EmbeddedSet, candidate: EmbeddedSet) -> NDArray[np.bool_]:
    """bool [m]: which candidate images have a twin in the reference; see `exact_duplicates`."""
    return np.isin(candidate.content_codes, reference.content_codes)


def exact_duplicates(reference: EmbeddedSet, candidate: EmbeddedSet) -> int:
    """Number of candidate images with a twin in the reference: equal content code, or equal rows bit by bit for ready
    embeddings. Repeats within the candidate count each. Memory: (n + m)·8 bytes."""
    return int(copied(reference, candidate).sum())


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """The count; detail `share` is the part of the candidate, in [0, 1]."""
    count = exact_duplicates(pair.reference, pair.candidate)
    return {
        "exact_duplicates": MetricValue(value=float(count), null=0.0, detail={"share": count / len(pair.candidate)})
    }


METRICS.add(
    "leakage",
    MetricFamily(
        name="leakage",
        facts=(
            MetricFacts(
                name="exact_duplicates",
                group="leakage",
                cost="one pass",
                symmetric=False,
                higher_is_closer=None,
                range=(0.0, np.inf),
                at_identity=None,
                # Codes are of content: a rotation makes other rows, and other bits.
                rotation_invariant=False,
                min_samples=1,
                meaning="Candidate images that are in the reference too, byte for byte.",
                source="content hash",
            ),
        ),
        compute=compute,
    ),
)
