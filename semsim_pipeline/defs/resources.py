"""What assets are given: the workspace, and progress as log lines."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from semsim_pipeline.catalog import Catalog, catalog_path, standing
from semsim_pipeline.defs.process_mark import process_tag
from semsim_pipeline.defs.watch import watch
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.home import ensure_home
from semsim_pipeline.progress import Silent

if TYPE_CHECKING:
    from semsim_pipeline.stages.workspace import Workspace

SECONDS_BETWEEN_LINES = 15.0
"""Each log line is a row in Dagster's database; a line a chunk once kept a database busier than the work did."""


class SemsimWorkspace(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the pipeline keeps its data (SEMSIM_HOME), and how much of the machine extraction may take."""

    workers: int | None = None

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Before any work: write on the run which process does it, so that its death is noticed."""
        if context.run is not None and context.instance is not None:
            context.instance.add_run_tags(context.run.run_id, process_tag(context.run.run_id))

    def open(self, log: dg.DagsterLogManager) -> Workspace:
        """The workspace as the catalogue stands: a run goes on with the last right one while a wrong one is edited.

        Raises StoreError, CatalogError.
        """
        from semsim_pipeline.stages.workspace import Workspace

        home = ensure_home()
        stands = standing(home)
        if stands.problem is not None:
            log.warning(f"The catalogue is wrong, so this run goes by the last one that was right. {stands.problem}")
        watching = watch()
        progress = LoggedProgress(log) if watching is None else watching.progress
        extract = ExtractOptions(workers=self.workers)
        return Workspace(home=home, catalog=stands.catalog, extract=extract, progress=progress)


def workspace_now() -> Workspace:
    """The workspace as the catalogue stands, for what looks often: the file is read again where it changed.

    Raises StoreError, CatalogError.
    """
    from semsim_pipeline.stages.workspace import Workspace

    home = ensure_home()
    try:
        facts = catalog_path(home).stat()
    except OSError:
        stamp = ""
    else:
        stamp = f"{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ctime_ns}"
    return Workspace(home=home, catalog=_catalog(home, stamp))


@lru_cache(maxsize=1)
def _catalog(home: Path, _stamp: str) -> Catalog:
    return standing(home).catalog  # 10,000 pairs take a second


class LoggedProgress(Silent):
    """Progress as a log line every 15 seconds, so that a long extraction can be followed in the UI."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log
        self._stage, self._last = "", time.monotonic()
        self._total: int | None = None

    def start(self, stage: str, total: int | None) -> None:
        self._stage, self._total, self._last = stage, total, time.monotonic()

    def update(self, *, done: int, failed: int = 0, new: int = 0) -> None:
        if time.monotonic() - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = time.monotonic()
        of = "" if self._total is None else f" of {self._total:,}"
        self._log.info(f"{self._stage}: {done:,}{of}, {new:,} new, {failed:,} failed")

    def say(self, message: str) -> None:
        self._log.info(message)
