"""Writes that are whole or absent, with what to do where the disk refuses; and the two kinds of part."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.home import cannot_write
from semsim_pipeline.store.schema import (
    PART_ROWS,
    ROW_GROUP,
    SetKey,
    failed_schema,
    file_metadata,
    part_schema,
)
from semsim_pipeline.whole_file import TEMPORARY, whole_file

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

LEFTOVER_SECONDS = 24 * 3600.0
"""After this a temporary file is a leftover even if a process with its number lives (numbers are used again)."""


@contextmanager
def atomic_file(target: Path) -> Iterator[IO[bytes]]:
    """A binary file that becomes `target` when the block ends well, and vanishes when it does not.

    Raises StoreError for anything that the disk refuses, with what to do; nothing half-written is left.
    """
    with atomic_file_named_last(target.parent, lambda: target.name) as file:
        yield file


@contextmanager
def atomic_file_named_last(folder: Path, name: Callable[[], str]) -> Iterator[IO[bytes]]:
    """As `atomic_file`, for a file whose name follows from what was written: `name` is called when the block ended."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder, name) as file:
            yield file
    except OSError as error:
        raise StoreError(cannot_write(folder, error)) from error


def write_text(target: Path, text: str) -> None:
    """Replace a small text file as a whole. Raises StoreError."""
    with atomic_file(target) as file:
        file.write(text.encode())


def write_frame(target: Path, frame: pl.DataFrame) -> None:
    """Replace a small table (Parquet) as a whole. Raises StoreError.

    Made in memory first: polars turns a full disk into an error of its own.  Memory: the file.
    """
    made = io.BytesIO()
    frame.write_parquet(made, compression="zstd", statistics=False)
    with atomic_file(target) as file:
        file.write(made.getbuffer())


def remove_leftovers(folder: Path) -> int:
    """Delete temporary files whose writer is gone; how many. Those of a living writer stay."""
    removed = 0
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(FileNotFoundError):  # its writer, or another cleaner, was quicker
            if is_leftover(path):
                path.unlink()
                removed += 1
    return removed


def is_leftover(path: Path, least_age: float = 0.0) -> bool:
    """Whether the writer of a temporary file is gone, and wrote to it more than `least_age` seconds ago.

    Raises FileNotFoundError where the file is gone too.
    """
    named = re.match(rf"{re.escape(TEMPORARY)}(\d+)-", path.name)
    age = time.time() - path.stat().st_mtime
    return age > LEFTOVER_SECONDS or (age >= least_age and (named is None or not _alive(int(named[1]))))


def shard_digest(key: SetKey, image_ids: Sequence[str]) -> str:
    """16 hex digits that name a shard's files by what is in them: the set's key and the planned images, in order."""
    return digest_of([key.digest, list(image_ids)])[:16]


def part_name(digest: str) -> str:
    """The file name of a shard's embeddings."""
    return f"part-{digest}.parquet"


def failed_name(digest: str) -> str:
    """The file name of a shard's failures."""
    return f"failed-{digest}.parquet"


def write_part(
    path: Path, key: SetKey, image_ids: Sequence[str], embeddings: NDArray[np.float32], *, planned: int
) -> None:
    """Write one part; its presence is the commit.

    Args: embeddings float32 [n, d], 1 <= n <= 4,096, row i of image i. planned: images of the shard.
    Raises: StoreError; ValueError where the arrays do not agree (a programming error).
    Memory: the encoded part beside the array, n·d·4 bytes.
    """
    import pyarrow as pa

    if embeddings.ndim != 2 or len(embeddings) != len(image_ids) or embeddings.dtype != np.float32:
        raise ValueError(f"{len(image_ids)} images and embeddings {embeddings.dtype} {embeddings.shape} do not agree")
    if not 1 <= len(image_ids) <= PART_ROWS:
        raise ValueError(f"a part holds 1 to {PART_ROWS} rows; got {len(image_ids)}")
    schema = part_schema(embeddings.shape[1]).with_metadata(file_metadata(key, planned))
    values = pa.array(np.ascontiguousarray(embeddings).reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(values, type=schema.field("embedding").type)
    _write(path, pa.Table.from_arrays([pa.array(image_ids, pa.string()), rows], schema=schema))


def write_failures(path: Path, key: SetKey, failures: Mapping[str, str], *, planned: int) -> None:
    """Write the images of one shard that could not be decoded: image id to reason. Raises StoreError."""
    import pyarrow as pa

    if not 1 <= len(failures) <= PART_ROWS:
        raise ValueError(f"a failure part holds 1 to {PART_ROWS} rows; got {len(failures)}")
    columns = [pa.array(failures.keys(), pa.string()), pa.array(failures.values(), pa.string())]
    schema = failed_schema().with_metadata(file_metadata(key, planned))
    _write(path, pa.Table.from_arrays(columns, schema=schema))


def _write(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    # Measured at 4,096 x 512: byte-stream-split with zstd-1 is 16 % smaller, 1.4x slower to read and 1.5x to write, and
    # fewer readers know it; a dictionary inflates by 30 %. Statistics of a vector mean nothing. Checksums show rot.
    with atomic_file(path) as file:
        pq.write_table(
            table,
            file,
            row_group_size=ROW_GROUP,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
