"""A white sheet measured in pixels: text, marks and images on it become one small PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.plots.lettering import DPI, drawable, font_for, shorten, width_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from semsim_pipeline.plots.base import PairInput

WIDTH = 720
"""Twice the width of a phone's page: text of 22 pixels is 11 there."""
MARGIN = 20
TITLE, TEXT, SMALL = 24, 21, 19
LINE = 30

INK, DIM, FAINT, PAPER = "#1b2530", "#56626e", "#d5dbe1", "#ffffff"
COLOURS = {"reference": "#0072B2", "candidate": "#D55E00"}
"""Okabe and Ito's blue and vermilion: apart for every kind of colour vision, and different in lightness."""
MARKERS = {"reference": "o", "candidate": "^"}
PALETTE = 256
NEARLY_WHITE = 250

Side = Literal["reference", "candidate"]
SIDES: tuple[Side, Side] = ("reference", "candidate")
Across = Literal["left", "center", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """How a line is set. size: pixels. across: which of its ends the point given is."""

    size: float = TEXT
    colour: str = INK
    across: Across = "left"
    bold: bool = False


class Sheet:
    """Coordinates are pixels from the top left corner. One figure of its own, no global state."""

    def __init__(self, height: int, width: int = WIDTH) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure: Figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
        self._axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0, width), ylim=(height, 0))
        self._axes.set_axis_off()
        self._pasted: list[tuple[int, int, NDArray[np.uint8]]] = []

    def text(
        self,
        at: tuple[float, float],
        text: str,
        letters: Letters | None = None,
        *,
        most: float | None = None,
        turned: bool = False,
    ) -> None:
        """One line, its middle at the height given. most: pixels it may take; longer text is shortened. turned: reads
        upwards."""
        letters = letters or Letters()
        shown = drawable(text) if most is None else shorten(text, most, letters.size, bold=letters.bold)
        self._axes.text(
            *at,
            shown,
            color=letters.colour,
            fontproperties=font_for(shown, letters.size, bold=letters.bold),
            ha=letters.across,
            va="center" if turned else "center_baseline",
            rotation=90 if turned else 0,
            rotation_mode="anchor" if turned else "default",
            parse_math=False,
        )

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        colour: str = INK,
        width: float = 2,
        dash: str = "-",
    ) -> None:
        """A straight line; width in pixels."""
        self._axes.plot(
            [start[0], end[0]], [start[1], end[1]], color=colour, lw=width * 72 / DPI, ls=dash, solid_capstyle="round"
        )

    def box(
        self, corner: tuple[float, float], size: tuple[float, float], colour: str, *, hatch: str | None = None
    ) -> None:
        """A filled rectangle; hatched in grey where `hatch` is given."""
        from matplotlib.patches import Rectangle

        self._axes.add_patch(
            Rectangle(corner, *size, facecolor=colour, edgecolor="#9aa5b0" if hatch else "none", lw=0, hatch=hatch)
        )

    def mosaic(self, corners: NDArray[np.float64], side: float, colours: Sequence[str]) -> None:
        """Many filled squares at once; corners [k, 2]."""
        from matplotlib.collections import PolyCollection

        square = np.array([[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]])
        shapes = corners[:, None, :] + square[None]
        self._axes.add_collection(
            PolyCollection(shapes, facecolors=colours, edgecolors="none", antialiaseds=False), autolim=False
        )

    def dots(self, points: NDArray[np.float64], side: Side, *, size: float = 9, alpha: float = 1.0) -> None:
        """Marks of a side's shape and colour at points [k, 2]; size in pixels across."""
        grown = size * (1.12 if MARKERS[side] == "^" else 1.0)  # a triangle of equal width looks smaller than a disc
        self._axes.scatter(
            points[:, 0], points[:, 1], s=(grown * 72 / DPI) ** 2, c=COLOURS[side], marker=MARKERS[side],
            alpha=alpha, linewidths=0,
        )  # fmt: skip

    def spot(self, at: tuple[float, float], colour: str, *, size: float = 16) -> None:
        """A disc with a white rim."""
        self._axes.plot(
            [at[0]], [at[1]], "o", ms=size * 72 / DPI, color=colour, markeredgecolor=PAPER, markeredgewidth=1.2
        )

    def image(
        self, corner: tuple[int, int], pixels: NDArray[np.uint8], *, frame: str | None = None, rim: int = 3
    ) -> None:
        """Pixels pasted as they are, never resampled, over everything else; with a frame `rim` pixels wide around."""
        x, y = corner
        if frame is not None:
            height, width = pixels.shape[:2]
            framed = np.empty((height + 2 * rim, width + 2 * rim, 3), dtype=np.uint8)
            framed[:] = rgb(frame)
            framed[rim:-rim, rim:-rim] = pixels
            x, y, pixels = x - rim, y - rim, framed
        self._pasted.append((x, y, pixels))

    def png(self) -> bytes:
        """The file: at most 256 colours, no date, no program name."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()  # type: ignore[no-untyped-call] # matplotlib leaves its Agg canvas unannotated
        drawn: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call] # the same
        pixels = drawn[:, :, :3].copy()
        for x, y, pasted in self._pasted:
            pixels[y : y + len(pasted), x : x + pasted.shape[1]] = pasted
        image = Image.fromarray(pixels)
        # The octree is six times as fast as the median cut, and off by one level on average. It rounds white down.
        kept = image.quantize(PALETTE, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        palette = kept.getpalette() or []
        kept.putpalette([255 if level >= NEARLY_WHITE else level for level in palette])
        file = io.BytesIO()
        kept.save(file, "PNG", optimize=False, compress_level=6)
        return file.getvalue()


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as numbers.

    >>> rgb("#ff0080")
    (255, 0, 128)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def header(sheet: Sheet, pair: PairInput) -> int:
    """Both sides by mark, name and n at the top; returns the height at which they end."""
    y = MARGIN + LINE // 2
    for side, said in zip(SIDES, sides_in_words(pair), strict=True):
        count = f"{(pair.reference if side == 'reference' else pair.candidate).n:,}"
        sheet.dots(np.array([[MARGIN + 9.0, y]]), side, size=17)
        room = sheet.width - 2 * MARGIN - 30 - 14 - width_of(count, TEXT)
        sheet.text((MARGIN + 28, y), said, Letters(colour=COLOURS[side], bold=True), most=room)
        sheet.text((sheet.width - MARGIN, y), count, Letters(colour=DIM, across="right"))
        y += LINE
    return y - LINE // 2


def sides_in_words(pair: PairInput) -> tuple[str, str]:
    """The names as the header shows them, the reference first."""
    return f"reference: {pair.comparison.reference.name}", f"candidate: {pair.comparison.candidate.name}"


def footer(sheet: Sheet, lines: Sequence[str]) -> None:
    """Small lines at the very bottom: method, n, seed."""
    y = sheet.height - MARGIN - 12 - (len(lines) - 1) * 25
    for line in lines:
        sheet.text((MARGIN, y), line, Letters(size=SMALL, colour=DIM), most=sheet.width - 2 * MARGIN)
        y += 25
