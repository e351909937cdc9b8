"""Dagster's home below semsim's: `$SEMSIM_HOME/dagster` with its settings and workspace, written where missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg
from yaml import YAMLError  # type: ignore[import-untyped]  # what Dagster reads its settings with

from semsim_pipeline.defs.process_mark import is_gone
from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write
from semsim_pipeline.store.locks import locked
from semsim_pipeline.store.writer import write_text

SETTINGS = ("dagster.yaml", "workspace.yaml")
NO_DATABASE = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""Dagster names its SQLite files by URL and quotes nothing: with these in it another file, or none, is opened."""


def prepare_dagster_home(home: Path) -> Path:
    """The folder, with both files; what is there already (and may have been edited) stays. Raises StoreError."""
    folder = home / "dagster"
    unusable = NO_DATABASE.search(str(folder))
    if unusable is not None:
        raise StoreError(
            f"Dagster cannot keep its state in {folder}, because of the {unusable[0]!r} in it. Set SEMSIM_HOME to a "
            "folder without."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in SETTINGS:
            if not (folder / name).exists():
                text = files("semsim_pipeline.defs").joinpath("settings", name).read_text(encoding="utf-8")
                write_text(folder / name, text)
    except OSError as error:
        raise StoreError(cannot_write(folder, error)) from error
    return folder


def _opened(settings: Path) -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except (dg.DagsterInvalidConfigError, YAMLError) as error:
        said = " ".join(str(error).split()).partition(" Expected: ")[0]  # what follows is every key that there is
        raise StoreError(f"Dagster cannot use {settings}: {said} Correct it, or remove it to get ours.") from error


@contextmanager
def instance_of(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance below this home, and SEMSIM_HOME set to it, for the length of the block.

    A DAGSTER_HOME of the user's own belongs to another project: it is left alone and put back.
    """
    wanted = {"DAGSTER_HOME": str(prepare_dagster_home(home)), "SEMSIM_HOME": str(home)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        # Two processes that begin a home at once would both make its tables, and one of them would fail.
        with locked(home / "dagster" / ".start.lock"):
            found = _opened(home / "dagster" / "dagster.yaml")
        with found as instance:
            yield instance
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def fail_dead_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs whose process is gone (kill -9, a closed laptop, a power cut) as failed; how many.

    The daemon's monitor does it too, if one runs: a terminal has none, and a start of the UI need not wait for it.
    """
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    dead = [run for run in instance.get_runs(unfinished) if is_gone(run.run_id, run.tags)]
    for run in dead:
        instance.report_run_failed(run, "Its process ended without a word; what it had done is kept.")
    return len(dead)
