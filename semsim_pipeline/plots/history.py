"""A pair's score over time: the value with its interval as a band, and a mark where one of its inputs changed."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from semsim_pipeline.plots.base import Picture
from semsim_pipeline.plots.lettering import DPI, font_for, shorten
from semsim_pipeline.plots.sheet import COLOURS, DIM, FAINT, INK, MARGIN, PAPER, SMALL, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

NAME = "history"
HEIGHT = 480
BOX = (0.115, 0.14, 0.855, 0.51)
"""Of the axes, as shares of the sheet: left, bottom, width, height."""
LEAST_SPAN = 0.05
"""Of the vertical axis: noise in the third decimal must not look like a landslide."""
ROOM = 0.06
"""Left of the first score and right of the last, as a share of the time between."""
INPUT_MARKS = {"reference": "o", "candidate": "^", "metric code": "s", "encoder": "D", "background": "P"}
OTHER, OTHER_MARK, PLAIN = "other", "X", "score"
INPUT_COLOURS = {"reference": COLOURS["reference"], "candidate": COLOURS["candidate"], "metric code": "#009E73",
                 "encoder": "#CC79A7", "background": "#8a6d00"}  # fmt: skip
"""Okabe and Ito's, as everywhere; shape tells them apart as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One score that was valid. at: UTC, ISO 8601. value, interval: None where there was none. changed: the names of
    the inputs that differ from the score before."""

    order: int
    at: str
    value: float | None
    interval: tuple[float, float] | None
    changed: tuple[str, ...]


def draw_history(key: str, points: Sequence[HistoryPoint]) -> Picture:
    """The picture of one pair's past. Nothing is drawn at random.

    A score holds until the next one, so the line goes in steps. Points stand at their times; where the clock went
    backwards, or stood still, they stand in their order, and the axis says so.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    axes = figure.add_axes(BOX)
    moments = _moments(points)
    places = [float(point.order) for point in points] if moments is None else moments
    end = _frame(axes, points, places, by_time=moments is not None)
    _steps(axes, points, [*places, end])
    _marks(axes, points, places)
    _legend(axes)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        _set(text, SMALL - 1, DIM)
    said = in_words(points)
    _heading(figure, key, said)
    return Picture(
        name=NAME,
        title="The score over time",
        caption=f"{said} The band is the 95 % interval of each score; marks show which inputs changed.",
        alt=f"{key}: {said}",
        png=_png(figure),
        width=WIDTH,
        height=HEIGHT,
    )


def in_words(points: Sequence[HistoryPoint]) -> str:
    """How many scores, the last one, and the least and the greatest."""
    values = [point.value for point in points if point.value is not None]
    count = f"{len(points)} score{'' if len(points) == 1 else 's'}"
    if not values:
        return f"{count}, none with a value."
    if len(points) == 1:
        return f"{count}: {values[0]:.3f}."
    last = "the last without a value" if points[-1].value is None else f"the last {points[-1].value:.3f}"
    return f"{count} from {min(values):.3f} to {max(values):.3f}, {last}."


def _moments(points: Sequence[HistoryPoint]) -> list[float] | None:
    """Times as matplotlib's days; None where one cannot be read, or is not after the one before."""
    from matplotlib.dates import date2num

    try:
        found = [datetime.fromisoformat(point.at).astimezone(UTC) for point in points]
    except ValueError:
        return None
    if any(later <= earlier for earlier, later in pairwise(found)):
        return None
    return [float(date2num(moment)) for moment in found]  # type: ignore[no-untyped-call]


def _frame(axes: Axes, points: Sequence[HistoryPoint], places: Sequence[float], *, by_time: bool) -> float:
    """Limits, ticks and grid; returns where the last score's step ends."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    span = (places[-1] - places[0]) or 1.0
    end = places[-1] + ROOM * span
    axes.set_xlim(places[0] - ROOM * span, end)
    low, high = _range(points)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if by_time:
        locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        _set(axes.xaxis.get_offset_text(), SMALL - 1, DIM)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _set(axes.set_xlabel("order (the clock did not go forwards)"), SMALL - 1, DIM)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(DIM)
    return end


def _range(points: Sequence[HistoryPoint]) -> tuple[float, float]:
    shown = [point.value for point in points if point.value is not None]
    shown += [end for point in points if point.value is not None for end in point.interval or ()]
    if not shown:
        return 0.0, 1.0
    low, high = min(shown), max(shown)
    room = max(LEAST_SPAN - (high - low), 0.12 * (high - low)) / 2
    return low - room, high + room


def _steps(axes: Axes, points: Sequence[HistoryPoint], edges: Sequence[float]) -> None:
    """Value and interval from each score to the next; a gap where there was no value."""
    values = [math.nan if point.value is None else point.value for point in points]
    for point, start, end in zip(points, edges, edges[1:], strict=False):
        if point.value is not None and point.interval is not None:
            low, high = point.interval
            axes.bar(start, high - low, end - start, low, align="edge", color="#b5d4ee", alpha=0.75, lw=0)
    axes.step(edges, [*values, values[-1]], where="post", color=INK, lw=1.6)


def _marks(axes: Axes, points: Sequence[HistoryPoint], places: Sequence[float]) -> None:
    """A small dot for each score, and a mark for each kind of input that changed; in the legend once."""
    where: dict[str, list[tuple[float, float]]] = {PLAIN: []}
    for point, place in zip(points, places, strict=True):
        if point.value is None:
            continue
        kinds = dict.fromkeys(name if name in INPUT_MARKS else OTHER for name in point.changed) or {PLAIN: None}
        for kind in kinds:
            where.setdefault(kind, []).append((place, point.value))
    for order, kind in enumerate((PLAIN, *INPUT_MARKS, OTHER)):
        spots = where.get(kind)
        if not spots:
            continue
        plain = kind == PLAIN
        # Several inputs may change at once: the marks nest, the later ones smaller.
        size = 5.0 if plain else 14.0 - 1.3 * order
        axes.plot(
            *zip(*spots, strict=True), ls="none", marker="o" if plain else INPUT_MARKS.get(kind, OTHER_MARK), ms=size,
            color=INK if plain else INPUT_COLOURS.get(kind, "#56626e"), markeredgecolor=PAPER, markeredgewidth=1.0,
            label=None if plain else kind, clip_on=False, zorder=3 + 0.1 * order,
        )  # fmt: skip


def _legend(axes: Axes) -> None:
    if not axes.get_legend_handles_labels()[1]:
        return
    font = font_for("", SMALL - 1)
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(-0.09, 1.01), ncols=3, frameon=False, handletextpad=0.2, columnspacing=1.2,
        borderaxespad=0.0, prop=font, title="changed since the score before:", title_fontproperties=font,
        alignment="left", labelcolor=INK,
    )  # fmt: skip
    legend.get_title().set_color(DIM)


def _heading(figure: Figure, key: str, said: str) -> None:
    room = WIDTH - 2 * MARGIN
    shown = shorten(key, room, SMALL + 1, bold=True)
    figure.text(
        MARGIN / WIDTH, 1 - 30 / HEIGHT, shown, color=INK, fontproperties=font_for(shown, SMALL + 1, bold=True),
        va="center", parse_math=False,
    )  # fmt: skip
    figure.text(MARGIN / WIDTH, 1 - 58 / HEIGHT, said, color=DIM, fontproperties=font_for(said, SMALL), va="center")


def _set(text: Text, size: float, colour: str) -> None:
    text.set_fontproperties(font_for(text.get_text(), size))
    text.set_color(colour)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
