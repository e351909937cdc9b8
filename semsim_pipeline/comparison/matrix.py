"""The scores of a comparison as a table of labels by labels: what a heat map draws and a page ranks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.metrics.verdict import BANDS

MatrixKind = Literal["across", "match", "pairs"]
BAND_NAMES = frozenset(name for _, name in BANDS)
CEILING = "ceiling"
OTHER_SCALE = "other scale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One score. value: in [0, 1] or None. interval: on the raw scale, None where it is not finite.

    n: images of the reference and the candidate. status: as `Comparison.status`; `ceiling` on the diagonal of
    `across`; `other scale` where the background is not the matrix's: no value then, such scores are not comparable.
    key: of the pair; None on the diagonal. p_adjusted: Benjamini–Hochberg, over the comparison.
    """

    value: float | None
    interval: tuple[float, float] | None
    floor: float | None
    verdict: str
    n: tuple[int, int]
    status: str
    key: str | None
    p_adjusted: float | None = None

    @property
    def resolved(self) -> bool:
        """Whether the verdict names a band."""
        return self.value is not None and self.verdict in BAND_NAMES


LabelledPair = tuple[str, str, str, Comparison]
"""(row label, column label, pair key, comparison): the row is the reference's label, the column the candidate's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityMatrix:
    """One comparison under one encoder.

    kind: `across` is symmetric, its diagonal the mean ceiling of each class; `match` sets classes of two datasets
    side by side; `pairs` is any list. cells: by (row label, column label); absent where no pair was asked for.
    background: id of the scale that all values share, None where there is none. seed: of all scores, None where they
    differ.
    """

    name: str
    encoder: str
    kind: MatrixKind
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    background: str | None = None
    seed: int | None = None

    def scored(self) -> list[tuple[str, str, Cell]]:
        """(row, column, cell) of every pair, once each and without the diagonal's ceilings, in the table's order."""
        seen: set[str] = set()
        out = []
        for row in self.rows:
            for column in self.columns:
                cell = self.cells.get((row, column))
                if cell is not None and cell.key is not None and cell.key not in seen:
                    seen.add(cell.key)
                    out.append((row, column, cell))
        return out

    def ranked(self) -> list[tuple[str, str, Cell]]:
        """Those of `scored` that have a value, most similar first; ties by label."""
        with_value = [each for each in self.scored() if each[2].value is not None]
        return sorted(with_value, key=lambda each: (-(each[2].value or 0.0), each[0], each[1]))

    def cluster_order(self) -> tuple[str, ...]:
        """The labels of an `across` matrix so that similar classes stand together; other kinds keep their rows.

        Average linkage on 1 - similarity, leaves ordered optimally (Bar-Joseph 2001). A cell without a value counts
        as far as the farthest one known. Cost: cubic in the number of labels.
        """
        if self.kind != "across" or len(self.rows) < 3:
            return self.rows
        from scipy.cluster.hierarchy import leaves_list, linkage
        from scipy.spatial.distance import squareform

        n = len(self.rows)
        distance = np.full((n, n), np.nan)
        for i, row in enumerate(self.rows):
            for j, column in enumerate(self.rows):
                cell = self.cells.get((row, column))
                if i != j and cell is not None and cell.value is not None:
                    distance[i, j] = 1.0 - cell.value
        known = np.isfinite(distance)
        if not known.any():
            return self.rows
        distance[~known] = distance[known].max()
        np.fill_diagonal(distance, 0.0)
        tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
        return tuple(self.rows[place] for place in leaves_list(tree))


def similarity_matrix(name: str, encoder: str, kind: MatrixKind, pairs: Sequence[LabelledPair]) -> SimilarityMatrix:
    """The matrix of scored pairs; labels keep the order in which they first come.

    Scores under another background than most pairs' have no value here: they are on another scale.
    Raises ValueError where two pairs claim one cell, or a pair is another encoder's.
    """
    strangers = {comparison.encoder for *_, comparison in pairs} - {encoder}
    if strangers:
        raise ValueError(f"{name}: a matrix of {encoder} cannot hold scores of {', '.join(sorted(strangers))}")
    scale = _common_scale(pairs)
    cells: dict[tuple[str, str], Cell] = {}
    for row, column, key, comparison in pairs:
        places = {(row, column), (column, row)} if kind == "across" else {(row, column)}
        for place in places:
            if place in cells:
                raise ValueError(f"{name}: two pairs for {place[0]!r} against {place[1]!r}")
            cells[place] = _cell(key, comparison, scale)
    rows = tuple(dict.fromkeys(row for row, *_ in pairs))
    columns = tuple(dict.fromkeys(column for _, column, *_ in pairs))
    if kind == "across":
        rows = columns = tuple(dict.fromkeys(rows + columns))
        for label in rows:
            cells.setdefault((label, label), _ceiling(label, pairs, scale))
    seeds = {comparison.seed for *_, comparison in pairs}
    return SimilarityMatrix(
        name=name,
        encoder=encoder,
        kind=kind,
        rows=rows,
        columns=columns,
        cells=cells,
        background=scale,
        seed=seeds.pop() if len(seeds) == 1 else None,
    )


def _common_scale(pairs: Iterable[LabelledPair]) -> str | None:
    """The background of most pairs; uncalibrated ones, each on a scale of its own, do not vote."""
    votes = Counter(
        comparison.background.id
        for *_, comparison in pairs
        if comparison.background is not None and comparison.background.calibrated
    )
    return votes.most_common(1)[0][0] if votes else None


def _on_scale(comparison: Comparison, scale: str | None) -> bool:
    return scale is None or comparison.similarity is None or comparison.similarity.background.id == scale


def _cell(key: str, comparison: Comparison, scale: str | None) -> Cell:
    found = comparison.similarity
    comparable = _on_scale(comparison, scale)
    floor = None if found is None else found.floor
    return Cell(
        value=comparison.value if comparable else None,
        interval=_finite(found.interval) if found is not None and comparable else None,
        floor=floor if comparable else None,
        verdict=comparison.verdict.text,
        n=(comparison.reference.n, comparison.candidate.n),
        status=comparison.status if comparable else OTHER_SCALE,
        key=key,
        p_adjusted=None if comparison.family is None else comparison.family.benjamini_hochberg,
    )


def _ceiling(label: str, pairs: Iterable[LabelledPair], scale: str | None) -> Cell:
    """The mean of what random halves of a class score, over the pairs that the class is in."""
    values = []
    size = 0
    for row, column, _, comparison in pairs:
        found = comparison.similarity
        for side, summary, name in (
            (row, comparison.reference, "ceiling_reference"),
            (column, comparison.candidate, "ceiling_candidate"),
        ):
            if side != label:
                continue
            size = max(size, summary.n)
            value = None if found is None else getattr(found, name).value
            if value is not None and _on_scale(comparison, scale):
                values.append(min(1.0, max(0.0, float(value))))
    mean = math.fsum(values) / len(values) if values else None
    return Cell(value=mean, interval=None, floor=None, verdict="", n=(size, size), status=CEILING, key=None)


def _finite(interval: tuple[float, float]) -> tuple[float, float] | None:
    return interval if all(math.isfinite(end) for end in interval) else None
