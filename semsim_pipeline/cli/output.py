"""What comparisons print: JSON, or a table that a person can read without knowing the metrics."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from semsim_pipeline.addresses import without_secrets
from semsim_pipeline.comparison.words import (
    agreement_of_all,
    classes_lines,
    evidence,
    interval_text,
    number,
    ordered_metrics,
    p_value_text,
    said_of,
)
from semsim_pipeline.errors import WorkError
from semsim_pipeline.report.files import json_text, write_whole

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from semsim_pipeline.comparison.results import Comparison

WIDTH_WITHOUT_TERMINAL = 120
BAR = 44


def report(results: Sequence[Comparison], json_to: str | None) -> None:
    """Print one or several comparisons (several encoders), as JSON and/or as tables.

    The tables come first: an answer that cost an hour is not lost because a file cannot be written.
    Raises WorkError where the JSON file cannot be written.
    """
    if json_to == "-":
        click.echo(json_text(results), nl=False)
        return
    console = stdout()
    for result in results:
        _print(console, result)
    if len(results) > 1:
        console.print(_side_by_side(results))
        for line in agreement_of_all(results):
            console.print()
            console.print(escape(line))
    if json_to is not None:
        write_whole(Path(json_to), json_text(results))


def check_writable(json_to: str | None, report_dir: Path | None = None) -> None:
    """Raises WorkError, before any work, where the places of the results cannot be written as far as one can tell."""
    places = [] if json_to in {None, "-"} else [("--json", Path(str(json_to)))]
    places += [] if report_dir is None else [("--report", report_dir)]
    for option, path in places:
        if option == "--json" and path.is_dir():
            raise WorkError(f"{option} {path} is a folder; give a file.")
        folder = path if option == "--report" else path.absolute().parent
        while option == "--report" and not folder.exists() and folder != folder.parent:
            folder = folder.absolute().parent  # a report makes its folders
        if not folder.is_dir():
            raise WorkError(f"{option} {path} cannot be written: there is no folder {folder}.")
        if not os.access(folder if not path.is_file() else path, os.W_OK):
            raise WorkError(f"{option} {path} cannot be written: permission denied.")


def say_what_is_missing(results: Sequence[Comparison]) -> None:
    """One line on stderr for each headline without a value, so that a script's log says why."""
    for result in results:
        if result.value is None:
            why = result.reason or result.verdict.reason
            click.echo(f"semsim: no score for {result.encoder}: {why}", err=True)


def exit_code(results: Sequence[Comparison], fail_under: float | None) -> int:
    """1 where a headline could not be computed at all, or is not at least `fail_under`; else 0."""
    if any(result.status == "not_computed" for result in results):
        return 1
    if fail_under is None:
        return 0
    low = [r for r in results if r.value is None or r.value < fail_under]
    for result in low:
        shown = "no value" if result.value is None else f"{result.value:.4f}"
        click.echo(f"semsim: {result.encoder}: {shown}, below --fail-under {fail_under:g}", err=True)
    return 1 if low else 0


def stdout() -> Console:
    """A console on stdout; a fixed width where there is no terminal, so that logs and tests are stable."""
    import sys

    from rich.console import Console

    # No emoji: a `:cat:` in a name is that name, not a picture.
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False, emoji=False)


def bare_table(title: str | None = None) -> Table:
    """A table without lines, as every command prints one."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    if title is not None:
        table.title, table.title_justify, table.title_style = escape(title), "left", "bold"
    return table


def _print(console: Console, result: Comparison) -> None:
    from rich.text import Text

    a, b = result.reference, result.candidate
    console.print(Text.assemble((without_secrets(a.name), "bold"), "  against  ", (without_secrets(b.name), "bold")))
    failed = f", {a.failed + b.failed:,} unreadable" if a.failed + b.failed else ""
    overlap = f", {result.overlap:,} in both" if result.overlap else ""
    console.print(f"{a.n:,} and {b.n:,} images{overlap}{failed} · encoder {escape(result.encoder)}", style="dim")
    console.print()
    for caution in result.cautions:
        if caution.kind != "too_few":  # the headline itself says that
            console.print(f"[yellow]Before the score: {escape(caution.message)}.[/]")
    for line in headline_lines(result):
        console.print(line)
    console.print()
    console.print(_card(result))
    console.print()
    for line in classes_lines(result):
        console.print(escape(line))
    if result.classes is not None:
        console.print()


def headline_lines(result: Comparison) -> list[str]:
    """The headline in words: score, interval, verdict, a bar from floor to ceiling, and what they mean."""
    found = result.similarity
    if found is None:
        return [f"[bold]Similarity: not computed[/] — {escape(str(result.reason))}"]
    low, high = found.interval
    shown = "no value" if found.value is None else f"{found.value:.3f}"
    lines = [f"[bold]Similarity {shown}[/]  (95 %: {low:.3f} to {high:.3f})  →  [bold]{result.verdict.text}[/]"]
    if found.floor is not None and math.isfinite(found.floor):
        lines.append(bar(found.raw, found.interval, found.floor))
        ceilings = [c.value for c in (found.ceiling_reference, found.ceiling_candidate) if c.value is not None]
        best = f"; random halves of one set score {min(ceilings):.3f}" if ceilings else ""
        lines.append(
            f"[dim]1 = the same distribution; unrelated sets this diverse score {found.floor:.3f} (floor){best}.[/]"
        )
    lines.append(f"[dim]{p_value_text(result)}: {evidence(result)}.[/]")
    if found.sampled is not None:
        one, other = found.sampled
        lines.append(
            f"[yellow]What compares all pairs of images uses a seeded sample of {one:,} reference and {other:,} "
            "candidate images.[/]"
        )
    reason = found.reason or result.verdict.reason
    if reason:
        lines.append(f"[yellow]{escape(reason)}.[/]")
    if result.verdict.images_needed:
        lines.append(f"[yellow]About {result.verdict.images_needed:,} independent images a side would resolve it.[/]")
    if result.background is not None:
        s2, source = result.background.bandwidth, escape(result.background.source)
        lines.append(f"[dim]Scale: s² = {s2:.4g} from {source} (background {result.background.id}).[/]")
    return lines


def bar(raw: float, interval: tuple[float, float], floor: float) -> str:
    """The score between 0 and 1 as a line of characters: ░ below the floor, ─ above, ━ the interval, ● the score.

    >>> bar(0.9, (0.8, 1.0), 0.5)[:3]
    '0 ░'
    """

    def place(value: float) -> int:
        return round(min(1.0, max(0.0, value)) * (BAR - 1))

    cells = ["░" if i < place(floor) else "─" for i in range(BAR)]
    for i in range(place(interval[0]), place(interval[1]) + 1):
        cells[i] = "━"
    cells[place(raw)] = "●"
    return f"0 {''.join(cells)} 1"


def _card(result: Comparison) -> Table:
    table = bare_table()
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    table.add_column("if equal", justify="right", no_wrap=True)
    table.add_column("what it says", style="dim")
    for facts, value in ordered_metrics(result):
        shown = "–" if value.value is None else number(value.value)
        expected = "" if value.null is None else number(value.null)
        table.add_row(facts.name, shown, interval_text(value), expected, escape(said_of(facts, value)))
    return table


def _side_by_side(results: Sequence[Comparison]) -> Table:
    """Several encoders: each against its own scale; scores of different backgrounds are listed, never ranked."""
    table = bare_table("By encoder")
    for column in ("encoder", "similarity", "95 %", "floor", "adjusted p", "verdict", "background"):
        table.add_column(column)
    for result in results:
        found = result.similarity
        table.add_row(
            escape(result.encoder),
            "–" if result.value is None else f"{result.value:.3f}",
            "" if found is None else f"{found.interval[0]:.3f} … {found.interval[1]:.3f}",
            "" if found is None or found.floor is None else f"{found.floor:.3f}",
            "" if result.family is None else f"{result.family.benjamini_hochberg:.2g}",
            result.verdict.text,
            "" if result.background is None else result.background.id,
        )
    return table
