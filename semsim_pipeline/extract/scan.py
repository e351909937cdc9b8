"""From a view to a manifest: list, ask the index what is known, read only what is new or changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import Reader
from semsim_pipeline.datasets.decode import DECODE_VERSION, header
from semsim_pipeline.datasets.resolve import source_key
from semsim_pipeline.errors import CorruptSourceError, UnreadableImageError
from semsim_pipeline.extract.records import View
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline.progress import Progress, Silent
from semsim_pipeline.records import ItemRef
from semsim_pipeline.store.index import PathIndex
from semsim_pipeline.store.locks import locked
from semsim_pipeline.store.manifest import BATCH_ROWS, ManifestRef, read_batches, source_folder, write_manifest
from semsim_pipeline.store.schema import LABEL_PREFIX
from semsim_pipeline.store.writer import remove_leftovers

if TYPE_CHECKING:
    import polars as pl


def scan(view: View, home: Path, progress: Progress | None = None) -> ManifestRef:
    """Write the manifest of a view as it is now, and its version.

    A file whose path and stamp are known is not read; an image that cannot be opened is a row with its reason.
    Two scans of one source wait for each other, so that the second finds everything known.
    Raises: CorruptSourceError, MissingPathError where the source cannot be listed; StoreError.
    Memory: 4,096 items, one image, and 17 bytes for every path that was ever seen in this source.
    """
    progress = progress or Silent()
    folder = source_folder(home, source_key(view.source))
    progress.start("scan", None)
    with locked(folder / ".scan.lock", waiting=lambda: progress.say("Another process scans this source; waiting.")):
        remove_leftovers(folder)
        began = time.time_ns()
        index = PathIndex(folder, DECODE_VERSION)
        rows = _Rows(view, index, progress)
        ref = write_manifest(folder, view.source.label_columns, rows)
        if rows.new:
            index.rewrite(ref.path, began)
    return replace(ref, new=rows.new)


def scan_again(view: View, home: Path, manifest: ManifestRef, rows: NDArray[np.uint32]) -> None:
    """Have the next scan read these rows of the manifest (ascending), whatever their stamps say then.

    For images that were no longer what the scan saw: a stamp that did not move with them would hide them for ever.
    Raises StoreError. Memory: one batch and the paths.
    """
    folder = source_folder(home, source_key(view.source))
    paths: list[str] = []
    start = 0
    for batch in read_batches(manifest.path, ["path"]):
        first, last = np.searchsorted(rows, [start, start + len(batch)])
        paths += batch["path"][(rows[first:last].astype(np.int64) - start).tolist()].to_list()
        start += len(batch)
    with locked(folder / ".scan.lock"):
        PathIndex(folder, DECODE_VERSION).distrust(paths)


class _Rows:
    """The manifest's rows in chunks of 4,096, and how many images had to be read for them."""

    def __init__(self, view: View, index: PathIndex, progress: Progress) -> None:
        self._view = view
        self._index = index
        self._progress = progress
        self.new = 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        done = failed = 0
        source = self._view.source
        try:
            with ExitStack() as stack:
                reader: Reader | None = None  # an archive is not even opened where nothing changed
                items = iter(self._view.select())
                while chunk := list(islice(items, BATCH_ROWS)):
                    found = self._index.lookup(_listing(chunk, source.label_columns))
                    unknown = found["status"].is_null().to_numpy().nonzero()[0].tolist()
                    if unknown:
                        reader = reader or stack.enter_context(source.open())
                        found = _filled(found, unknown, [_look(reader, chunk[row]) for row in unknown])
                    self.new += len(unknown)
                    done += len(found)
                    failed += int((found["status"] == "failed").sum())
                    self._progress.update(done=done, failed=failed, new=self.new)
                    yield found
        except OSError as error:
            raise CorruptSourceError(f"{source.location} cannot be read: {error.strerror or error}.") from error


Look = tuple[str | None, int | None, int | None, int | None, str | None, str, str | None]
"""image_id, size, width, height, format, status, error."""


def _look(reader: Reader, item: ItemRef) -> Look:
    try:
        content = reader.read(item)
    except UnreadableImageError as error:
        return None, item.size, None, None, None, "failed", str(error)
    size = item.size
    if size is None:
        size = len(content) if isinstance(content, bytes) else content.nbytes
    image_id = image_id_of(content)
    try:
        facts = header(content)
    except UnreadableImageError as error:
        return image_id, size, None, None, None, "failed", str(error)
    return image_id, size, facts.width, facts.height, facts.format, "ok", None


def _listing(chunk: list[ItemRef], labels: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    text = pl.String
    columns = [
        pl.Series("path", [item.path for item in chunk], dtype=text),
        *(pl.Series(LABEL_PREFIX + name, [item.labels.get(name) for item in chunk], dtype=text) for name in labels),
        pl.Series("group", [item.group for item in chunk], dtype=text),
        pl.Series("size", [item.size for item in chunk], dtype=pl.Int64),
        pl.Series("stamp", [item.stamp for item in chunk], dtype=text),
        pl.Series("locator", [item.locator for item in chunk], dtype=pl.Int64),
    ]
    return pl.DataFrame(columns)


def _filled(found: pl.DataFrame, rows: list[int], looks: list[Look]) -> pl.DataFrame:
    """`found` with the given rows' blanks filled by what was read."""
    import polars as pl

    names = ("image_id", "size", "width", "height", "format", "status", "error")
    schema = {name: found.schema[name] for name in names}
    read = pl.DataFrame(looks, schema=schema, orient="row").with_columns(row=pl.Series(rows, dtype=pl.UInt32))
    fresh = found.with_row_index("row").join(read, on="row", how="left", maintain_order="left", suffix="_read")
    return fresh.with_columns(pl.coalesce(f"{name}_read", name).alias(name) for name in names).select(found.columns)
