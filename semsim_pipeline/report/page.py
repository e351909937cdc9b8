"""The report of a comparison: `index.html` (self-contained, opens offline) and `comparison.json` beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.errors import WorkError
from semsim_pipeline.report.files import json_text, write_whole
from semsim_pipeline.report.templating import environment, item_of

if TYPE_CHECKING:
    from semsim_pipeline.comparison.results import Comparison
    from semsim_pipeline.plots.base import Picture

PAGE = "index.html"
NUMBERS = "comparison.json"


def write_report(
    results: Sequence[Comparison],
    folder: Path,
    *,
    command: str = "",
    pictures: Sequence[Sequence[Picture]] = (),
) -> Path:
    """Write the page and the JSON; returns the page's path.

    command: shown so that a reader can repeat it. pictures: of each result in turn, or none at all.
    Raises WorkError where the folder cannot be written.
    """
    return write_page(render(results, command=command, pictures=pictures), json_text(results), folder)


def write_page(page: str, numbers: str, folder: Path) -> Path:
    """A page and the JSON of its numbers into a folder, made where missing. Raises WorkError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error
    write_whole(folder / NUMBERS, numbers)
    write_whole(folder / PAGE, page)
    return folder / PAGE


def render(results: Sequence[Comparison], *, command: str = "", pictures: Sequence[Sequence[Picture]] = ()) -> str:
    """The page as text. Everything that came from outside (names, reasons) is escaped."""
    drawn = pictures or [()] * len(results)
    items = [item_of(result, some) for result, some in zip(results, drawn, strict=True)]
    return environment().get_template("comparison.html.jinja").render(items=items, command=command)
