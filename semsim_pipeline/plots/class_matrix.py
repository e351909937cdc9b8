"""The classes of one set against the classes of the other: a heat map of similarities, matched pairs framed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from semsim_pipeline.comparison.words import classes_lines, match_name
from semsim_pipeline.metrics.class_table import ClassTable
from semsim_pipeline.plots.base import PLOTS, Album, PairInput, PairPlot, Picture, Wanted
from semsim_pipeline.plots.heatmap import shade
from semsim_pipeline.plots.lettering import drawable, short_labels, width_of, wrap
from semsim_pipeline.plots.sheet import (
    COLOURS,
    DIM,
    MARGIN,
    SMALL,
    TEXT,
    WIDTH,
    Across,
    Letters,
    Sheet,
    footer,
    header,
)

NAME = "class_matrix"
MOST_DRAWN = 50
"""Classes of a side above which cells would be specks."""
ROOM_FOR_NUMBERS = 42
LARGEST, LEAST = 64, 11
MOST_LABEL = 0.26
LEGEND, FOOT = 74, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMatrixPlan:
    """A table of classes, and where its cells will lie. cell: pixels across; left: of the first one."""

    pair: PairInput
    table: ClassTable
    cell: int
    left: int
    letters: float

    @classmethod
    def of(cls, pair: PairInput, _seed: int) -> ClassMatrixPlan:
        """The plan of a pair that has a table."""
        table = pair.comparison.classes
        assert table is not None  # `applies` says so
        most = max(len(table.reference_classes), len(table.candidate_classes))
        letters = TEXT if most <= 14 else 17 if most <= 30 else 12
        label = max(width_of(drawable(each), letters) for each in table.reference_classes)
        left = math.ceil(min(label, MOST_LABEL * WIDTH)) + MARGIN + 40
        cell = max(LEAST, min(LARGEST, (WIDTH - left - MARGIN) // len(table.candidate_classes)))
        return cls(pair=pair, table=table, cell=cell, left=left, letters=letters)

    @property
    def wanted(self) -> Wanted:
        return Wanted()

    def draw(self, album: Album) -> Picture:  # noqa: ARG002 - a picture without images
        table = self.table
        rows, columns = len(table.reference_classes), len(table.candidate_classes)
        names = short_labels(table.candidate_classes, 0.3 * WIDTH, self.letters)
        turned = max(width_of(each, self.letters) for each in names) > self.cell - 4
        below = int(max(width_of(each, self.letters) for each in names)) + 16 if turned else 32
        said = wrap(" ".join(classes_lines(self.pair.comparison)), WIDTH - 2 * MARGIN, SMALL)[:3]
        top = MARGIN + 2 * 30 + 10 + 26 * len(said) + 14
        bottom = top + rows * self.cell
        sheet = Sheet(bottom + below + LEGEND + FOOT + 12)
        line_at = header(sheet, self.pair) + 24
        for line in said:
            sheet.text((MARGIN, line_at), line, Letters(size=SMALL, colour=DIM))
            line_at += 26
        least = _least(table)
        self._cells(sheet, top, least)
        for i, name in enumerate(short_labels(table.reference_classes, self.left - MARGIN - 20, self.letters)):
            at = (self.left - 10, top + (i + 0.5) * self.cell)
            sheet.text(at, name, Letters(size=self.letters, colour=COLOURS["reference"], across="right"))
        for j, name in enumerate(names):
            x, y = self.left + (j + 0.5) * self.cell, bottom + (10.0 if turned else 18.0)
            across: Across = "right" if turned else "center"
            letters = Letters(size=self.letters, colour=COLOURS["candidate"], across=across)
            sheet.text((x, y), name, letters, turned=turned)
        right = max(self.left + 240, self.left + columns * self.cell - 2)
        _legend(sheet, bottom + below + 12, (self.left, right), least)
        footer(sheet, [self._footer()])
        return Picture(
            name=NAME,
            title=f"Every {_one(table)} against every other",
            caption=f"Similarity of each reference {_one(table)} (rows) to each of "
            f"the candidate (columns); framed: matched one to one by the least total MMD². "
            f"{' '.join(classes_lines(self.pair.comparison))} {self._footer()}.",
            alt=f"Heat map of {rows} by {columns} {table.word}; "
            f"{', '.join(f'{match_name(m)} {m.similarity:.2f}' for m in table.matches[:20])}.",
            png=sheet.png(),
            width=sheet.width,
            height=sheet.height,
        )

    def _footer(self) -> str:
        sizes = [*self.table.reference_sizes, *self.table.candidate_sizes]
        span = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
        how = "exact kernel" if self.table.exact else "random features, ± 0.02"
        return f"n = {span} a {_one(self.table)}, {how}, seed {self.pair.comparison.seed}"

    def _cells(self, sheet: Sheet, top: int, least: float) -> None:
        side = self.cell - (2 if self.cell >= 24 else 1)
        matched = {(match.reference, match.candidate) for match in self.table.matches}
        corners, colours = [], []
        for i, row in enumerate(self.table.similarities):
            for j, value in enumerate(row):
                corner = (float(self.left + j * self.cell), float(top + i * self.cell))
                if (self.table.reference_classes[i], self.table.candidate_classes[j]) in matched:
                    sheet.box((corner[0] - 3, corner[1] - 3), (side + 6, side + 6), "#d55e00")
                if value is None:
                    sheet.box(corner, (side, side), "#eef1f4", hatch="////")
                    continue
                colour, ink = shade(value, least)
                corners.append(corner)
                colours.append(colour)
                if self.cell >= ROOM_FOR_NUMBERS:
                    middle = (corner[0] + side / 2, corner[1] + side / 2)
                    letters = Letters(size=self.cell * 0.32, colour=ink, across="center")
                    sheet.text(middle, f"{value:.2f}", letters)
        if corners:
            sheet.mosaic(np.array(corners), side, colours)


def _one(table: ClassTable) -> str:
    return "cluster" if table.clustered else "class"


def _least(table: ClassTable) -> float:
    """The lower end of the colours: the tenth below the least value."""
    values = [value for row in table.similarities for value in row if value is not None]
    return min(0.9, max(0.0, int(min(values, default=0.0) * 10) / 10))


def _legend(sheet: Sheet, top: float, ends: tuple[int, int], least: float) -> None:
    steps = 64
    left, right = ends
    width = (right - left) / steps
    for step in range(steps):
        colour, _ = shade(least + (1 - least) * (step + 0.5) / steps, least)
        sheet.box((left + step * width, top), (width + 0.5, 14), colour)
    sheet.text((left, top + 30), f"{least:.1f}", Letters(size=SMALL, colour=DIM))
    sheet.text((right, top + 30), "1 = the same", Letters(size=SMALL, colour=DIM, across="right"))


def applies(pair: PairInput) -> bool:
    """Whether there is a whole table, of a size that can be seen."""
    table = pair.comparison.classes
    return table is not None and 0 < len(table.similarities) <= MOST_DRAWN and len(table.similarities[0]) <= MOST_DRAWN


PLOTS.add(
    NAME,
    PairPlot(
        name=NAME,
        order=4,
        summary="every class against every other, matched pairs framed, where both sides have labels",
        plan=ClassMatrixPlan.of,
        applies=applies,
    ),
)
