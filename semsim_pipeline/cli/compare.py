"""`semsim compare`: any two image datasets in, one calibrated score out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semsim_pipeline.cli.options import (
    clusters_option,
    fail_under_option,
    json_option,
    limit_option,
    metrics_option,
    quiet_option,
    seed_option,
    workers_option,
)
from semsim_pipeline.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from semsim_pipeline.comparison.run import ScoredPair


@click.command(short_help="Compare two image datasets.")
@click.argument("reference")
@click.argument("candidate")
@click.option(
    "--encoder", "encoders", multiple=True, metavar="E", help=f"Once or several times [default: {DEFAULT_ENCODER}]."
)
@limit_option
@seed_option
@metrics_option
@clusters_option
@json_option
@click.option(
    "--report", "report_dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Also write a self-contained page (index.html) and the JSON into this folder.",
)  # fmt: skip
@fail_under_option
@workers_option
@quiet_option
def compare(
    reference: str,
    candidate: str,
    encoders: tuple[str, ...],
    limit: int | None,
    seed: int,
    metrics: list[str] | None,
    clusters: bool,
    json_to: str | None,
    report_dir: Path | None,
    fail_under: float | None,
    workers: int | None,
    quiet: bool,
) -> int:
    """Score how similar CANDIDATE is to REFERENCE: folders, archives, Parquet files or names, each with a view.

    \b
    Example: semsim compare photos/2023 photos/2024 --report out
             semsim compare "shop.zip[label=shoes]" "render.zip[label=shoes]" --fail-under 0.85
             semsim compare digits digits-generated --encoder classical --json -

    Images that were embedded before are not embedded again. A label, `limit` or `group_by` goes in square brackets;
    quote the whole: "photos[label=cat,limit=500]".
    """
    from semsim_pipeline.cli.output import check_writable, exit_code, report, say_what_is_missing
    from semsim_pipeline.cli.progress import shown
    from semsim_pipeline.comparison.run import CompareOptions, score_views
    from semsim_pipeline.extract.records import ExtractOptions

    check_writable(json_to, report_dir)
    extract = ExtractOptions(workers=workers)
    options = CompareOptions(limit=limit, seed=seed, metrics=metrics, clusters=clusters, extract=extract)
    with shown(quiet=quiet) as progress:
        scored = score_views(reference, candidate, encoders or (DEFAULT_ENCODER,), options, progress)
    results = [each.comparison for each in scored]
    report(results, json_to)
    if report_dir is not None:
        command = shlex.join(["semsim", *click.get_current_context().obj])
        click.echo(f"Report: {_write(scored, report_dir, seed, command)}", err=True)
    say_what_is_missing(results)
    return exit_code(results, fail_under)


def _write(scored: Sequence[ScoredPair], folder: Path, seed: int, command: str) -> Path:
    """The page with its pictures; of several encoders each brings its own."""
    from semsim_pipeline.comparison.thumbnails import picture_sides
    from semsim_pipeline.home import ensure_home
    from semsim_pipeline.plots.base import PairInput
    from semsim_pipeline.plots.draw import draw_pair
    from semsim_pipeline.report.page import write_report

    home = ensure_home(None)
    pictures = []
    for each in scored:
        reference, candidate = picture_sides(home, each.reference, each.candidate)
        pair = PairInput(comparison=each.comparison, reference=reference, candidate=candidate)
        pictures.append(draw_pair(pair, seed))
    return write_report([each.comparison for each in scored], folder, command=command, pictures=pictures)
