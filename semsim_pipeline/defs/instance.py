"""Dagster's home below semsim's: `$SEMSIM_HOME/dagster` with its settings and workspace, written where missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg

from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write

SETTINGS = ("dagster.yaml", "workspace.yaml")


def prepare_dagster_home(home: Path) -> Path:
    """The folder, with both files; what is there already (and may have been edited) stays. Raises StoreError."""
    folder = home / "dagster"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in SETTINGS:
            if not (folder / name).exists():
                text = files("semsim_pipeline.defs").joinpath("settings", name).read_text(encoding="utf-8")
                (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(cannot_write(folder, error)) from error
    return folder


@contextmanager
def instance_of(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance below this home, and SEMSIM_HOME set to it, for the length of the block.

    A DAGSTER_HOME of the user's own belongs to another project: it is left alone and put back.
    """
    wanted = {"DAGSTER_HOME": str(prepare_dagster_home(home)), "SEMSIM_HOME": str(home)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        with dg.DagsterInstance.get() as instance:
            yield instance
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
