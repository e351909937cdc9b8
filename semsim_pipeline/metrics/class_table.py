"""Every class of one set against every class of the other, and which belong together: labels, else clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import EmbeddedSet, Labels, Pair
from semsim_pipeline.metrics.class_kernel import class_means
from semsim_pipeline.metrics.class_matching import best_matching, cluster_count, cluster_labels
from semsim_pipeline.metrics.frechet import frechet_distance

Floats = NDArray[np.float64]

MOST_CLASSES = 1000
"""A column with more values than this names images, not classes."""

MOST_CELLS = 2500
"""Classes by classes up to which the whole table is kept; of more, only the matched ones."""

MOST_GAUSSIAN_WORK = 2e10
"""Multiplications (cells · width³) that the W² of a whole table may cost: 10 × 10 classes at d = 512 take seconds."""

Row = tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedClasses:
    """One matched pair. similarity: as the headline, raw scale; floor: its floor, None without a background's κ.

    frechet_distance: squared W² of the two Gaussians, squared units of the rows, biased upwards at small n; None where
    it would have cost too much. margin: by how much MMD² the best matching without this pair is dearer, >= 0; None
    where there is no other matching. Near 0: another matching is as good.
    """

    reference: str
    candidate: str
    similarity: float
    floor: float | None
    frechet_distance: float | None
    margin: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """All classes of two sets.

    clustered: classes are k-means clusters, of which there are as many on both sides. columns: the label columns, None
    for clusters. sizes: images. similarities, frechet_distances: [r][c], None where undefined or not computed; empty
    above 2,500 cells. matches: one-to-one, the least total MMD², in the reference's order. left_out_*: classes
    without two independent images. exact: False where random features stand for the kernel (mostly within 0.02).
    tables_reason: why there are no tables of all classes. gaussians_reason: why W² is not there for all of them.
    """

    clustered: bool
    columns: tuple[str, str] | None
    reference_classes: tuple[str, ...]
    candidate_classes: tuple[str, ...]
    reference_sizes: tuple[int, ...]
    candidate_sizes: tuple[int, ...]
    similarities: tuple[Row, ...]
    frechet_distances: tuple[Row, ...]
    matches: tuple[MatchedClasses, ...]
    left_out_reference: tuple[str, ...]
    left_out_candidate: tuple[str, ...]
    exact: bool
    tables_reason: str | None = None
    gaussians_reason: str | None = None

    @property
    def mean_similarity(self) -> float:
        """Mean over the matched pairs, each counted once, on the raw scale."""
        return float(np.mean([match.similarity for match in self.matches]))

    @property
    def mean_floor(self) -> float | None:
        """Mean floor over the matched pairs; None without a background's κ."""
        floors = [match.floor for match in self.matches if match.floor is not None]
        return float(np.mean(floors)) if floors else None

    @property
    def word(self) -> str:
        """What the classes are: `classes` or `clusters`."""
        return "clusters" if self.clustered else "classes"


def label_columns(reference: EmbeddedSet, candidate: EmbeddedSet) -> tuple[str, str] | None:
    """The columns that tell classes apart on both sides: the first that both have with two classes and more, else the
    first such of each side; None where a side has none."""
    usable = [
        [name for name, column in side.labels.items() if 2 <= column.classes <= MOST_CLASSES]
        for side in (reference, candidate)
    ]
    if not usable[0] or not usable[1]:
        return None
    both = [name for name in usable[0] if name in usable[1]]
    return (both[0], both[0]) if both else (usable[0][0], usable[1][0])


def class_table(pair: Pair, bandwidth: float, kappa: float | None, *, clusters: bool = False) -> ClassTable | None:
    """The table of a pair by its labels; where a side has none, None, or with `clusters` by seeded k-means clusters.

    bandwidth: s² of the headline's kernel. Classes are matched by unbiased MMD² under it, so that classes of different
    sizes are matched fairly (W² grows as n falls); names need not agree between the sides.
    Raises: TooFewSamplesError where a side has no class of two independent images, or (clusters) fewer than 50
    distinct images; InvalidEmbeddingsError on zero rows.
    Cost: n·m kernel values (or random features, see `class_means`), a Fréchet distance a cell. Memory: r·c·40 bytes.
    Source: Gretton 2012; Alvarez-Melis & Fusi 2020 (class Gaussians); Crouse 2016 (assignment).
    """
    columns = label_columns(pair.reference, pair.candidate)
    if columns is None and not clusters:
        return None
    labels = _clustered(pair) if columns is None else _labelled(pair, columns)
    means = class_means(pair.reference, pair.candidate, (labels[0].codes, labels[1].codes), bandwidth, seed=pair.seed)
    kept = [np.flatnonzero(np.isfinite(own)) for own in (means.reference, means.candidate)]
    for side, rows in zip((pair.reference, pair.candidate), kept, strict=True):
        if not len(rows):
            raise TooFewSamplesError(f"'{side.name}' has no class of at least two independent images")
    cells = np.ix_(kept[0], kept[1])
    similarities = means.similarities()[cells]
    floors = None if kappa is None else means.floors(kappa)[cells]
    matched, margins = best_matching(np.nan_to_num(means.squared_mmd()[cells], nan=2.0))
    if not np.isfinite([similarities[i, j] for i, j in matched]).any():
        raise TooFewSamplesError("the classes share only pairs of one group, which never count")
    split = [_split(side, each, rows) for side, each, rows in zip(_sides(pair), labels, kept, strict=True)]
    distances, dear = _gaussian_distances(split[0], split[1], matched)
    names = [tuple(each.names[i] for i in rows) for each, rows in zip(labels, kept, strict=True)]
    whole = similarities.size <= MOST_CELLS
    return ClassTable(
        clustered=columns is None,
        columns=columns,
        reference_classes=names[0],
        candidate_classes=names[1],
        reference_sizes=tuple(len(each) for each in split[0]),
        candidate_sizes=tuple(len(each) for each in split[1]),
        similarities=_plain(similarities) if whole else (),
        frechet_distances=_plain(distances) if whole else (),
        matches=tuple(
            MatchedClasses(
                reference=names[0][i],
                candidate=names[1][j],
                similarity=float(similarities[i, j]),
                floor=None if floors is None else float(floors[i, j]),
                frechet_distance=_number(distances[i, j]),
                margin=margin,
            )
            for (i, j), margin in zip(matched, margins, strict=True)
            if math.isfinite(similarities[i, j])
        ),
        left_out_reference=_without(labels[0], kept[0]),
        left_out_candidate=_without(labels[1], kept[1]),
        exact=means.exact,
        tables_reason=None if whole else _too_many(*similarities.shape),
        gaussians_reason=dear,
    )


def _sides(pair: Pair) -> tuple[EmbeddedSet, EmbeddedSet]:
    return pair.reference, pair.candidate


def _labelled(pair: Pair, columns: tuple[str, str]) -> list[Labels]:
    return [side.labels[name] for side, name in zip(_sides(pair), columns, strict=True)]


def _clustered(pair: Pair) -> list[Labels]:
    k = cluster_count(pair.reference, pair.candidate, seed=pair.seed)
    return [Labels.of(cluster_labels(side, k, seed=pair.seed)) for side in _sides(pair)]


def _split(side: EmbeddedSet, labels: Labels, classes: NDArray[np.intp]) -> list[EmbeddedSet]:
    return [EmbeddedSet(labels.names[number], side.rows[labels.codes == number]) for number in classes]


def _gaussian_distances(
    reference: Sequence[EmbeddedSet], candidate: Sequence[EmbeddedSet], matched: Sequence[tuple[int, int]]
) -> tuple[Floats, str | None]:
    """Squared Gaussian W² [r, c]: of all classes, or of the matched ones, or of none, as the work allows; else NaN.
    And where it is not of all, why."""
    out = np.full((len(reference), len(candidate)), np.nan)
    width = min(reference[0].dim, max(len(each) for each in (*reference, *candidate)))
    every = [(i, j) for i in range(len(reference)) for j in range(len(candidate))]
    reason = None
    for cells, left in ((every, "only the matched ones have it"), (list(matched), "none was computed")):
        if len(cells) * float(width) ** 3 <= MOST_GAUSSIAN_WORK:
            for i, j in cells:
                if min(len(reference[i]), len(candidate[j])) >= 2:
                    out[i, j] = frechet_distance(reference[i], candidate[j])
            break
        reason = (
            f"the Gaussian distances of all {len(reference):,} × {len(candidate):,} classes in {width:,} dimensions "
            f"would cost too much: {left}"
        )
    return out, reason


def _too_many(rows: int, columns: int) -> str:
    return f"{rows:,} × {columns:,} classes have more than {MOST_CELLS:,} cells: only the matched pairs are kept"


def _without(labels: Labels, kept: NDArray[np.intp]) -> tuple[str, ...]:
    return tuple(name for number, name in enumerate(labels.names) if number not in set(kept.tolist()))


def _plain(values: Floats) -> tuple[Row, ...]:
    return tuple(tuple(_number(each) for each in row) for row in values)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
