"""`semsim encoders`: weights ahead of time, and backgrounds."""

from __future__ import annotations

import click

from semsim_pipeline.cli.options import quiet_option


@click.group(short_help="Fetch an encoder's weights; measure its background.")
def encoders() -> None:
    """Prepare encoders: fetch weights ahead of time, calibrate a background on your own domain.

    \b
    Example: semsim encoders fetch clip-vit-b-32
             semsim encoders calibrate classical --panel my_panel
    """


@encoders.command(short_help="Download weights ahead of time.")
@click.argument("encoder")
@click.option("--update", is_flag=True, help="Take what is published now, whatever was recorded before.")
def fetch(encoder: str, update: bool) -> None:
    """Download the weights of ENCODER into its library's cache, so that later runs need no network.

    \b
    Example: semsim encoders fetch dinov2-s-14
             semsim encoders fetch clip-vit-b-32@COMMIT

    Prints size, revision, digest and licence. The revision is recorded under SEMSIM_HOME: from then on the name means
    these weights, and others in their place are refused, until --update.
    """
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.encoders.network import fetched
    from semsim_pipeline.encoders.resolve import resolve_encoder

    chosen = resolve_encoder(encoder)
    with shown(quiet=False) as progress:
        found = fetched(chosen, update=update, progress=progress)
    if found is None:
        click.echo(f"{chosen.name} computes its features and has no weights to fetch.")
        return
    click.echo(f"{chosen.name}: {found.path}")
    click.echo(f"size: {found.size / 1e6:,.1f} MB")
    if found.revision:
        click.echo(f"revision: {found.revision}")
    click.echo(f"sha256: {found.sha256}")
    click.echo(f"licence: {chosen.facts.licence}")


@encoders.command(short_help="Measure a background on a panel of images.")
@click.argument("encoder")
@click.option(
    "--panel", default="panel-1", show_default=True, metavar="SPEC", help="Labelled images, unrelated classes."
)
@quiet_option
def calibrate(encoder: str, panel: str, quiet: bool) -> None:
    """Measure what unrelated images look like to ENCODER; later scores of it use this scale.

    \b
    Example: semsim encoders calibrate classical --panel "xrays[limit=2000]"

    The panel is a dataset with at least five labels (one folder a category). Scores under different backgrounds are
    not comparable; each result names its background.
    """
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.comparison.backgrounds import calibrate as measure
    from semsim_pipeline.encoders.resolve import resolve_encoder

    chosen = resolve_encoder(encoder)
    with shown(quiet=quiet) as progress:
        found = measure(chosen, panel, progress=progress)
    click.echo(f"{chosen.name} on {found.source}: background {found.id}")
    click.echo(f"s² = {found.bandwidth:.4g}, κ = {found.kappa:.4g}")
