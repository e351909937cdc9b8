"""`semsim rescore`: bring every pair of the catalogue up to date, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from semsim_pipeline.cli.options import quiet_option

if TYPE_CHECKING:
    from semsim_pipeline.defs.inprocess import Rescored

FAILURES_SHOWN = 20


@click.command()
@click.option("--comparison", metavar="C", help="Only this comparison of the catalogue.")
@quiet_option
def rescore(comparison: str | None, quiet: bool) -> int:
    """Bring every pair of the catalogue up to date: only what changed is computed.

    \b
    Example: semsim rescore
             semsim rescore --comparison digit-classes

    Scans the datasets, embeds new images, scores the pairs whose images changed, draws, and writes the reports, all in
    one process and recorded in Dagster. One pair that fails leaves the others alone.
    """
    from semsim_pipeline.home import ensure_home

    return bring_up_to_date(ensure_home(), comparison, quiet=quiet, started_by="semsim rescore")


def bring_up_to_date(home: Path, comparison: str | None, *, quiet: bool, started_by: str) -> int:
    """Run the graph over the catalogue of `home` and print what came out; the exit code."""
    import os
    import time

    from semsim_pipeline.catalog import load_catalog
    from semsim_pipeline.cli.output import stdout
    from semsim_pipeline.cli.overview import print_overview
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.stages.workspace import known

    began = time.perf_counter()
    catalog = load_catalog(home)
    elsewhere = os.environ.get("DAGSTER_HOME")
    if elsewhere and Path(elsewhere).resolve() != (home / "dagster").resolve():
        click.echo(f"DAGSTER_HOME={elsewhere} is left alone; this run is recorded in {home / 'dagster'}.", err=True)
    if comparison is not None:
        known(catalog.comparisons, "comparison", comparison)  # a typo is said before Dagster starts
    if not quiet:
        click.echo("Starting Dagster …", err=True)
    with shown(quiet=quiet) as progress:
        from semsim_pipeline.defs.inprocess import rescore_in_process

        found = rescore_in_process(home, progress, comparison, {"semsim/started_by": started_by})
    console = stdout()
    print_overview(console, catalog, home, comparison)
    console.print(
        f"{found.current:,} partitions are current, {found.computed:,} computed now, "
        f"{time.perf_counter() - began:.0f} s.",
        style="dim",
    )
    _say_failures(found)
    console.print(f"Dagster's UI on these runs:  {_ui_command(home)}", markup=False)
    return 1 if found.failures else 0


def _say_failures(found: Rescored) -> None:
    for line in found.failures[:FAILURES_SHOWN]:
        click.echo(f"semsim: {line}", err=True)
    if len(found.failures) > FAILURES_SHOWN:
        click.echo(
            f"semsim: and {len(found.failures) - FAILURES_SHOWN} more; the run in Dagster's UI has all.", err=True
        )


def _ui_command(home: Path) -> str:
    import shlex

    from semsim_pipeline.home import semsim_home

    return "semsim ui" if home == semsim_home() else f"SEMSIM_HOME={shlex.quote(str(home))} semsim ui"
