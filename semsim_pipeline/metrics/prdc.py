"""Precision, recall, density, coverage: does the candidate lie inside the reference's support, and fill it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from semsim_pipeline.metrics.blocks import Tile, tile_rows
from semsim_pipeline.metrics.clouds import (
    Bounds,
    Cloud,
    Floats,
    Frame,
    Index,
    bound_tiles,
    cloud_of,
    exact_squares,
    frame_of,
    rounded_up,
    watch_cross,
)
from semsim_pipeline.metrics.radii import kth_squares
from semsim_pipeline.metrics.support_interval import share_interval
from semsim_pipeline.metrics.unit_pairs import nearly_independent
from semsim_pipeline.metrics.units import own_units
from semsim_pipeline.records import MetricValue

DEFAULT_K = 5
OVERLAP = ("prdc", "overlap")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportOverlap:
    """precision: share of the candidate inside some reference ball. recall: share of the reference inside some
    candidate ball. density: reference balls around a candidate image, ÷ k. coverage: share of reference balls that
    hold a candidate image. All in [0, 1], density in [0, n/k]."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Balls:
    """Which pairs (reference, candidate) count as inside a ball of squared radius `squares`, one radius a centre."""

    reference: Cloud
    candidate: Cloud
    squares: Floats
    ceiling: Tile
    inclusive: bool
    around_reference: bool

    def inside(self, part: Bounds) -> tuple[Index, Index]:
        """Places of the tile's pairs that lie inside, decided as float64 sum((x - y)²) decides them."""
        if self.around_reference:
            limit = self.ceiling[part.row : part.row + part.low.shape[0], None]
        else:
            limit = self.ceiling[None, part.column : part.column + part.low.shape[1]]
        # `ceiling` is above the radius by rounding, so `<` here loses no tie.
        hits = np.flatnonzero(part.low < limit)
        at, across = np.divmod(hits, part.low.shape[1])
        highest = part.low.ravel()[hits].astype(np.float64) + part.spare_rows[at] + part.spare_columns[across]
        rows, columns = at + part.row, across + part.column
        radius = self.squares[rows if self.around_reference else columns]
        inside = highest < radius
        open_ = np.flatnonzero(~inside)
        exact = exact_squares(self.reference, rows[open_], self.candidate, columns[open_])
        inside[open_] = exact <= radius[open_] if self.inclusive else exact < radius[open_]
        return rows[inside], columns[inside]


def _balls(
    frame: Frame, reference: Cloud, candidate: Cloud, squares: Floats, *, inclusive: bool, around_reference: bool
) -> _Balls:
    ceiling = rounded_up(squares, frame.centre.dtype)
    if not inclusive:
        # Nothing is strictly inside a ball of radius 0: spare its pairs the exact evaluation.
        ceiling[squares == 0] = -np.inf
    return _Balls(
        reference=reference,
        candidate=candidate,
        squares=squares,
        ceiling=ceiling,
        inclusive=inclusive,
        around_reference=around_reference,
    )


class SupportTally:
    """Counts a pair's precision, recall, density and coverage from tiles of reference × candidate."""

    def __init__(
        self,
        reference: EmbeddedSet,
        candidate: EmbeddedSet,
        k: int = DEFAULT_K,
        *,
        inclusive: bool = False,
        working_memory: int = DEFAULT_WORKING_MEMORY,
    ) -> None:
        """Finds the radii. Raises: as `precision_recall_density_coverage`."""
        if k < 1:
            raise ValueError(f"k must be at least 1; found {k}")
        for word, side in (("reference", reference), ("candidate", candidate)):
            if len(side) < k + 1:
                raise TooFewSamplesError(f"needs at least {k + 1} images a side; {word} has {len(side)}")
        self.k, self.reference, self.candidate = k, cloud_of(reference), cloud_of(candidate)
        frame = frame_of(reference, candidate)
        self._around_reference, self._around_candidate = (
            _balls(
                frame,
                self.reference,
                self.candidate,
                kth_squares(side, k, working_memory=working_memory),
                inclusive=inclusive,
                around_reference=around,
            )
            for side, around in ((reference, True), (candidate, False))
        )
        self._precise, self._covered = np.zeros(len(self.candidate), bool), np.zeros(len(self.reference), bool)
        self._recalled, self._held = np.zeros(len(self.reference), bool), 0

    def see(self, part: Bounds) -> None:
        """Count one tile."""
        rows, columns = self._around_reference.inside(part)
        self._precise[columns] = True
        self._covered[rows] = True
        self._held += int((self.reference.weights[rows] * self.candidate.weights[columns]).sum())
        rows, _ = self._around_candidate.inside(part)
        self._recalled[rows] = True

    def overlap(self) -> SupportOverlap:
        """The four shares, once every tile was seen."""
        n, m = int(self.reference.weights.sum()), int(self.candidate.weights.sum())
        return SupportOverlap(
            precision=float(self.candidate.weights[self._precise].sum() / m),
            recall=float(self.reference.weights[self._recalled].sum() / n),
            density=self._held / (self.k * m),
            coverage=float(self.reference.weights[self._covered].sum() / n),
        )


def _overlap(
    reference: EmbeddedSet, candidate: EmbeddedSet, k: int, *, inclusive: bool, working_memory: int
) -> SupportOverlap:
    tally = SupportTally(reference, candidate, k, inclusive=inclusive, working_memory=working_memory)
    watch_cross(reference, candidate, [tally.see], tile=tile_rows(working_memory))
    return tally.overlap()


def precision_recall_density_coverage(
    reference: EmbeddedSet,
    candidate: EmbeddedSet,
    *,
    k: int = DEFAULT_K,
    working_memory: int = DEFAULT_WORKING_MEMORY,
) -> SupportOverlap:
    """All four of Naeem 2020 on all rows as given; a ball's radius is the distance to its centre's k-th nearest other
    image, self excluded by index, and inside means strictly nearer (`<`, as in the `prdc` package).

    Decisions are those of float64 brute force, ties and duplicates included, for float32 rows too.
    Raises: TooFewSamplesError with fewer than k + 1 images on a side; UndefinedMetricError where squares overflow.
    Memory: as `bound_tiles` (25 MB at 512 columns on 2 cores), 300 bytes an image.
    Source: Kynkäänniemi 2019; Naeem 2020.
    Checked against: prdc 0.2 (equal), a plain loop on integer grids (equal).
    """
    return _overlap(reference, candidate, k, inclusive=False, working_memory=working_memory)


def improved_precision_recall(
    reference: EmbeddedSet, candidate: EmbeddedSet, *, k: int = 3, working_memory: int = DEFAULT_WORKING_MEMORY
) -> tuple[float, float]:
    """(precision, recall) as Kynkäänniemi 2019 prints them: k = 3, and a point on a ball's rim is inside (`<=`).

    Differs from `precision_recall_density_coverage` only where distances tie (copies, quantised rows).
    Raises and memory: as there. Checked against: torch-fidelity's PRC.
    """
    both = _overlap(reference, candidate, k, inclusive=True, working_memory=working_memory)
    return both.precision, both.recall


def share_inside(
    points: EmbeddedSet,
    centres: EmbeddedSet,
    *,
    k: int = DEFAULT_K,
    working_memory: int = DEFAULT_WORKING_MEMORY,
) -> float:
    """Share of `points` that lie strictly inside some ball of `centres`, in [0, 1]: precision with the reference as
    centres, recall with the candidate as centres. Raises and memory: as `precision_recall_density_coverage`."""
    frame, a, b = frame_of(centres, points), cloud_of(centres), cloud_of(points)
    squares = kth_squares(centres, k, working_memory=working_memory)
    balls = _balls(frame, a, b, squares, inclusive=False, around_reference=True)
    held = np.zeros(len(b), bool)
    for part in bound_tiles(frame, a, b, tile=tile_rows(working_memory), upper=False):
        held[balls.inside(part)[1]] = True
    return float(b.weights[held].sum() / len(points))


def support_of(pair: Pair) -> SupportOverlap:
    """The four of a pair at k = 5, computed once for the families that need them."""
    found = pair.memo.get(OVERLAP)
    if not isinstance(found, SupportOverlap):
        found = precision_recall_density_coverage(pair.reference, pair.candidate, working_memory=pair.working_memory)
        pair.memo[OVERLAP] = found
    return found


def coverage_null(n: int, m: int, k: int = DEFAULT_K) -> float:
    """Expected coverage of n reference by m candidate images of one distribution: 1 - Π_{i=1..k} (n-i)/(n+m-i).

    Source: Naeem 2020, Lemma 2.

    >>> round(coverage_null(500, 700, 5), 6)
    0.98766
    """
    uncovered = 1.0
    for i in range(1, k + 1):
        uncovered *= (n - i) / (n + m - i)
    return 1.0 - uncovered


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """All four at k = 5; see `precision_recall_density_coverage`.

    Density and coverage have closed forms beside them where the images are nearly independent. Balls of images in
    groups or copies are filled by their own company: what equal sets show is then measured, as for the other two.
    """
    from semsim_pipeline.metrics.relabelled import beside, support_floor

    found, floor = support_of(pair), support_floor(pair)
    n, m = own_units(pair.reference).units, own_units(pair.candidate).units
    sizes = (len(pair.reference), len(pair.candidate))
    precision = MetricValue(value=found.precision, interval=share_interval(found.precision, m, n))
    recall = MetricValue(value=found.recall, interval=share_interval(found.recall, n, m))
    density, coverage = MetricValue(value=found.density), MetricValue(value=found.coverage)
    alone = nearly_independent(pair)
    return {
        "precision": beside(floor, precision, floor.precision, sizes),
        "recall": beside(floor, recall, floor.recall, sizes),
        "density": replace(density, null=1.0) if alone else beside(floor, density, floor.density, sizes),
        "coverage": replace(coverage, null=coverage_null(*sizes, DEFAULT_K))
        if alone
        else beside(floor, coverage, floor.coverage, sizes),
    }


def _facts(name: str, meaning: str, source: str, upper: float = 1.0) -> MetricFacts:
    return MetricFacts(
        name=name,
        group="support",
        cost="neighbours",
        symmetric=False,
        higher_is_closer=True,
        range=(0.0, upper),
        # Of a set without copies; an image with k copies has a ball of radius 0, which holds nothing.
        at_identity=1.0,
        rotation_invariant=True,
        min_samples=DEFAULT_K + 1,
        meaning=meaning,
        source=source,
    )


METRICS.add(
    "prdc",
    MetricFamily(
        name="prdc",
        facts=(
            _facts("precision", "Share of candidate images that look like some reference image.", "Kynkäänniemi 2019"),
            _facts("recall", "Share of reference images that look like some candidate image.", "Kynkäänniemi 2019"),
            _facts(
                "density", "How thickly the reference surrounds a candidate image; 1 expected.", "Naeem 2020", np.inf
            ),
            _facts("coverage", "Share of reference images with a candidate image in their midst.", "Naeem 2020"),
        ),
        compute=compute,
    ),
)
