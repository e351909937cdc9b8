"""The score with its interval on the scale of verdicts: floor, bands, and what random halves of each side score."""

from __future__ import annotations

import math
from dataclasses import dataclass

from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.metrics.similarity import Similarity
from semsim_pipeline.metrics.verdict import BANDS
from semsim_pipeline.plots.base import PLOTS, Album, PairInput, PairPlot, Picture, Wanted
from semsim_pipeline.plots.lettering import width_of, wrap
from semsim_pipeline.plots.sheet import (
    COLOURS,
    DIM,
    INK,
    MARGIN,
    SIDES,
    SMALL,
    TEXT,
    WIDTH,
    Letters,
    Sheet,
    footer,
    header,
)

NAME = "scale"
HEIGHT = 380
TOP, BAR = 212, 42
ROOM_FOR_CAPS = 30
SHADES = ("#4292c6", "#7fb6e0", "#b5d4ee", "#dbe9f6", "#eef2f5")
"""Of the bands, best first."""
PLAIN = "#eef2f5"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePlan:
    """Nothing to work out ahead, no images."""

    pair: PairInput
    seed: int

    @property
    def wanted(self) -> Wanted:
        return Wanted()

    def draw(self, album: Album) -> Picture:  # noqa: ARG002 - a picture without images
        result = self.pair.comparison
        found = result.similarity
        sheet = Sheet(HEIGHT)
        y = header(sheet, self.pair)
        drawable = found is not None and math.isfinite(found.raw)
        if found is None or not drawable:
            _no_score(sheet, result, y + 40)
        else:
            _score(sheet, result, found, y + 44)
            _scale(sheet, found)
        n = f"n = {self.pair.reference.n:,} + {self.pair.candidate.n:,}, seed {result.seed}, encoder {result.encoder}"
        footer(sheet, [n])
        return Picture(
            name=NAME,
            title="The score on its scale",
            caption=f"{in_words(result)} {n}.",
            alt=f"{result.candidate.name} against {result.reference.name}: {in_words(result)}",
            png=sheet.png(),
            width=sheet.width,
            height=sheet.height,
        )


def in_words(result: Comparison) -> str:
    """Score, interval, floor, ceilings and verdict in one or two sentences; never NaN."""
    found = result.similarity
    if found is None or not math.isfinite(found.raw):
        return f"No score: {(result.reason or result.verdict.reason or 'it could not be computed').rstrip('.')}."
    said = ["Similarity without a value" if found.value is None else f"Similarity {found.value:.3f}"]
    if all(math.isfinite(end) for end in found.interval):
        said.append(f"95 % interval {found.interval[0]:.3f} to {found.interval[1]:.3f}")
    if found.floor is not None and math.isfinite(found.floor):
        said.append(f"unrelated sets this diverse score {found.floor:.3f} (the floor)")
    halves = [
        f"{ceiling.value:.3f} ({side})"
        for ceiling, side in zip((found.ceiling_reference, found.ceiling_candidate), SIDES, strict=True)
        if ceiling.value is not None
    ]
    if halves:
        said.append(f"random halves of one side score {' and '.join(halves)}")
    return f"{'; '.join(said)}. Verdict: {result.verdict.text}."


def _no_score(sheet: Sheet, result: Comparison, y: float) -> None:
    sheet.text((MARGIN, y), "no score", Letters(size=34, bold=True))
    reason = result.reason or result.verdict.reason or ""
    y += 12
    for line in wrap(reason, sheet.width - 2 * MARGIN, TEXT)[:4]:
        y += 32
        sheet.text((MARGIN, y), line, Letters(colour=DIM))


def _score(sheet: Sheet, result: Comparison, found: Similarity, y: float) -> None:
    shown = "no value" if found.value is None else f"{found.value:.3f}"
    sheet.text((MARGIN, y), shown, Letters(size=44, bold=True))
    x = MARGIN + width_of(shown, 44, bold=True) + 22
    sheet.text((x, y - 13), result.verdict.text, Letters(size=23, bold=True), most=sheet.width - MARGIN - x)
    if all(math.isfinite(end) for end in found.interval):
        sheet.text((x, y + 17), f"95 %: {found.interval[0]:.3f} to {found.interval[1]:.3f}", Letters(colour=DIM))
    else:
        sheet.text((x, y + 17), "no interval at this n", Letters(colour=DIM))


def place(value: float) -> float:
    """A value of S in pixels from the left; what exceeds 0 or 1 by noise stays at the end."""
    return MARGIN + min(1.0, max(0.0, value)) * (WIDTH - 2 * MARGIN)


def _scale(sheet: Sheet, found: Similarity) -> None:
    floor = found.floor if found.floor is not None and 0 <= found.floor < 1 else None
    if floor is None:
        sheet.box((place(0), TOP), (place(1) - place(0), BAR), PLAIN)
    else:
        _bands(sheet, floor)
        x = place(floor)
        sheet.line((x, TOP - 8), (x, TOP + BAR + 8), dash="--", width=2)
        half = width_of(f"floor {floor:.2f}", SMALL) / 2
        x = min(max(x, MARGIN + 30 + half), sheet.width - MARGIN - 30 - half)
        sheet.text((x, TOP + BAR + 28), f"floor {floor:.2f}", Letters(size=SMALL, across="center"))
    for ceiling, side in zip((found.ceiling_reference, found.ceiling_candidate), SIDES, strict=True):
        if ceiling.value is not None:
            x = place(ceiling.value)
            sheet.line((x, TOP - 9), (x, TOP - 1), colour=COLOURS[side], width=4)
    middle = TOP + BAR / 2
    if all(math.isfinite(end) for end in found.interval):
        sheet.line((place(found.interval[0]), middle), (place(found.interval[1]), middle), width=6)
        if place(found.interval[1]) - place(found.interval[0]) > ROOM_FOR_CAPS:
            for end in found.interval:
                sheet.line((place(end), middle - 9), (place(end), middle + 9), width=3)
    sheet.spot((place(found.raw), middle), INK, size=15)
    sheet.text((MARGIN, TOP + BAR + 28), "0", Letters(size=SMALL, colour=DIM))
    sheet.text((sheet.width - MARGIN, TOP + BAR + 28), "1", Letters(size=SMALL, colour=DIM, across="right"))
    _halves_in_words(sheet, found)


def _bands(sheet: Sheet, floor: float) -> None:
    upper = 1.0
    for (bound, name), shade in zip(BANDS, SHADES, strict=True):
        lower = floor + max(bound, 0.0) * (1 - floor) if math.isfinite(bound) else 0.0
        x, end = place(lower), place(upper)
        sheet.box((x, TOP), (end - x, BAR), shade)
        if width_of(name, SMALL) < end - x - 8:
            sheet.text(((x + end) / 2, TOP - 24), name, Letters(size=SMALL, colour=DIM, across="center"))
        upper = lower


def _halves_in_words(sheet: Sheet, found: Similarity) -> None:
    halves = [
        (side, f"{ceiling.value:.3f}")
        for ceiling, side in zip((found.ceiling_reference, found.ceiling_candidate), SIDES, strict=True)
        if ceiling.value is not None
    ]
    y = TOP + BAR + 62
    if found.value is None and found.reason:
        sheet.text((MARGIN, y), found.reason, Letters(size=SMALL, colour=DIM), most=sheet.width - 2 * MARGIN)
        return
    if not halves:
        return
    said = "random halves of one side: "
    sheet.text((MARGIN, y), said, Letters(size=SMALL, colour=DIM))
    x = MARGIN + width_of(said, SMALL)
    for side, value in halves:
        text = f"{side} {value}"
        sheet.text((x, y), text, Letters(size=SMALL, colour=COLOURS[side]))
        x += width_of(text, SMALL) + 18


PLOTS.add(
    NAME,
    PairPlot(
        name=NAME,
        order=1,
        summary="the score with its interval, floor, ceilings and bands",
        plan=lambda pair, seed: ScalePlan(pair=pair, seed=seed),
    ),
)
