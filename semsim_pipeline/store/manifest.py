"""Manifests: what a dataset version holds, one row per image path. Written and read in batches, never whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.errors import StoreError
from semsim_pipeline.store.schema import LABEL_PREFIX, SCHEMA_VERSION, manifest_schema
from semsim_pipeline.store.writer import atomic_file_named_last

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

BATCH_ROWS = 4096
VERSION_DIGITS = 32
INDEX_NAME = "index.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRef:
    """A dataset version on disk.

    version: digest over the selected rows (path, image_id, labels, group, status) in order; nothing else, so that a
    `touch` or a repacked archive leaves it alone. rows: n. failed: rows whose image cannot even be opened.
    new: images whose bytes had to be read for this scan; 0 when nothing changed.
    """

    version: str
    path: Path
    rows: int
    failed: int
    new: int = 0


def source_folder(home: Path, source_key: str) -> Path:
    """Where the manifests of one source live: whole-set runs and views of it share this folder and its index."""
    return home / "manifests" / source_key[:16]


def write_manifest(folder: Path, labels: Sequence[str], batches: Iterable[pl.DataFrame]) -> ManifestRef:
    """Write `<version>.parquet` from batches of rows (columns by name, as `manifest_schema`).

    An equal version is replaced all the same: stamps and locators are not part of it and may have moved.
    Raises StoreError where the disk refuses; then, and when `batches` raises, nothing remains. Memory: one batch.
    """
    import pyarrow.parquet as pq

    schema = manifest_schema(labels)
    digest = _Digest(labels)
    rows = failed = 0
    with (
        atomic_file_named_last(folder, lambda: f"{digest.version}.parquet") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for batch in batches:
            digest.add(batch)
            writer.write_table(to_arrow(batch, schema))
            rows += len(batch)
            failed += int((batch["status"] == "failed").sum())
    return ManifestRef(version=digest.version, path=folder / f"{digest.version}.parquet", rows=rows, failed=failed)


def read_again(path: Path) -> ManifestRef:
    """What a manifest holds, its version counted from its rows. Raises StoreError. Memory: one row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error
    labels = [name.removeprefix(LABEL_PREFIX) for name in names if name.startswith(LABEL_PREFIX)]
    if names != manifest_schema(labels).names:
        raise StoreError(f"{path} does not have the columns of a manifest.")
    digest = _Digest(labels)
    rows = failed = 0
    for batch in read_batches(path):
        digest.add(batch)
        rows += len(batch)
        failed += int((batch["status"] == "failed").sum())
    return ManifestRef(version=digest.version, path=path, rows=rows, failed=failed)


class _Digest:
    """The version of a manifest, over its rows as they come."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._digest = hashlib.sha256(json.dumps([SCHEMA_VERSION, *labels]).encode())
        self._columns = ["path", "image_id", *(LABEL_PREFIX + name for name in labels), "group", "status"]

    def add(self, batch: pl.DataFrame) -> None:
        import polars as pl

        # Each value is followed by its length in characters, so that no two rows spell alike; null is no text at all.
        columns = map(pl.col, self._columns)
        spelled = [pl.concat_str(each, pl.lit(":"), each.str.len_chars()).fill_null("-") for each in columns]
        for text in batch.select(pl.concat_str(spelled, separator="|").alias("line"))["line"]:
            self._digest.update(text.encode() + b"\n")

    @property
    def version(self) -> str:
        return self._digest.hexdigest()[:VERSION_DIGITS]


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """A manifest (or an index) in batches of at most 4,096 rows, in order. Memory: one row group.

    Raises StoreError where the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = None if columns is None else list(columns)
            for batch in file.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
                yield as_frame(pa.Table.from_batches([batch]))
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"{path} cannot be read ({reason}). Remove it; the next run writes it again.") from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """A block that asks polars about a manifest: what it says of a damaged file becomes a StoreError."""
    import polars as pl

    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StoreError(
            f"{path} cannot be read ({reason}). A scan writes it again: `semsim rescore`, or `dataset_manifest` in the "
            "UI."
        ) from error


def versions(home: Path, source_key: str) -> list[ManifestRef]:
    """Every version known of a source, the newest first. Raises StoreError where one is damaged."""
    import polars as pl

    folder = source_folder(home, source_key)
    found = [path for path in folder.glob("*.parquet") if path.name != INDEX_NAME]
    found.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    refs = []
    for path in found:
        rows = failed = 0
        for batch in read_batches(path, ["status"]):
            rows += len(batch)
            failed += batch.filter(pl.col("status") == "failed").height
        refs.append(ManifestRef(version=path.stem, path=path, rows=rows, failed=failed))
    return refs


def to_arrow(batch: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """Rows with the types and order of `schema`."""
    import polars as pl

    return batch.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)


def as_frame(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a polars frame, without a copy where the types allow it."""
    import polars as pl

    return pl.DataFrame(table)
