"""`semsim rescore`: bring every pair of the catalogue up to date, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semsim_pipeline.cli.options import quiet_option

if TYPE_CHECKING:
    from semsim_pipeline.defs.inprocess import Rescored
    from semsim_pipeline.defs.watch import Failed

FAILURES_SHOWN = 20
WAITING_SHOWN = 3
"""So many partitions that one failure kept from being done are named; more are counted by stage."""


@click.command()
@click.option("--comparison", metavar="C", help="Only this comparison of the catalogue.")
@click.option(
    "--catalog",
    metavar="FILE",
    help="This catalogue, in a home of its own (SEMSIM_HOME/experiments/NAME): a file or a packaged experiment.",
)
@click.option(
    "--fail-on-drift", is_flag=True, help="Exit with 1 where a score moved beyond its interval or is below a threshold."
)
@quiet_option
def rescore(comparison: str | None, catalog: str | None, fail_on_drift: bool, quiet: bool) -> int:
    """Bring every pair of the catalogue up to date: only what changed is computed.

    \b
    Example: semsim rescore
             semsim rescore --comparison digit-classes
             semsim rescore --catalog data/experiments/cifar10_classes.yaml

    Scans the datasets, embeds new images, scores the pairs whose images changed, draws, and writes the reports, all in
    one process and recorded in Dagster. One pair that fails leaves the others alone.
    """
    from semsim_pipeline.catalog.experiment import experiment_home, find_catalog
    from semsim_pipeline.home import ensure_home

    home = ensure_home()
    if catalog is not None:
        home = experiment_home(find_catalog(catalog), home)
    return bring_up_to_date(home, comparison, quiet=quiet, started_by="semsim rescore", fail_on_drift=fail_on_drift)


def bring_up_to_date(
    home: Path, comparison: str | None, *, quiet: bool, started_by: str, fail_on_drift: bool = False
) -> int:
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
    news = _say_warnings(found)
    console.print(f"Dagster's UI on these runs:  {_ui_command(home)}", markup=False)
    return 1 if found.failures or (news and fail_on_drift) else 0


def _say_warnings(found: Rescored) -> int:
    """A line for each score that drifted or is too low, one for all that was merely noticed; how many the former."""
    from collections import Counter

    news = [check for check in found.warned if check.facts.alert]
    for check in news[:FAILURES_SHOWN]:
        click.echo(f"semsim: {check.facts.name} failed for {check.partition}: {check.message}", err=True)
    if len(news) > FAILURES_SHOWN:
        click.echo(f"semsim: and {len(news) - FAILURES_SHOWN} more scores that drifted or are too low.", err=True)
    # What is behind is told by the failures above.
    noticed = Counter(
        check.facts.name for check in found.warned if not check.facts.alert and check.facts.stage != "report"
    )
    if noticed:
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(noticed.items()))
        click.echo(f"semsim: checks that did not pass (`semsim ui` and the reports say why): {counts}.", err=True)
    if found.untold is not None:
        click.echo(f"semsim: {found.untold}", err=True)
    return len(news)


def _say_failures(found: Rescored) -> None:
    lines = _folded(found.failures)
    for line in lines[:FAILURES_SHOWN]:
        click.echo(f"semsim: {line}", err=True)
    if len(lines) > FAILURES_SHOWN:
        click.echo(f"semsim: and {len(lines) - FAILURES_SHOWN} more lines; the run in Dagster's UI has all.", err=True)


def _folded(failures: Sequence[Failed]) -> list[str]:
    """What one failure kept from being done is one line with counts, where it would be more than a few."""
    from collections import Counter, defaultdict

    waiting: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
    for each in failures:
        waiting[each.waits_for][each.stage] += 1
    lines: dict[str, None] = {}
    for each in failures:
        stages = waiting[each.waits_for]
        if each.waits_for is None or stages.total() <= WAITING_SHOWN:
            lines[each.line] = None
            continue
        counts = ", ".join(f"{number:,} {stage}" for stage, number in stages.items())
        lines[f"not done, because {each.waits_for} failed: {counts}"] = None
    return list(lines)


def _ui_command(home: Path) -> str:
    import shlex

    from semsim_pipeline.home import semsim_home

    return "semsim ui" if home == semsim_home() else f"SEMSIM_HOME={shlex.quote(str(home))} semsim ui"
