"""What a whole comparison found, in a sentence and a few points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semsim_pipeline.comparison.matrix import BAND_NAMES, Cell, SimilarityMatrix
from semsim_pipeline.metrics.verdict import ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """sentence: how many pairs under which encoder. points: the extremes, what is resolved, what is missing."""

    sentence: str
    points: tuple[str, ...]


def headline_of(matrix: SimilarityMatrix) -> Headline:
    """The headline of one matrix; pairs without a score are counted, never ranked."""
    scored = matrix.scored()
    ranked = matrix.ranked()
    count = f"{len(scored):,} pair{'' if len(scored) == 1 else 's'} under {matrix.encoder}"
    if not ranked:
        return Headline(sentence=f"{count}: none has a score.", points=())
    mean = sum(cell.value or 0.0 for *_, cell in ranked) / len(ranked)
    what = f"{count}: mean similarity {mean:.3f}" if len(ranked) > 1 else count
    points = [f"Most similar: {_pair(ranked[0])}."]
    if len(ranked) > 1:
        points.append(f"Least similar: {_pair(ranked[-1])}.")
    points.append(_resolved([cell for *_, cell in ranked]))
    points.extend(_different([cell for *_, cell in scored]))
    missing = len(scored) - len(ranked)
    if missing:
        points.append(f"{missing:,} {'has' if missing == 1 else 'have'} no score on this scale.")
    return Headline(sentence=f"{what}.", points=tuple(points))


def _pair(found: tuple[str, str, Cell]) -> str:
    row, column, cell = found
    name = row if row == column else f"{row} and {column}"
    interval = "" if cell.interval is None else f", 95\u00a0% {cell.interval[0]:.3f} to {cell.interval[1]:.3f}"
    return f"{name}, {cell.value or 0.0:.3f} ({cell.verdict}{interval})"


def _resolved(cells: Sequence[Cell]) -> str:
    """How many verdicts the intervals allow, and which they are."""
    named = [cell.verdict for cell in cells if cell.resolved]
    counts = {name: named.count(name) for name in sorted(BAND_NAMES, key=_order) if name in named}
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    if len(named) == len(cells):
        return f"All are resolved: {said}."
    return f"{len(named):,} of {len(cells):,} are resolved{': ' + said if said else ''}; the others name no band."


def _different(cells: Sequence[Cell]) -> list[str]:
    """How many pairs differ beyond chance once all tests count; nothing for a pair alone."""
    p_values = [cell.p_adjusted for cell in cells if cell.p_adjusted is not None]
    if len(p_values) < 2:
        return []
    count = sum(p <= ALPHA for p in p_values)
    return [
        f"{count:,} of {len(p_values):,} differ beyond chance (p adjusted over all tests, Benjamini–Hochberg, "
        f"{ALPHA:.0%})."
    ]


def _order(name: str) -> int:
    from semsim_pipeline.metrics.verdict import BANDS

    return [band for _, band in BANDS].index(name)
