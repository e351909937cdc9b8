"""Scores as a list, best first: a dot with its interval and its floor, one line a pair."""

from __future__ import annotations

from collections.abc import Sequence

from semsim_pipeline.comparison.matrix import Cell, SimilarityMatrix
from semsim_pipeline.plots.base import Picture
from semsim_pipeline.plots.lettering import drawable, shorten, width_of
from semsim_pipeline.plots.sheet import COLOURS, DIM, FAINT, INK, MARGIN, SMALL, WIDTH, Letters, Sheet, footer

NAME = "heatmap"
LINE = 36
MOST_LINES = 80
LETTERS = 20
MOST_LABEL = 0.36
NUMBER, INTERVAL = 66, 150


def draw_list(matrix: SimilarityMatrix) -> Picture:
    """A `match` or `pairs` comparison; of more than 80 pairs the 40 best and 40 worst."""
    scored = matrix.ranked() + [each for each in matrix.scored() if each[2].value is None]
    left_out = max(0, len(scored) - MOST_LINES)
    lines = scored if not left_out else scored[: MOST_LINES // 2] + scored[-MOST_LINES // 2 :]
    labels = [drawable(row if row == column else f"{row} → {column}") for row, column, _ in lines]
    room = min(max((width_of(each, LETTERS) for each in labels), default=0), MOST_LABEL * WIDTH)
    left, right = MARGIN + room + 22, WIDTH - MARGIN - NUMBER - INTERVAL - 26
    top = MARGIN + 96
    sheet = Sheet(int(top + max(1, len(lines)) * LINE + (LINE if left_out else 0) + 96))
    sheet.text((MARGIN, MARGIN + 14), matrix.name, Letters(size=24, bold=True), most=WIDTH - 2 * MARGIN)
    what = "similarity class by class" if matrix.kind == "match" else "similarity of each pair"
    sheet.text(
        (MARGIN, MARGIN + 46), f"{what}; {matrix.encoder}", Letters(size=SMALL, colour=DIM), most=WIDTH - 2 * MARGIN
    )
    least = _least(lines)
    bottom = top + max(1, len(lines)) * LINE + (LINE if left_out else 0)
    _axis(sheet, (left, right), (top, bottom), least)
    if not lines:
        sheet.text((MARGIN, top + LINE / 2), "no pairs", Letters(colour=DIM))
    y = top + LINE / 2
    for number, ((_, _, cell), label) in enumerate(zip(lines, labels, strict=True)):
        if left_out and number == MOST_LINES // 2:
            sheet.text((left - 14, y), f"… {left_out:,} more …", Letters(size=SMALL, colour=DIM, across="right"))
            y += LINE
        sheet.text((left - 14, y), shorten(label, room, LETTERS), Letters(size=LETTERS, across="right"))
        _mark(sheet, cell, y, (left, right), least)
        y += LINE
    footer(sheet, ["dot: score; line: 95 % interval; tick: floor", _counted(matrix)])
    return Picture(
        name=NAME,
        title=f"{matrix.name}: {what}",
        caption=f"{ends_in_words(matrix)} Each dot is a score with its 95 % interval; the grey tick is its floor, "
        f"what unrelated sets that diverse would score. {_counted(matrix)}.",
        alt=f"{len(scored):,} scores under {matrix.encoder}, most similar first. {ends_in_words(matrix)}",
        png=sheet.png(),
        width=sheet.width,
        height=sheet.height,
    )


def _least(lines: list[tuple[str, str, Cell]]) -> float:
    """Where the axis begins: the tenth below all that is drawn, at most 0.9."""
    drawn = [1.0]
    for *_, cell in lines:
        drawn += [each for each in (cell.value, cell.floor) if each is not None]
        drawn += [cell.interval[0]] if cell.interval is not None else []
    return max(0.0, min(0.9, int(min(drawn) * 10 - 1e-9) / 10))


def _axis(sheet: Sheet, across: tuple[float, float], down: tuple[float, float], least: float) -> None:
    ticks = [least, least + (1 - least) / 2, 1.0]
    for tick in ticks:
        x = _place(tick, across, least)
        sheet.line((x, down[0]), (x, down[1]), colour=FAINT, width=1.5)
        sheet.text(
            (x, down[0] - 16), f"{tick:.2f}".rstrip("0").rstrip("."), Letters(size=SMALL, colour=DIM, across="center")
        )


def _mark(sheet: Sheet, cell: Cell, y: float, across: tuple[float, float], least: float) -> None:
    end = sheet.width - MARGIN
    if cell.value is None:
        sheet.text(
            (across[0] + 8, y), cell.verdict or "no score", Letters(size=SMALL, colour=DIM), most=end - across[0] - 8
        )
        return
    if cell.floor is not None and 0 <= cell.floor <= 1:
        x = _place(cell.floor, across, least)
        sheet.line((x, y - 9), (x, y + 9), colour="#8a95a0", width=3)
    if cell.interval is not None:
        low, high = (_place(value, across, least) for value in cell.interval)
        sheet.line((low, y), (high, y), colour=COLOURS["reference"], width=4)
    sheet.spot((_place(cell.value, across, least), y), COLOURS["reference"], size=11)
    sheet.text((across[1] + 12 + NUMBER, y), f"{cell.value:.3f}", Letters(size=LETTERS, colour=INK, across="right"))
    if cell.interval is not None:
        said = f"{cell.interval[0]:.3f} to {cell.interval[1]:.3f}"
        sheet.text((end, y), said, Letters(size=SMALL, colour=DIM, across="right"))


def _place(value: float, across: tuple[float, float], least: float) -> float:
    return across[0] + min(1.0, max(0.0, (value - least) / (1 - least))) * (across[1] - across[0])


def ends_in_words(matrix: SimilarityMatrix) -> str:
    """The most and the least similar pair."""
    ranked = matrix.ranked()
    if not ranked:
        return "No pair has a score."
    ends = (("Most", ranked[0]), ("Least", ranked[-1]))
    return " ".join(
        f"{what} similar: {row if row == column else f'{row} and {column}'} ({cell.value:.3f})."
        for what, (row, column, cell) in ends[: len(ranked)]
    )


def _counted(matrix: SimilarityMatrix) -> str:
    scored = matrix.scored()
    sizes = [n for *_, cell in scored for n in cell.n]
    if not sizes:
        return "0 pairs"
    span = span_of(sizes)
    missing = sum(cell.value is None for *_, cell in scored)
    return f"{len(scored):,} {'pair' if len(scored) == 1 else 'pairs'}, n = {span} a side{seed_of(matrix)}" + (
        f", {missing:,} without a score" if missing else ""
    )


def seed_of(matrix: SimilarityMatrix) -> str:
    """`, seed 0` where all scores share it."""
    return "" if matrix.seed is None else f", seed {matrix.seed}"


def span_of(sizes: Sequence[int]) -> str:
    """`174 to 183`, one number where both are the same.

    >>> span_of([20, 1500]), span_of([7, 7]), span_of([])
    ('20 to 1,500', '7', '0')
    """
    if not sizes:
        return "0"
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
