"""Near duplicates: candidate images with a twin in the reference that is not the same file, found in two ways.

By embedding: closer to a reference image than 99.9 % of the reference's images are to their nearest. By perceptual
hash: the same picture resized, compressed again or brightened. The first sees what the encoder sees and always names a
few by chance; the second needs the images, not the rows, and names next to none.
"""

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
from semsim_pipeline.metrics.hamming import within
from semsim_pipeline.metrics.leakage import copied
from semsim_pipeline.metrics.neighbors import nearest_squares, own_neighbours
from semsim_pipeline.records import MetricValue

QUANTILE = 0.001
FEWEST_DISTINCT = 1000
"""Distinct reference images below which a 0.1 % quantile lies outside what was seen."""

TWIN_BITS = 24
"""Of the 256 bits of a hash, how many may differ. Measured on CIFAKE: none of 2.5 billion pairs of a real and a
generated image is as near, and of the pairs within one half that are, those looked at are all one picture twice; JPEG
at quality 75 moves a hash by at most 8 bits, halving or doubling the size by 12."""

NO_IMAGES = "by embedding alone: these are ready embeddings, there are no images to hash"
NO_HASHES = "by embedding alone: no image of a side has a hash (flat surfaces, or not hashed yet)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NearDuplicates:
    """near: bool [m], which candidate images. threshold: distance in units of the rows. expected: how many of the
    candidate would be counted by chance if it were of the reference's distribution (0.1 % of the images tested)."""

    near: NDArray[np.bool_]
    threshold: float
    expected: float

    @property
    def count(self) -> int:
        """Candidate images that are near."""
        return int(self.near.sum())


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
        near=tested & (across < threshold),
        threshold=threshold,
        expected=QUANTILE * int(tested.sum()),
    )


def hash_twins(reference: EmbeddedSet, candidate: EmbeddedSet, *, bits: int = TWIN_BITS) -> NDArray[np.bool_] | None:
    """bool [m]: candidate images whose perceptual hash is within `bits` of a reference image's; copies not counted
    again. None where a side has no hash at all (ready embeddings).

    Images without a hash (flat surfaces) are never twins. Cost: n·m words; memory: see `within`.
    Checked against: a plain loop (equal).
    """
    left, right = reference.hashes, candidate.hashes
    if left is None or right is None or not left.any() or not right.any():
        return None
    return within(right, left, bits) & ~copied(reference, candidate)


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """How many candidate images have a near twin by either way; detail: `share` of the candidate in [0, 1], the count
    `by_embedding` and the distance `threshold` that is near, the count `by_hash` and `without_hash` of both sides.

    Raises TooFewSamplesError where neither way is open.
    """
    twins = hash_twins(pair.reference, pair.candidate)
    try:
        embedded = near_duplicates(pair.reference, pair.candidate, working_memory=pair.working_memory)
    except (TooFewSamplesError, UndefinedMetricError) as refusal:
        if twins is None:
            raise
        return {"near_duplicates": _row(pair, twins, None, f"by perceptual hash alone; by embedding it {refusal}")}
    return {"near_duplicates": _row(pair, twins, embedded, _left_out(pair) if twins is None else None)}


def _left_out(pair: Pair) -> str:
    return NO_IMAGES if pair.reference.hashes is None or pair.candidate.hashes is None else NO_HASHES


def _row(
    pair: Pair, twins: NDArray[np.bool_] | None, embedded: NearDuplicates | None, reason: str | None
) -> MetricValue:
    found = np.zeros(len(pair.candidate), np.bool_)
    detail: dict[str, float] = {}
    if embedded is not None:
        found |= embedded.near
        detail |= {"by_embedding": float(embedded.count), "threshold": embedded.threshold}
    if twins is not None:
        found |= twins
        missing = sum(
            int((~side.hashes.any(axis=1)).sum())
            for side in (pair.reference, pair.candidate)
            if side.hashes is not None
        )
        detail |= {"by_hash": float(twins.sum()), "without_hash": float(missing)}
    count = int(found.sum())
    return MetricValue(
        value=float(count),
        null=0.0 if embedded is None else embedded.expected,
        reason=reason,
        detail={"share": count / len(pair.candidate), **detail},
    )


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
                meaning="Candidate images that are nearly a reference image: by perceptual hash, or nearer in the "
                "embedding than 99.9 % of the reference are to each other (from 1,000 reference images on).",
                source="perceptual hash: Zauner 2010; cross nearest neighbours against the 0.1 % quantile of the "
                "reference's own",
            ),
        ),
        compute=compute,
    ),
)
