"""Near duplicates by embedding: candidate images that sit closer to a reference image than reference images ever do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import (
    DEFAULT_WORKING_MEMORY,
    METRICS,
    EmbeddedSet,
    MetricFacts,
    MetricFamily,
    Pair,
)
from semsim_pipeline.metrics.clouds import cloud_of
from semsim_pipeline.metrics.leakage import copied
from semsim_pipeline.metrics.neighbors import nearest_squares, own_neighbours
from semsim_pipeline.records import MetricValue

QUANTILE = 0.001
FEWEST_DISTINCT = 1000
"""Distinct reference images below which a 0.1 % quantile lies outside what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicates:
    """count: candidate images. threshold: distance in units of the rows. expected: how many of the candidate would be
    counted by chance if it were of the reference's distribution (0.1 % of the images tested)."""

    count: int
    threshold: float
    expected: float


def near_duplicates(
    reference: EmbeddedSet, candidate: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY
) -> NearDuplicates:
    """Candidate images nearer to some reference image than all but 0.1 % of reference images are to each other.

    Threshold: the 0.1 % quantile (linear interpolation) of the distances from each distinct reference row to its
    nearest other distinct row, on rows as given; strictly below counts. Exact duplicates are not counted again;
    another file with the very same row is. A reference that holds bursts or near copies of its own has a low
    threshold, which hides near duplicates.
    Raises: TooFewSamplesError below 1,000 distinct reference rows: the quantile of fewer lies below the smallest;
    UndefinedMetricError where squares leave float64's range.
    Memory: a short list a row. No distance pass of its own where `knn_mixing` is computed too (`cross_neighbours`).
    Checked against: a brute-force loop over all distances (equal).
    """
    distinct = len(cloud_of(reference))
    if distinct < FEWEST_DISTINCT:
        raise TooFewSamplesError(
            f"needs at least {FEWEST_DISTINCT} distinct reference images, for the 0.1 % quantile of their "
            f"nearest-neighbour distances; found {distinct}"
        )
    own = own_neighbours(reference, 1, working_memory=working_memory)
    _, first = np.unique(own.row, return_index=True)
    threshold = float(np.quantile(np.sqrt(own.square[first]), QUANTILE))
    across = np.sqrt(nearest_squares(candidate, reference, working_memory=working_memory))
    tested = ~copied(reference, candidate)
    return NearDuplicates(
        count=int((tested & (across < threshold)).sum()),
        threshold=threshold,
        expected=QUANTILE * int(tested.sum()),
    )


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """The count; detail `share` is the part of the candidate, in [0, 1], `threshold` the distance that is near."""
    found = near_duplicates(pair.reference, pair.candidate, working_memory=pair.working_memory)
    detail = {"share": found.count / len(pair.candidate), "threshold": found.threshold}
    return {"near_duplicates": MetricValue(value=float(found.count), null=found.expected, detail=detail)}


METRICS.add(
    "near_duplicates",
    MetricFamily(
        name="near_duplicates",
        facts=(
            MetricFacts(
                name="near_duplicates",
                group="leakage",
                cost="neighbours",
                symmetric=False,
                higher_is_closer=None,
                range=(0.0, np.inf),
                at_identity=0.0,
                # Exact duplicates are left out by content: a rotation makes other rows, and other bits.
                rotation_invariant=False,
                min_samples=1,
                min_reference=FEWEST_DISTINCT,
                meaning="Candidate images nearer to a reference image than 99.9 % of the reference are to each other.",
                source="cross nearest neighbours against the 0.1 % quantile of the reference's own",
            ),
        ),
        compute=compute,
    ),
)
