"""Rows of images: the nearest pairs across the sets, and the images of each side that the other comes least near to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semsim_pipeline.plots.base import PLOTS, Album, PairInput, PairPlot, Picture, Wanted
from semsim_pipeline.plots.nearest import Extremes, Match, extremes
from semsim_pipeline.plots.sheet import COLOURS, DIM, INK, MARGIN, SMALL, WIDTH, Letters, Sheet, Side, footer, header

NAME = "gallery"
SHOWN = 6
THUMB, RIM = 96, 3
TITLE, CELL = 40, THUMB + 2 * RIM + 34
PAIRS_A_ROW = 3
STEP = (WIDTH - 2 * MARGIN + 18) // SHOWN
PAIR_STEP = (WIDTH - 2 * MARGIN + 26) // PAIRS_A_ROW
COPY = "#009E73"
"""Okabe and Ito's bluish green."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryPlan:
    """Which images to show, before any of them was read."""

    pair: PairInput
    seed: int
    found: Extremes

    @property
    def wanted(self) -> Wanted:
        found = self.found
        return Wanted(
            reference=tuple(each.other for each in found.pairs) + tuple(each.row for each in found.far_reference),
            candidate=tuple(each.row for each in found.pairs) + tuple(each.row for each in found.far_candidate),
        )

    def draw(self, album: Album) -> Picture:
        found = self.found
        pair_rows = -(-len(found.pairs) // PAIRS_A_ROW)
        alone = [each for each in (found.far_candidate, found.far_reference) if each]
        body = TITLE * (bool(found.pairs) + len(alone)) + CELL * (pair_rows + len(alone))
        sheet = Sheet(MARGIN + 2 * 30 + 8 + max(body, 60) + 80)
        y = header(sheet, self.pair) + 8
        if not body:
            sheet.text((MARGIN, y + 30), "no image has a direction: every embedding is zero", Letters(colour=DIM))
        if found.pairs:
            y = _title(sheet, y, "nearest pairs: candidate beside reference")
            y = self._pairs(sheet, album, y)
        if found.far_candidate:
            y = _title(sheet, y, "candidate images farthest from the reference")
            y = _row(sheet, album, y, "candidate", found.far_candidate)
        if found.far_reference:
            y = _title(sheet, y, "reference images farthest from the candidate")
            _row(sheet, album, y, "reference", found.far_reference)
        n = f"n = {self.pair.reference.n:,} + {self.pair.candidate.n:,}, all compared; seed {self.seed}"
        footer(sheet, ["number: cosine to the nearest image of the other side", n])
        return Picture(
            name=NAME,
            title="Nearest and farthest images",
            caption=f"{self._in_words()} Exact nearest neighbours by cosine among "
            f"{self.pair.reference.n:,} reference and {self.pair.candidate.n:,} candidate images; nothing is drawn at "
            f"random (seed {self.seed}).",
            alt=f"Rows of small images: pairs of {self.pair.comparison.candidate.name} and "
            f"{self.pair.comparison.reference.name} that are most alike, and those of each that are farthest from the "
            f"other. {self._in_words()}",
            png=sheet.png(),
            width=sheet.width,
            height=sheet.height,
        )

    def _pairs(self, sheet: Sheet, album: Album, y: int) -> int:
        for number, each in enumerate(self.found.pairs):
            x = MARGIN + RIM + number % PAIRS_A_ROW * PAIR_STEP
            top = y + RIM + number // PAIRS_A_ROW * CELL
            rim = COPY if each.copy else None
            sheet.image((x, top), album.of("candidate", each.row), frame=rim or COLOURS["candidate"], rim=RIM)
            beside = x + THUMB + 2 * RIM
            sheet.image((beside, top), album.of("reference", each.other), frame=rim or COLOURS["reference"], rim=RIM)
            said = "exact copy" if each.copy else _cosine(each)
            middle = x + THUMB + RIM
            _under(sheet, (middle, top), said, colour=COPY if each.copy else INK)
        return y + CELL * -(-len(self.found.pairs) // PAIRS_A_ROW)

    def _in_words(self) -> str:
        found = self.found
        said = []
        if found.copies:
            are = "image is" if found.copies == 1 else "images are"
            said.append(f"{found.copies:,} candidate {are} in the reference too, byte for byte (green).")
        near = [each.cosine for each in found.pairs if not each.copy]
        if near:
            said.append(f"The nearest pairs have cosines {min(near):.3f} to {max(near):.3f}.")
        for side, alone in (("candidate", found.far_candidate), ("reference", found.far_reference)):
            if alone:
                said.append(f"The farthest {side} image has {alone[0].cosine:.3f} to its nearest on the other side.")
        return " ".join(said)


def plan(pair: PairInput, seed: int) -> GalleryPlan:
    """Find the nearest and the farthest."""
    ids = (
        pair.reference.selected.rows["image_id"].to_list(),
        pair.candidate.selected.rows["image_id"].to_list(),
    )
    return GalleryPlan(pair=pair, seed=seed, found=extremes(pair.reference.rows, pair.candidate.rows, ids, SHOWN))


def _title(sheet: Sheet, y: int, text: str) -> int:
    sheet.text((MARGIN, y + TITLE / 2 + 2), text, Letters(size=20, bold=True))
    return y + TITLE


def _row(sheet: Sheet, album: Album, y: int, side: Side, alone: Sequence[Match]) -> int:
    for number, each in enumerate(alone):
        x, top = MARGIN + RIM + number * STEP, y + RIM
        sheet.image((x, top), album.of(side, each.row), frame=COLOURS[side], rim=RIM)
        _under(sheet, (x + THUMB // 2, top), _cosine(each), colour=INK)
    return y + CELL


def _under(sheet: Sheet, at: tuple[int, int], said: str, *, colour: str) -> None:
    sheet.text((at[0], at[1] + THUMB + RIM + 16), said, Letters(size=SMALL, colour=colour, across="center"))


def _cosine(each: Match) -> str:
    """Three digits, or as many as tell it from 1, which belongs to equal embeddings."""
    shown = f"{each.cosine:.3f}"
    return f"{each.cosine:.5f}" if shown == "1.000" and each.cosine < 1 else shown


PLOTS.add(
    NAME,
    PairPlot(name=NAME, order=3, summary="the nearest pairs, and the images farthest from the other side", plan=plan),
)
