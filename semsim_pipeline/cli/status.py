"""`semsim status`: which scores are fresh, and what changed under those that are not."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from semsim_pipeline.stages.status import PairStatus

ORDER = ("failed", "stale", "missing", "fresh")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@click.option("--check", is_flag=True, help="Exit with 1 unless every pair is fresh.")
def status(as_json: bool, check: bool) -> int:
    """Say for each pair of the catalogue whether its score is for what is there now, and if not, what changed.

    \b
    Example: semsim status
             semsim status --json
             semsim status --check || semsim rescore

    Datasets are listed again (files that did not change are not read); nothing is embedded or scored.
    """
    from semsim_pipeline.cli.output import stdout
    from semsim_pipeline.stages.status import status_of
    from semsim_pipeline.stages.workspace import Workspace

    found = status_of(Workspace.open())
    if as_json:
        pairs = {key: {"state": each.state, **({"why": each.why} if each.why else {})} for key, each in found.items()}
        click.echo(json.dumps({"pairs": pairs}, indent=2, ensure_ascii=False))
    else:
        _print(stdout(), found)
    return 1 if check and any(each.state != "fresh" for each in found.values()) else 0


def _print(console: Console, found: dict[str, PairStatus]) -> None:
    from rich.markup import escape

    from semsim_pipeline.cli.output import bare_table

    counts = Counter[str](each.state for each in found.values())
    said = ", ".join(f"{counts[state]:,} {state}" for state in ORDER if counts[state])
    console.print(f"{len(found):,} pairs: {said or 'none in the catalogue'}.")
    rest = [(key, each) for key, each in found.items() if each.state != "fresh"]
    if not rest:
        return
    table = bare_table()
    table.add_column("pair", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("why", overflow="fold")
    for key, each in sorted(rest, key=lambda entry: ORDER.index(entry[1].state)):
        table.add_row(escape(key), each.state, escape(each.why))
    console.print(table)
    console.print("Bring them up to date: semsim rescore", style="dim")
