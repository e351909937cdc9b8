"""The scores of a catalogue in the terminal: a table for each comparison, the telling rows of a long one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from semsim_pipeline.addresses import without_secrets
from semsim_pipeline.catalog import Catalog, Comparison
from semsim_pipeline.comparison.published import beside
from semsim_pipeline.comparison.results import Comparison as Result
from semsim_pipeline.comparison.score_store import StoredScore
from semsim_pipeline.stages.score_store import current_score

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MOST_ROWS = 12
ENDS = 4


def print_overview(console: Console, catalog: Catalog, home: Path, only: str | None = None) -> None:
    """Every comparison's scores, highest first, and where its report is; a long table shows both its ends."""
    from semsim_pipeline.stages.matrix import in_family
    from semsim_pipeline.stages.report import report_file

    for comparison in catalog.comparisons.values():
        if only is not None and comparison.name != only:
            continue
        found = {key: score for key in comparison.pairs if (score := current_score(home, key)) is not None}
        scores = in_family(found)
        if not scores:
            console.print(f"{_title(comparison)}: no score yet.\n", style="bold", markup=False)
            continue
        console.print(_table(comparison, dict(sorted(scores.items(), key=lambda each: _place(each[1])))))
        for key, theirs in comparison.published.items():
            if key in scores:
                said = f"{' against '.join(comparison.labels[key])}: {beside(theirs, scores[key].comparison).text}"
                console.print(said, markup=False, soft_wrap=True)
        page = report_file(home, comparison.name)
        if page.exists():
            console.print(f"Report: {page}", style="bold", markup=False, soft_wrap=True)
        console.print()


def _place(score: StoredScore) -> float:
    """Highest first, those without a value last."""
    return 1.0 if score.comparison.value is None else -score.comparison.value


def _title(comparison: Comparison) -> str:
    return f"{comparison.title} ({len(comparison.pairs)} pairs)" if len(comparison.pairs) > 1 else comparison.title


def _table(comparison: Comparison, scores: Mapping[str, StoredScore]) -> Table:
    from semsim_pipeline.cli.output import bare_table

    several = len(comparison.encoders) > 1
    table = bare_table(_title(comparison))
    for column in ("reference", "candidate", *(["encoder"] if several else [])):
        table.add_column(column)
    for column in ("similarity", "95 %", "floor", *(["adjusted p"] if len(scores) > 1 else [])):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict")
    gap = len(scores) - 2 * ENDS if len(scores) > MOST_ROWS else 0
    for place, score in enumerate(scores.values()):
        if gap and place == ENDS:
            table.add_row(f"… {gap} more …", style="dim")
        if gap and ENDS <= place < len(scores) - ENDS:
            continue
        found = score.comparison
        headline = found.similarity
        table.add_row(
            escape(without_secrets(found.reference.name)),
            escape(without_secrets(found.candidate.name)),
            *([escape(found.encoder)] if several else []),
            "–" if found.value is None else f"{found.value:.3f}",
            "" if headline is None else f"{headline.interval[0]:.3f} … {headline.interval[1]:.3f}",
            "" if headline is None or headline.floor is None else f"{headline.floor:.3f}",
            *([_adjusted(found)] if len(scores) > 1 else []),
            escape(found.verdict.text),
        )
    return table


def _adjusted(found: Result) -> str:
    return "" if found.family is None else f"{found.family.benjamini_hochberg:.2g}"
