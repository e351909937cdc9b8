"""Classes against classes: how far each class of one set lies from each of the other, and which belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS
from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.clouds import cloud_of
from semsim_pipeline.metrics.frechet import frechet_distance
from semsim_pipeline.seeding import generator

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

Floats = NDArray[np.float64]
FEWEST_ROWS = 2
"""Images below which a class has no covariance."""

MOST_CLUSTERS = 10
ROWS_A_CLUSTER = 25
"""Images a cluster has on average at least, on either side."""

MOST_FITTED = 2000
"""Rows that clusters are fitted on, a seeded sample; all rows are then assigned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMatch:
    """One matched pair. distance: squared W² of the two Gaussians, squared units of the rows.

    margin: how much dearer the best matching without this pair is, in the same units, >= 0; None where there is no
    other matching (one class on each side). Near 0: another matching is as good, do not read this one.
    """

    reference: str
    candidate: str
    distance: float
    margin: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassMatching:
    """distances: float64 [r, c], squared Gaussian W² of each reference class (rows) to each candidate class.

    matches: one-to-one, min(r, c) of them, in the reference's order. margin: how much dearer the second best matching
    is (the smallest of the matches' margins); None where there is only one. clustered: classes are clusters, not
    labels. left_out_*: classes with a single image, which has no spread.
    """

    reference_classes: tuple[str, ...]
    candidate_classes: tuple[str, ...]
    distances: Floats
    matches: tuple[ClassMatch, ...]
    margin: float | None
    clustered: bool
    left_out_reference: tuple[str, ...]
    left_out_candidate: tuple[str, ...]

    @property
    def mean_distance(self) -> float:
        """Mean squared W² over the matched pairs."""
        return float(np.mean([match.distance for match in self.matches]))

    @property
    def unmatched_reference(self) -> tuple[str, ...]:
        """Reference classes without a partner, where the candidate has fewer."""
        taken = {match.reference for match in self.matches}
        return tuple(name for name in self.reference_classes if name not in taken)

    @property
    def unmatched_candidate(self) -> tuple[str, ...]:
        """Candidate classes without a partner, where the reference has fewer."""
        taken = {match.candidate for match in self.matches}
        return tuple(name for name in self.candidate_classes if name not in taken)


def match_classes(
    reference: EmbeddedSet,
    candidate: EmbeddedSet,
    *,
    reference_labels: Sequence[str] | None = None,
    candidate_labels: Sequence[str] | None = None,
    seed: int = 0,
) -> ClassMatching:
    """Squared Gaussian W² between all classes of the two sets, and the cheapest one-to-one matching.

    Labels (one a row) are used where both sides have them; names need not agree between the sides. Otherwise each
    side is clustered by k-means, with one k for both: see `cluster_count`. Covariances have ddof = 1 and are exact for
    fewer rows than columns; at small n every distance is too large by about tr S·(1/n + 1/m) and more, so compare
    classes of like size. Classes of one image are left out, and listed.
    Raises: TooFewSamplesError where a side has no class of two images, or (for clusters) fewer than 50 distinct
    images; UndefinedMetricError on overflow.
    Memory: one copy of the rows, d²·8 bytes a class. Cost: a Fréchet distance for each pair of classes.
    Source: Alvarez-Melis & Fusi 2020 (class Gaussians); Crouse 2016 (assignment). Checked against: otdd (1e-9).
    """
    clustered = reference_labels is None or candidate_labels is None
    if reference_labels is None or candidate_labels is None:
        k = cluster_count(reference, candidate, seed=seed)
        reference_labels, candidate_labels = (cluster_labels(side, k, seed=seed) for side in (reference, candidate))
    (left, alone_a), (right, alone_b) = _split(reference, reference_labels), _split(candidate, candidate_labels)
    distances = class_distances(left, right)
    pairs, margins = best_matching(distances)
    names_a, names_b = tuple(left), tuple(right)
    matches = tuple(
        ClassMatch(reference=names_a[i], candidate=names_b[j], distance=float(distances[i, j]), margin=margin)
        for (i, j), margin in zip(pairs, margins, strict=True)
    )
    known = [margin for margin in margins if margin is not None]
    return ClassMatching(
        reference_classes=names_a,
        candidate_classes=names_b,
        distances=distances,
        matches=matches,
        margin=min(known) if known else None,
        clustered=clustered,
        left_out_reference=alone_a,
        left_out_candidate=alone_b,
    )


def class_distances(reference: Mapping[str, EmbeddedSet], candidate: Mapping[str, EmbeddedSet]) -> Floats:
    """Squared Gaussian W² of every class to every other, float64 [r, c]; see `frechet_distance`. A class's moments
    are computed once."""
    return np.array([[frechet_distance(a, b) for b in candidate.values()] for a in reference.values()])


def best_matching(distances: Floats) -> tuple[list[tuple[int, int]], list[float | None]]:
    """The one-to-one matching of least total distance, by rows, and for each pair how much dearer the best matching
    without it is (None where that pair cannot be avoided).

    distances: float64 [r, c], finite, >= 0. Every class of the smaller side is matched. The second best matching
    lacks some pair of the best, so the smallest margin is the gap to it. Cost: min(r, c) + 1 assignments.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(distances)
    best = float(distances[rows, columns].sum())
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True)]
    margins: list[float | None] = []
    for i, j in pairs:
        without = distances.copy()
        without[i, j] = np.inf
        try:
            others = linear_sum_assignment(without)
        except ValueError:  # scipy's word for: no matching avoids this pair
            margins.append(None)
            continue
        # Never negative but for rounding of two sums.
        margins.append(max(0.0, float(distances[others].sum()) - best))
    return pairs, margins


def _split(side: EmbeddedSet, labels: Sequence[str]) -> tuple[dict[str, EmbeddedSet], tuple[str, ...]]:
    """Each class's rows by name, sorted, and the names of classes with one image."""
    if len(labels) != len(side):
        raise ValueError(f"{side.name}: {len(labels)} labels for {len(side)} rows")
    names, code = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
    order = np.argsort(code, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(code))[:-1])
    classes = {
        str(name): EmbeddedSet(f"{side.name}[{name}]", side.rows[rows])
        for name, rows in zip(names, parts, strict=True)
        if len(rows) >= FEWEST_ROWS
    }
    if not classes:
        raise TooFewSamplesError(
            f"'{side.name}' has no class of at least {FEWEST_ROWS} images; a Gaussian needs a spread."
        )
    return classes, tuple(str(name) for name in names if str(name) not in classes)


# ---- clusters, where there are no labels


def cluster_count(reference: EmbeddedSet, candidate: EmbeddedSet, *, seed: int = 0) -> int:
    """The k in 2 … 10, with 25 distinct images a cluster on average on either side, whose k-means clusters of the
    reference have the largest mean silhouette (on a seeded sample of 2,000 rows above that).

    Raises: TooFewSamplesError below 50 distinct images a side. Source: Rousseeuw 1987.
    """
    from sklearn.metrics import silhouette_score

    fewest = min(len(cloud_of(side)) for side in (reference, candidate))
    most = min(MOST_CLUSTERS, fewest // ROWS_A_CLUSTER)
    if most < 2:
        raise TooFewSamplesError(
            f"Without labels, classes are clusters: they need at least {2 * ROWS_A_CLUSTER} distinct images a side; "
            f"found {fewest}. Give labels, or add images."
        )
    sample = _sample(reference, seed)
    scores = [float(silhouette_score(sample, _fitted(sample, k, seed).labels_)) for k in range(2, most + 1)]
    return 2 + int(np.argmax(scores))


def cluster_labels(side: EmbeddedSet, k: int, *, seed: int = 0) -> list[str]:
    """A name a row (`cluster 1` is the largest) by seeded k-means on the rows as given; the order of rows changes
    nothing. Memory: a sample of 2,000 rows in float64, and one block."""
    from threadpoolctl import threadpool_limits

    model = _fitted(_sample(side, seed), k, seed)
    blocks = (side.rows[i : i + TILE_ROWS].astype(np.float64) for i in range(0, len(side), TILE_ROWS))
    with threadpool_limits(1, user_api="openmp"):
        code = np.concatenate([model.predict(block) for block in blocks])
    rank = np.argsort(np.argsort(-np.bincount(code, minlength=k), kind="stable"))
    return [f"cluster {rank[each] + 1}" for each in code]


def _sample(side: EmbeddedSet, seed: int) -> Floats:
    """At most 2,000 distinct rows as float64, in the order of their content."""
    cloud = cloud_of(side)
    first = np.arange(len(side)) if cloud.first is None else cloud.first
    places = first[np.argsort(side.content_codes[first], kind="stable")]
    if len(places) > MOST_FITTED:
        places = places[np.sort(generator(seed, "class_matching").choice(len(places), MOST_FITTED, replace=False))]
    rows: Floats = side.rows[places].astype(np.float64)
    return rows


def _fitted(rows: Floats, k: int, seed: int) -> KMeans:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    state = int(generator(seed, "class_matching", "k-means", k).integers(1 << 31))
    # On a busy machine a fit on several threads was seen to take far longer than on one; the sums then depend on none.
    with threadpool_limits(1, user_api="openmp"):
        return KMeans(n_clusters=k, n_init=4, random_state=state).fit(rows)
