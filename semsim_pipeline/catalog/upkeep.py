"""What a comparison says about its upkeep: when it is brought up to date, and when its checks fail."""

from __future__ import annotations

from semsim_pipeline.catalog.cron import check_cron
from semsim_pipeline.catalog.document import Document, Entry, line_of
from semsim_pipeline.catalog.records import Thresholds
from semsim_pipeline.errors import WrongCallError

THRESHOLDS = ("similarity", "failed_images")


def read_schedule(document: Document, at: str, entry: Entry | None) -> str | None:
    """The cron string, None where there is none or a problem with it."""
    text = None if entry is None else document.text(entry[1], at)
    if entry is None or text is None:
        return None
    try:
        return check_cron(text)
    except WrongCallError as error:
        document.problem(line_of(entry[1]), at, str(error))
        return None


def read_thresholds(document: Document, at: str, entry: Entry | None) -> Thresholds:
    """The thresholds given, the usual ones for the others."""
    if entry is None:
        return Thresholds()
    fields = document.table(entry[1], at, THRESHOLDS)
    given = {key: document.share(node, f"{at}.{key}") for key, (_line, node) in fields.items()}
    failed_images = given.get("failed_images")
    usual = Thresholds()
    return Thresholds(
        similarity=given.get("similarity"),
        failed_images=usual.failed_images if failed_images is None else failed_images,
    )
