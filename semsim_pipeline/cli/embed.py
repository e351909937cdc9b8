"""`semsim embed`: extraction alone."""

from __future__ import annotations

from pathlib import Path

import click

from semsim_pipeline.cli.options import quiet_option, workers_option
from semsim_pipeline.encoders import DEFAULT_ENCODER


@click.command(short_help="Embed a dataset and keep it; resumable.")
@click.argument("spec")
@click.option("--encoder", default=DEFAULT_ENCODER, show_default=True, metavar="E", help="See `semsim list encoders`.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write this view's embeddings and paths as Parquet parts into this folder.",
)
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="What runs the shards.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images a batch [default: what suits the encoder].")
@workers_option
@quiet_option
def embed(
    spec: str,
    encoder: str,
    out: Path | None,
    engine: str,
    batch_size: int | None,
    workers: int | None,
    quiet: bool,
) -> None:
    """Embed the images of SPEC (a path or a name, with an optional view) and keep them under SEMSIM_HOME.

    \b
    Example: semsim embed photos.zip --encoder clip-vit-b-32
             semsim embed "cifake:cifake.zip[label=REAL]" --out real_embeddings

    Interrupt it whenever you like: the next run goes on where it stopped, and an image that was embedded once is
    never embedded again by the same encoder.
    """
    from semsim_pipeline.addresses import without_secrets
    from semsim_pipeline.catalog import open_named
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.datasets.resolve import group_scope
    from semsim_pipeline.encoders.network import ensure_weights
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.export import check_export_folder, export_view
    from semsim_pipeline.extract.records import ExtractOptions
    from semsim_pipeline.extract.run import embed_view

    chosen, view = resolve_encoder(encoder), open_named(spec)
    options = ExtractOptions(workers=workers, batch_size=batch_size, engine=engine)
    if out is not None:
        check_export_folder(out)
    with shown(quiet=quiet) as progress:
        ensure_weights(chosen, progress)
        found = embed_view(view, chosen, options=options, progress=progress)
        folder = found.folder if out is None else export_view(found, out, group_scope=group_scope(view.source))
    click.echo(
        f"{without_secrets(view.name)}: {found.seen:,} images = {found.embedded:,} embedded + {found.failed:,} failed"
    )
    click.echo(f"{found.new:,} embedded now, {found.images_per_second:,.0f} images/s, encoder {chosen.name}")
    click.echo(f"Embeddings: {folder}")
    for reason in found.reasons:
        click.echo(f"failed: {reason}", err=True)
