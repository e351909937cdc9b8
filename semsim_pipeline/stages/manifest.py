"""Stage 1, `dataset_manifest`: which images a dataset holds now, by content."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from semsim_pipeline.datasets.base import fetch
from semsim_pipeline.extract.scan import scan
from semsim_pipeline.stages.failures import noting
from semsim_pipeline.stages.outcome import Outcome, Row
from semsim_pipeline.stages.state import DatasetState, dataset_file, read_dataset, write_state
from semsim_pipeline.stages.watched import settled_stamp
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline.store.schema import LABEL_PREFIX

if TYPE_CHECKING:
    import polars as pl

MOST_LABELS_SHOWN = 50


@noting("dataset_manifest")
def refresh_manifest(workspace: Workspace, dataset: str) -> Outcome:
    """Scan a dataset and make what is found its current manifest. A file whose stamp is known is not read again.

    version: of paths, contents, labels and groups, so that a `touch` or a repacked archive changes nothing.
    What comes over a network is fetched first, where it is not here or changed where it is published.
    Raises: UnknownNameError, MissingFilesError, MissingPathError (the folder vanished), CorruptSourceError,
    EmptyDatasetError, StoreError.
    """
    began = time.perf_counter()
    view = workspace.dataset(dataset)
    fetch(view.source, workspace.progress)
    before = read_dataset(workspace.home, dataset)
    stamp = settled_stamp(view.source)  # before the scan, so that a change during it is one that it has not seen
    ref = scan(view, workspace.home, workspace.progress)
    state = DatasetState(
        view=view.key(),
        version=ref.version,
        path=str(ref.path),
        rows=ref.rows,
        failed=ref.failed,
        rows_before=_rows_before(before, view.key(), ref.version),
        stamp=stamp,
    )
    write_state(dataset_file(workspace.home, dataset), state)
    return Outcome(
        stage="dataset_manifest",
        partition=dataset,
        version=ref.version,
        computed=before is None or before.version != ref.version,
        seconds=time.perf_counter() - began,
        path=ref.path,
        row_count=ref.rows,
        numbers={"images": ref.rows, "unreadable": ref.failed, "read_in_this_scan": ref.new},
        texts={"source": view.source.kind, "location": view.source.location, "selection": view.name},
        rows=_labels(state, view.source.label_columns),
    )


def _rows_before(before: DatasetState | None, view: str, version: str) -> int | None:
    if before is None or before.view != view:
        return None
    return before.rows_before if before.version == version else before.rows


def current_manifest(workspace: Workspace, dataset: str) -> DatasetState:
    """The manifest of the last scan of what the catalogue names now; scanned here where there is none yet."""
    found = read_dataset(workspace.home, dataset)
    if found is None or found.view != workspace.dataset(dataset).key():
        refresh_manifest(workspace, dataset)
        found = read_dataset(workspace.home, dataset)
    assert found is not None  # written a moment ago
    return found


def _labels(state: DatasetState, columns: tuple[str, ...]) -> list[Row]:
    """Images by combination of labels, the largest first."""
    import polars as pl

    if not columns:
        return []
    names = [LABEL_PREFIX + name for name in columns]
    counted: pl.DataFrame = (
        pl.scan_parquet(state.path)
        .group_by(names)
        .agg(pl.len().alias("images"), (pl.col("status") == "failed").sum().alias("unreadable"))
        .sort("images", *names, descending=[True, *(False for _ in names)])
        .head(MOST_LABELS_SHOWN)
        .collect()
    )
    return list(counted.rename({LABEL_PREFIX + name: name for name in columns}).iter_rows(named=True))
