"""The scores of a whole comparison in one picture: a heat map of classes, or a list of scores with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from semsim_pipeline.comparison.matrix import SimilarityMatrix
from semsim_pipeline.plots.base import Picture
from semsim_pipeline.plots.lettering import drawable, short_labels, width_of
from semsim_pipeline.plots.score_list import draw_list, ends_in_words, seed_of
from semsim_pipeline.plots.sheet import DIM, INK, MARGIN, PAPER, SMALL, TEXT, WIDTH, Letters, Sheet, footer

NAME = "heatmap"
COLOUR_MAP = "viridis"
"""Perceptually uniform, and readable to colour-blind eyes; it tells the middle apart better than cividis."""
WIDEST = 1500
LEAST_CELL = 16
ROOM_FOR_NUMBERS = 42
MOST_LABEL = 0.24
"""Share of the width that row labels may take."""
LEGEND = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Where the cells lie. cell: pixels across; left, top: of the first one."""

    cell: int
    left: int
    top: int
    width: int
    letters: float


def draw_heatmap(matrix: SimilarityMatrix) -> Picture:
    """The picture of a comparison: `across` as a heat map ordered by likeness, other kinds as a list by score.

    A picture of nothing says so. Nothing is drawn at random.
    """
    if matrix.kind != "across":
        return draw_list(matrix)
    labels = matrix.cluster_order()
    grid = _grid(labels)
    names = short_labels(labels, grid.left - MARGIN - 12, grid.letters)
    turned = any(width_of(each, grid.letters) > grid.cell - 4 for each in names)
    below = int(max((width_of(each, grid.letters) for each in names), default=0)) + 14 if turned else 30
    bottom = grid.top + grid.cell * len(labels)
    sheet = Sheet(bottom + below + LEGEND + 75, grid.width)
    sheet.text((MARGIN, MARGIN + 14), matrix.name, Letters(size=24, bold=True), most=grid.width - 2 * MARGIN)
    what = f"similarity of every two classes; {matrix.encoder}"
    sheet.text((MARGIN, MARGIN + 46), what, Letters(size=SMALL, colour=DIM), most=grid.width - 2 * MARGIN)
    least = _least(matrix)
    _cells(sheet, matrix, labels, grid, least)
    every = max(1, -(-int(grid.letters + 3) // grid.cell))
    for place, name in enumerate(names):
        if place % every:
            continue
        middle = (place + 0.5) * grid.cell
        sheet.text((grid.left - 8, grid.top + middle), name, Letters(size=grid.letters, across="right"))
        at = (grid.left + middle, bottom + (10 if turned else 18))
        sheet.text(at, name, Letters(size=grid.letters, across="right" if turned else "center"), turned=turned)
    _legend(sheet, bottom + below + 8, (grid.left, grid.left + grid.cell * max(1, len(labels)) - 2), least)
    footer(sheet, _counted(matrix))
    return Picture(
        name=NAME,
        title=f"{matrix.name}: every class against every other",
        caption=f"{ends_in_words(matrix)} Classes are ordered so that similar ones stand together; the diagonal is "
        f"what random halves of one class score (its ceiling). {'; '.join(_counted(matrix))}.",
        alt=f"Heat map of {len(labels)} classes by {len(labels)} under {matrix.encoder}. {ends_in_words(matrix)}",
        png=sheet.png(),
        width=sheet.width,
        height=sheet.height,
    )


def _grid(labels: tuple[str, ...]) -> _Grid:
    n = max(1, len(labels))
    letters = TEXT if n <= 14 else 17 if n <= 30 else 13
    label = max((width_of(drawable(each), letters) for each in labels), default=0)
    width = WIDTH
    cell = 0
    while cell < LEAST_CELL and width <= WIDEST:
        left = math.ceil(min(label, MOST_LABEL * width)) + MARGIN + 13
        cell = min(84, (width - left - MARGIN) // n)
        width = width if cell >= LEAST_CELL else width + 60
    cell = max(cell, 4)
    return _Grid(cell=cell, left=left, top=MARGIN + 76, width=max(WIDTH, left + cell * n + MARGIN), letters=letters)


def _least(matrix: SimilarityMatrix) -> float:
    """The lower end of the colours: the tenth below the least value."""
    values = [cell.value for cell in matrix.cells.values() if cell.value is not None]
    return min(0.9, int(min(values, default=0.0) * 10) / 10)


def _cells(sheet: Sheet, matrix: SimilarityMatrix, labels: tuple[str, ...], grid: _Grid, least: float) -> None:
    side = grid.cell - (2 if grid.cell >= 30 else 1)
    letters = min(20.0, grid.cell * 0.36)
    corners, colours = [], []
    for i, row in enumerate(labels):
        for j, column in enumerate(labels):
            cell = matrix.cells.get((row, column))
            corner = (float(grid.left + j * grid.cell), float(grid.top + i * grid.cell))
            if cell is None or cell.value is None:
                sheet.box(corner, (side, side), "#eef1f4", hatch="////")
                continue
            colour, ink = shade(cell.value, least)
            corners.append(corner)
            colours.append(colour)
            if grid.cell >= ROOM_FOR_NUMBERS:
                middle = (corner[0] + side / 2, corner[1] + side / 2)
                sheet.text(middle, f"{cell.value:.2f}", Letters(size=letters, colour=ink, across="center"))
    if corners:
        sheet.mosaic(np.array(corners), side, colours)


def shade(value: float, least: float) -> tuple[str, str]:
    """The colour of a value between `least` and 1, and a colour that can be read on it."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    red, green, blue, _ = colormaps[COLOUR_MAP](min(1.0, max(0.0, (value - least) / (1 - least))))
    # Which of the two inks differs more in lightness.
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    return to_hex((red, green, blue)), INK if light > 0.5 else PAPER


def _legend(sheet: Sheet, top: float, ends: tuple[int, int], least: float) -> None:
    steps = 64
    left, right = ends
    width = (right - left) / steps
    for step in range(steps):
        colour, _ = shade(least + (1 - least) * (step + 0.5) / steps, least)
        sheet.box((left + step * width, top), (width + 0.5, 16), colour)
    sheet.text((left, top + 32), f"{least:.1f}", Letters(size=SMALL, colour=DIM))
    sheet.text((right, top + 32), "1 = the same", Letters(size=SMALL, colour=DIM, across="right"))


def _counted(matrix: SimilarityMatrix) -> list[str]:
    """n, floors and what has no value, in words."""
    scored = matrix.scored()
    sizes = [n for *_, cell in scored for n in cell.n]
    floors = [cell.floor for *_, cell in scored if cell.floor is not None]
    missing = sum(cell.value is None for *_, cell in scored)
    span = (
        f"{min(sizes):,}"
        if sizes and min(sizes) == max(sizes)
        else f"{min(sizes):,} to {max(sizes):,}"
        if sizes
        else "0"
    )
    first = f"{len(scored):,} {'pair' if len(scored) == 1 else 'pairs'}, n = {span} a class{seed_of(matrix)}"
    if missing:
        first += f", {missing:,} without a score (hatched)"
    out = [first]
    if floors:
        ends = f"{min(floors):.2f}", f"{max(floors):.2f}"
        span = ends[0] if ends[0] == ends[1] else " to ".join(ends)
        out.append(f"unrelated classes this diverse would score {span} (floors)")
    return out
