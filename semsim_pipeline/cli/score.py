"""`semsim score`: the same score card from embeddings that somebody already has."""

from __future__ import annotations

from pathlib import Path

import click

from semsim_pipeline.cli.options import clusters_option, fail_under_option, json_option, metrics_option, seed_option


@click.command(short_help="Score two sets of ready embeddings (.npy, .npz, Parquet).")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@metrics_option
@clusters_option
@click.option(
    "--background", metavar="ENCODER", help="Scale by this encoder's background (the one that embedded both)."
)
@click.option(
    "--bandwidth", type=click.FloatRange(min=0, min_open=True), metavar="S2", help="Scale by this s² instead."
)
@seed_option
@json_option
@fail_under_option
def score(
    reference: Path,
    candidate: Path,
    metrics: list[str] | None,
    clusters: bool,
    background: str | None,
    bandwidth: float | None,
    seed: int,
    json_to: str | None,
    fail_under: float | None,
) -> int:
    """Score the embeddings in two files: .npy, .npz, or Parquet with an `embedding` column.

    \b
    Example: semsim score real.npy generated.npy --background clip-vit-b-32
             semsim score a.parquet b.parquet --metrics kid,precision,recall --json -

    Without --background or --bandwidth, Parquet that semsim wrote brings its own; anything else is scored on the
    reference's own scale, and the result says so (status `uncalibrated`).
    """
    if background is not None and bandwidth is not None:
        raise click.UsageError("Give --background or --bandwidth, not both.")
    from semsim_pipeline.cli.output import check_writable, exit_code, report, say_what_is_missing
    from semsim_pipeline.comparison.score import score_files

    check_writable(json_to)
    results = [
        score_files(
            reference,
            candidate,
            metrics=metrics,
            background=background,
            bandwidth=bandwidth,
            seed=seed,
            clusters=clusters,
        )
    ]
    report(results, json_to)
    say_what_is_missing(results)
    return exit_code(results, fail_under)
