"""A map of both sides on one canvas: near means alike to the encoder; some images stand in their places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.plots.base import PLOTS, Album, PairInput, PairPlot, Picture, Wanted
from semsim_pipeline.plots.layout import Layout, layout_of
from semsim_pipeline.plots.placing import place_beside
from semsim_pipeline.plots.sheet import COLOURS, MARGIN, SIDES, WIDTH, Sheet, Side, footer, header
from semsim_pipeline.seeding import generator

NAME = "embedding_map"
TALLEST, LOWEST = 600, 300
THUMB, RIM = 48, 3
BOX = THUMB + 2 * RIM
EDGE = 40
"""Around the points, so that there is room for images beside the outermost."""
STRETCH = 1.2
MOST_THUMBS = 24
FEW, MANY = 40, 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """An image that stands beside its place. point: that place's index. corner: of its frame, within the field."""

    side: Side
    row: int
    point: int
    corner: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapPlan:
    """points: pixels within the field, [k, 2], the reference's first. field: its height."""

    pair: PairInput
    seed: int
    layout: Layout
    points: NDArray[np.float64]
    field: int
    shown: tuple[Shown, ...]

    @property
    def wanted(self) -> Wanted:
        rows = {side: tuple(each.row for each in self.shown if each.side == side) for side in SIDES}
        return Wanted(reference=rows["reference"], candidate=rows["candidate"])

    def draw(self, album: Album) -> Picture:
        sheet = Sheet(self.field + 2 * MARGIN + 4 * 30 + 14)
        top = header(sheet, self.pair) + 10
        at = self.points + np.array([0.0, top])
        cut = len(self.layout.reference)
        k = len(at)
        size = 15 if k < FEW else 10 if k < MANY else 7.5
        for each in self.shown:
            middle = (each.corner[0] + BOX / 2, each.corner[1] + top + BOX / 2)
            sheet.line((at[each.point][0], at[each.point][1]), middle, colour=COLOURS[each.side], width=1.5)
        # Half of each side first, then the other halves: neither side lies on top of the other everywhere.
        places = {"reference": at[:cut], "candidate": at[cut:]}
        for half in (0, 1):
            for side in SIDES:
                sheet.dots(places[side][half::2], side, size=size, alpha=0.75)
        for each in self.shown:
            x, y = each.corner[0] + RIM, each.corner[1] + RIM + top
            sheet.image((x, y), album.of(each.side, each.row, THUMB), frame=COLOURS[each.side], rim=RIM)
        said = self._drawn_in_words()
        footer(sheet, [f"{self.layout.method}, seed {self.seed}", said])
        return Picture(
            name=NAME,
            title="Map of both sets",
            caption=f"Images that the encoder finds alike lie close together; {said} are drawn "
            f"({self.layout.method}, seed {self.seed}). Distances between far groups mean little, the axes nothing.",
            alt=f"A scatter of the images of {self.pair.comparison.reference.name} (blue discs) and "
            f"{self.pair.comparison.candidate.name} (orange triangles) in two dimensions.",
            png=sheet.png(),
            width=sheet.width,
            height=sheet.height,
        )

    def _drawn_in_words(self) -> str:
        parts = []
        drawn = (len(self.layout.reference), len(self.layout.candidate))
        for side, count in zip(SIDES, drawn, strict=True):
            n = (self.pair.reference if side == "reference" else self.pair.candidate).n
            parts.append(f"{count:,} of {n:,} {side}" if count < n else f"all {n:,} {side}")
        return f"{' and '.join(parts)} images"


def plan(pair: PairInput, seed: int) -> MapPlan:
    """Lay the map out and choose the images that stand on it."""
    layout = layout_of(pair.reference.rows, pair.candidate.rows, seed)
    points, field = on_field(layout.points)
    return MapPlan(
        pair=pair, seed=seed, layout=layout, points=points, field=field, shown=choose(layout, points, field, seed)
    )


def on_field(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Places in pixels and the field's height: as wide as the sheet, one direction stretched by a fifth at most."""
    reach = np.abs(points).max(axis=0)
    across, down = ((length / 2 - EDGE) / max(each, 1e-9) for length, each in zip((WIDTH, TALLEST), reach, strict=True))
    scale = np.minimum([across, down], STRETCH * min(across, down))
    height = int(max(LOWEST, min(TALLEST, 2 * (reach[1] * scale[1] + EDGE))))
    return points * scale + np.array([WIDTH / 2, height / 2]), height


def choose(layout: Layout, points: NDArray[np.float64], field: int, seed: int) -> tuple[Shown, ...]:
    """Images of both sides in turn, in a seeded order, each where there is room."""
    cut = len(layout.reference)
    draw = generator(seed, "embedding map", "thumbnails")
    sides = (draw.permutation(cut), cut + draw.permutation(len(points) - cut))
    order = [int(side[step]) for step in range(max(map(len, sides))) for side in sides if step < len(side)]
    shown = []
    for each in place_beside(points, order, BOX, (WIDTH, field), MOST_THUMBS):
        of_reference = each.point < cut
        row = layout.reference[each.point] if of_reference else layout.candidate[each.point - cut]
        side: Side = "reference" if of_reference else "candidate"
        shown.append(Shown(side=side, row=int(row), point=each.point, corner=each.corner))
    return tuple(shown)


PLOTS.add(
    NAME,
    PairPlot(name=NAME, order=2, summary="a map (t-SNE) of both sides, some images beside their places", plan=plan),
)
