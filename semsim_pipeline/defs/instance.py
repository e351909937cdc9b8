"""Dagster's home below semsim's: `$SEMSIM_HOME/dagster` with its settings and workspace, written where missing."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg
from yaml import YAMLError  # type: ignore[import-untyped]  # what Dagster reads its settings with

from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write
from semsim_pipeline.store.locks import locked
from semsim_pipeline.store.writer import write_text

PROCESS_TAG = "semsim/process"
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


def process_tag() -> dict[str, str]:
    """The tag by which a run in this process is found again after the process was killed."""
    return {PROCESS_TAG: f"{platform.node()}:{os.getpid()}"}


def fail_dead_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs in terminals that are gone (kill -9, a closed laptop) as failed; how many.

    Nothing else would: a run inside a command has no launcher that looks after it, and would show as running for ever.
    """
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    dead = [run for run in instance.get_runs(unfinished) if is_dead(run)]
    for run in dead:
        instance.report_run_failed(run, "Its process ended without a word; what it had done is kept.")
    return len(dead)


def is_dead(run: dg.DagsterRun) -> bool:
    """Whether a run was in a terminal of this machine that is gone."""
    host, _, pid = run.tags.get(PROCESS_TAG, "").rpartition(":")
    if not pid.isdigit() or host != platform.node():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's process has the number now
        return True
    return False
