"""`semsim history`: a pair's scores over time, and what changed between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from semsim_pipeline.stages.history import Past


@click.command(short_help="A pair's scores over time, and what changed.")
@click.argument("pair")
@click.option(
    "--json", "json_to", metavar="FILE|-", help="Write the history as JSON; `-` writes it to stdout and no table."
)
@click.option("--plot", "plot_to", metavar="FILE.png", type=click.Path(path_type=Path), help="Draw it as a PNG.")
def history(pair: str, json_to: str | None, plot_to: Path | None) -> None:
    """Print every score that a pair of the catalogue ever had, the oldest first, with the inputs that changed.

    \b
    Example: semsim history digits.3~digits.8@classical
             semsim history digits.3~digits.8@classical --plot history.png

    PAIR is a key as `semsim status` prints it. Times are UTC, and say since when a score was the valid one. A pair
    that was removed from the catalogue keeps its history.
    """
    from semsim_pipeline.cli.output import check_writable, stdout
    from semsim_pipeline.home import semsim_home
    from semsim_pipeline.report.files import write_whole
    from semsim_pipeline.stages.history import as_json, history_of, picture_of
    from semsim_pipeline.store.writer import atomic_file

    check_writable(json_to)
    past = history_of(semsim_home(), pair)
    if plot_to is not None:
        with atomic_file(plot_to.absolute()) as file:
            file.write(picture_of(pair, past).png)
    if json_to is not None:
        text = json.dumps(as_json(pair, past), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if json_to == "-":
            click.echo(text, nl=False)
            return
        write_whole(Path(json_to), text)
    stdout().print(_table(past))


def _table(past: Sequence[Past]) -> Table:
    from rich.markup import escape

    from semsim_pipeline.cli.output import bare_table

    table = bare_table()
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("since (UTC)", no_wrap=True)
    table.add_column("similarity", justify="right", no_wrap=True)
    table.add_column("95 %", justify="right", no_wrap=True)
    table.add_column("verdict")
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("changed since the one before", overflow="fold", style="dim")
    for each in past:
        table.add_row(
            str(each.event.order),
            each.event.at[:19].replace("T", " "),
            "–" if each.value is None else f"{each.value:.4f}",
            "" if each.interval is None else f"{each.interval[0]:.3f} … {each.interval[1]:.3f}",
            escape(each.verdict),
            "" if each.n is None else f"{each.n[0]:,} + {each.n[1]:,}",
            escape("\n".join(change.text for change in each.changed)),
        )
    return table
