"""`semsim datasets`: files ahead of time."""

from __future__ import annotations

import click

from semsim_pipeline.cli.options import quiet_option


@click.group(short_help="Fetch a dataset's files ahead of time.")
def datasets() -> None:
    """Prepare datasets that come over a network.

    \b
    Example: semsim datasets fetch cifar10
    """


@datasets.command(short_help="Download a dataset's files.")
@click.argument("spec")
@quiet_option
def fetch(spec: str, *, quiet: bool) -> None:
    """Bring the files of SPEC (a name, an address, with an optional view) to this machine; later runs need no network.

    \b
    Example: semsim datasets fetch cifar10
             semsim datasets fetch "huggingface:OWNER/NAME@main[split=train]"
             semsim datasets fetch https://host/photos.zip

    Interrupt it whenever you like: the next run goes on where it stopped. What is here already, and is what its server
    has, is not fetched again. SEMSIM_MIRROR names a folder or an address that is tried first.
    """
    from semsim_pipeline.addresses import without_secrets
    from semsim_pipeline.catalog import open_named
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.datasets import base

    view = open_named(spec)
    with shown(quiet=quiet) as progress:
        base.fetch(view.source, progress)
    count = sum(1 for _ in view.select())
    click.echo(f"{without_secrets(view.name)}: {count:,} images are on this machine")
