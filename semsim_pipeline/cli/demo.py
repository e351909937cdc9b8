"""`semsim demo`: the whole pipeline on what is packaged, without a network."""

from __future__ import annotations

import click

from semsim_pipeline.cli.options import quiet_option


@click.command()
@quiet_option
def demo(quiet: bool) -> int:
    """Run the whole pipeline on handwritten digits and on digits generated from them; needs no network.

    \b
    Example: semsim demo
             semsim demo && semsim ui

    Compares every two classes of digits, and real against generated digits, overall and class by class: 56 pairs, from
    the list of images to the report, recorded in Dagster. Run again, it computes nothing: every stage is cached.
    """
    from semsim_pipeline.catalog import catalog_path
    from semsim_pipeline.catalog.load import PACKAGED
    from semsim_pipeline.cli.rescore import bring_up_to_date
    from semsim_pipeline.home import ensure_home

    home = ensure_home()
    own = catalog_path(home)
    if own.exists() and own.read_bytes() != PACKAGED.read_bytes():
        # The home has a catalogue of its own; the demo must neither run that one nor touch it.
        home = ensure_home(home / "demo")
    return bring_up_to_date(home, None, quiet=quiet, started_by="semsim demo")
