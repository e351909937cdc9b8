"""The report of a comparison: `index.html` (self-contained, opens offline) and `comparison.json` beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.comparison.words import evidence, interval_text, number, ordered_metrics
from semsim_pipeline.errors import WorkError
from semsim_pipeline.report.files import json_text, write_whole
from semsim_pipeline.report.scale import WIDTH, scale_of

if TYPE_CHECKING:
    from semsim_pipeline.comparison.results import Comparison


def write_report(results: Sequence[Comparison], folder: Path, *, command: str = "") -> Path:
    """Write the page and the JSON; returns the page's path. command: shown so that a reader can repeat it.

    Raises WorkError where the folder cannot be written.
    """
    page = folder / "index.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error
    write_whole(folder / "comparison.json", json_text(results))
    write_whole(page, render(results, command=command))
    return page


def render(results: Sequence[Comparison], *, command: str = "") -> str:
    """The page as text. Everything that came from outside (names, reasons) is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("semsim_pipeline.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template("comparison.html.jinja").render(
        results=[
            {
                "result": result,
                "scale": scale_of(result),
                "evidence": evidence(result),
                "rows": [
                    {"facts": facts, "value": value, "interval": interval_text(value)}
                    for facts, value in ordered_metrics(result)
                ],
            }
            for result in results
        ],
        command=command,
        width=WIDTH,
    )
