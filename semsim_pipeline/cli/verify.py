"""`semsim verify`: whether the store is whole."""

from __future__ import annotations

import click

from semsim_pipeline.cli.options import quiet_option


@click.command(short_help="Whether everything under SEMSIM_HOME is whole.")
@click.option(
    "--repair",
    is_flag=True,
    help="Remove what is damaged, so that the next run makes it again.",
)
@quiet_option
def verify(repair: bool, quiet: bool) -> int:
    """Read everything under SEMSIM_HOME and name what is wrong, a line each; exit 1 where anything is.

    \b
    Example: semsim verify
             semsim verify --repair && semsim rescore

    Every byte of every embedding is read: checksums, finite numbers, the right width, names that match what is in the
    files, manifests, scores and histories that point to what is there, pictures that open. With --repair only what
    could not be repaired counts.
    """
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.home import ensure_home
    from semsim_pipeline.stages.verify import verify_home

    home = ensure_home()
    found = left = 0
    with shown(quiet=quiet) as progress:
        for problem in verify_home(home, progress, repair=repair):
            found += 1
            left += not problem.repaired
            click.echo(problem.line)
    if found == 0:
        click.echo(f"{home} is whole.")
    else:
        repaired = f", {found - left:,} of them repaired" if repair else ""
        click.echo(f"{found:,} problems{repaired}.")
    return 1 if left else 0
