"""Proximity: do the two sets' images sit among each other, or each among its own?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import (
    DEFAULT_WORKING_MEMORY,
    METRICS,
    EmbeddedSet,
    MetricFacts,
    MetricFamily,
    Pair,
)
from semsim_pipeline.metrics.clouds import cloud_of
from semsim_pipeline.metrics.neighbors import (
    cross_neighbours,
    nearest_squares,
    own_neighbours,
)
from semsim_pipeline.metrics.radii import kth_of, kth_squares
from semsim_pipeline.metrics.unit_pairs import where_independent
from semsim_pipeline.records import MetricValue, not_computed

DEFAULT_K = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """Share of other-side neighbours ÷ its null: pooled, and for the images of one side alone. 1 expected where both
    sets are of one distribution, 0 where no image has a neighbour from the other side."""

    pooled: float
    reference: float
    candidate: float


def _other_share(side: EmbeddedSet, other: EmbeddedSet, k: int, working_memory: int) -> float:
    """Mean share, over a side's images, of the k nearest of all n + m - 1 other images that are of the other side.

    Images that tie at the k-th distance share the places that are left, so that row order decides nothing.
    """
    cloud, across = cloud_of(side), cloud_of(other)
    own = own_neighbours(side, k, working_memory=working_memory)
    cross = cross_neighbours(side, other, k, working_memory=working_memory)
    row = np.concatenate([np.arange(len(cloud)), own.row, cross.row])
    square = np.concatenate([np.zeros(len(cloud)), own.square, cross.square])
    count = np.concatenate([cloud.weights - 1, cloud.weights[own.column], across.weights[cross.column]])
    foreign = np.arange(len(row)) >= len(row) - len(cross.row)
    order = np.lexsort((square, row))
    row, square, count, foreign = row[order], square[order], count[order], foreign[order]
    limit = kth_of(row, square, count, k, len(cloud))[row]
    nearer, tied = square < limit, square == limit

    def total(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(row[chosen], weights=count[chosen], minlength=len(cloud)).astype(np.float64)

    left = k - total(nearer)
    others = total(nearer & foreign) + left * total(tied & foreign) / total(tied)
    return float((others * cloud.weights).sum() / (k * len(side)))


def knn_mixing(
    reference: EmbeddedSet,
    candidate: EmbeddedSet,
    *,
    k: int = DEFAULT_K,
    working_memory: int = DEFAULT_WORKING_MEMORY,
) -> Mixing:
    """Share of other-side images among each image's k nearest (self excluded by index), divided by its null.

    Null: an image of the reference has n + m - 1 others, all equally likely to be near under one distribution, and m
    of them are of the candidate: m/(n+m-1); of the candidate n/(n+m-1); pooled 2nm/((n+m)(n+m-1)), which is
    1 - (n(n-1)+m(m-1))/((n+m)(n+m-1)). Range [0, 1/null].
    Raises: TooFewSamplesError with fewer than k + 1 images on a side (a side must be able to keep to itself).
    Memory: see `own_neighbours`. Source: Schilling 1986; Henze 1988.
    Checked against: scikit-learn NearestNeighbors; equal but for ties at the k-th place, which it breaks arbitrarily.
    """
    for word, side in (("reference", reference), ("candidate", candidate)):
        if len(side) < k + 1:
            raise TooFewSamplesError(f"needs at least {k + 1} images a side; {word} has {len(side)}")
    n, m = len(reference), len(candidate)
    share_a = _other_share(reference, candidate, k, working_memory)
    share_b = _other_share(candidate, reference, k, working_memory)
    others = n + m - 1
    return Mixing(
        pooled=(n * share_a + m * share_b) * others / (2 * n * m),
        reference=share_a * others / m,
        candidate=share_b * others / n,
    )


def nn_distance_ratio(
    reference: EmbeddedSet, candidate: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY
) -> tuple[float, float, float]:
    """(ratio, median distance candidate → reference, median within the reference, self excluded); nearest neighbours.

    Ratio in [0, ∞): about 1 for one distribution and equal sizes, 0 for copies, large for sets that lie apart.
    Raises: TooFewSamplesError with fewer than two reference images; UndefinedMetricError where half of the reference
    has a copy (the median within is 0). Memory: as `bound_tiles`, and a short list a row.
    Source: Alaa 2022 asks of each image which of the two distances is shorter; here their medians are divided.
    Checked against: scikit-learn NearestNeighbors (1e-12).
    """
    within = np.sqrt(kth_squares(reference, 1, working_memory=working_memory))[cloud_of(reference).inverse]
    across = np.sqrt(nearest_squares(candidate, reference, working_memory=working_memory))
    inner, outer = float(np.median(within)), float(np.median(across))
    if inner == 0:
        raise UndefinedMetricError(
            "undefined: at least half of the reference's images have an exact copy in it, so the median distance to "
            "the nearest neighbour is 0"
        )
    return outer / inner, outer, inner


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """Both; a ratio that is undefined, or mixing with too few images, leaves the other one standing.

    Neither has a null where images come in groups or copies: an image's nearest are then mostly its own company.
    """
    rows: dict[str, MetricValue] = {}
    try:
        mixing = knn_mixing(pair.reference, pair.candidate, working_memory=pair.working_memory)
        detail = {"reference": mixing.reference, "candidate": mixing.candidate}
        rows["knn_mixing"] = where_independent(MetricValue(value=mixing.pooled, null=1.0, detail=detail), pair)
    except TooFewSamplesError as refusal:
        rows["knn_mixing"] = not_computed(str(refusal))
    try:
        ratio, across, within = nn_distance_ratio(pair.reference, pair.candidate, working_memory=pair.working_memory)
        detail = {"median_candidate_to_reference": across, "median_within_reference": within}
        rows["nn_distance_ratio"] = where_independent(MetricValue(value=ratio, null=1.0, detail=detail), pair)
    except (TooFewSamplesError, UndefinedMetricError) as refusal:
        rows["nn_distance_ratio"] = not_computed(str(refusal))
    return rows


METRICS.add(
    "proximity",
    MetricFamily(
        name="proximity",
        facts=(
            MetricFacts(
                name="knn_mixing",
                group="proximity",
                cost="neighbours",
                symmetric=True,
                higher_is_closer=True,
                range=(0.0, np.inf),
                at_identity=None,
                rotation_invariant=True,
                min_samples=DEFAULT_K + 1,
                meaning="Are an image's 10 nearest of both sets? 1 as often as chance has it, 0 never.",
                source="Schilling 1986; Henze 1988",
            ),
            MetricFacts(
                name="nn_distance_ratio",
                group="proximity",
                cost="neighbours",
                symmetric=False,
                higher_is_closer=False,
                range=(0.0, np.inf),
                at_identity=0.0,
                rotation_invariant=True,
                min_samples=2,
                meaning="Distance from candidate images to the reference, in steps between reference neighbours.",
                source="Alaa 2022 (the two distances of authenticity), as a ratio of medians",
            ),
        ),
        compute=compute,
    ),
)
