"""Embeddings out of Parquet: an `embedding` column of anybody's, and what our own parts say beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import InvalidEmbeddingsError, WrongCallError
from semsim_pipeline.store.parts import KEY
from semsim_pipeline.store.reader import digests

if TYPE_CHECKING:
    import pyarrow as pa

FINGERPRINT_KEY = b"semsim.fingerprint"
NAME_KEY = b"semsim.encoder"
COLUMNS = ("embedding", "image_id", "group")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ParquetRows:
    """rows [n, d]. The rest only where semsim wrote the files, else None: content, a code an image (as `compare` makes
    them, so that both commands draw the same samples); groups; the encoder's name and fingerprint."""

    rows: NDArray[np.generic]
    content: NDArray[np.uint64] | None = None
    groups: list[str | None] | None = None
    encoder: str | None = None
    fingerprint: str | None = None


def read_rows(name: str, paths: Sequence[Path]) -> ParquetRows:
    """The rows of these files, in order; files without a column `embedding` beside others are left out.

    Other people's `image_id` and `group` are not looked at: they may be row numbers, or null.
    Raises: WrongCallError where no file has the column; InvalidEmbeddingsError for a broken file, nulls, uneven rows,
    and files of different embedding sets. Memory: n·d·itemsize bytes, twice while they are joined.
    """
    blocks: list[NDArray[np.generic]] = []
    ids: list[object] = []
    groups: list[str | None] = []
    said: dict[bytes, bytes] = {}
    keys: dict[bytes | None, str] = {}
    for path, table in _tables(paths):
        metadata = table.schema.metadata or {}
        keys.setdefault(metadata.get(KEY), path.name)
        said = {**metadata, **said}
        blocks += _blocks(path.name, table.column("embedding").chunks)
        if KEY in metadata:
            ids += _values(table, "image_id")
            groups += [value if isinstance(value, str) else None for value in _values(table, "group")]
    if len(keys) > 1:
        one, other = [*keys.values()][:2]
        raise InvalidEmbeddingsError(
            f"{name}: {one} and {other} come from different embedding sets (another encoder, other weights or "
            "settings, or not written by semsim): their rows cannot be compared. Score them from separate folders."
        )
    rows = _stacked(name, blocks)
    if KEY not in said:
        return ParquetRows(rows=rows)
    return ParquetRows(
        rows=rows,
        content=_content_codes(ids),
        groups=groups,
        encoder=said[NAME_KEY].decode(errors="replace") if NAME_KEY in said else None,
        fingerprint=said[FINGERPRINT_KEY].decode(errors="replace") if FINGERPRINT_KEY in said else None,
    )


def _content_codes(ids: Sequence[object]) -> NDArray[np.uint64] | None:
    """The first 64 bits of our image ids (SHA-256 in hex); None where one is anything else."""
    texts = [value for value in ids if isinstance(value, str) and SHA256.fullmatch(value)]
    return digests(texts)[:, 0].copy() if len(texts) == len(ids) else None


def _values(table: pa.Table, column: str) -> list[object]:
    """A column's values, None for every row where there is no such column."""
    return table.column(column).to_pylist() if column in table.column_names else [None] * table.num_rows


def _tables(paths: Sequence[Path]) -> Iterator[tuple[Path, pa.Table]]:
    """Each file's columns of COLUMNS. Raises as `read_rows`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = False
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                columns = file.schema_arrow.names
                if "embedding" not in columns:
                    if len(paths) > 1:
                        continue  # a folder of ours also holds the manifest, which has no embedding
                    raise WrongCallError(f"{path.name} has no column `embedding`; it has: {', '.join(columns[:12])}.")
                ours = KEY in (file.schema_arrow.metadata or {})
                wanted = COLUMNS if ours else COLUMNS[:1]
                table = file.read(columns=[name for name in wanted if name in columns])
        except (OSError, pa.ArrowException) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise InvalidEmbeddingsError(f"{path.name} cannot be read as Parquet: {reason}.") from error
        found = True
        yield path, table
    if not found:
        raise WrongCallError(f"{paths[0].parent} has no Parquet file with a column `embedding`.")


def _blocks(name: str, chunks: Sequence[pa.Array[pa.Scalar[pa.DataType]]]) -> Iterator[NDArray[np.generic]]:
    """A list column, chunk by chunk, as [n, d]. Raises InvalidEmbeddingsError on nulls and on uneven widths."""
    import pyarrow as pa

    for chunk in chunks:
        if not isinstance(chunk, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
            raise InvalidEmbeddingsError(f"{name}: column `embedding` must hold lists of numbers; found {chunk.type}.")
        if chunk.null_count:
            raise InvalidEmbeddingsError(f"{name}: {chunk.null_count} rows of `embedding` are null; remove them.")
        widths = np.unique(chunk.value_lengths().to_numpy(zero_copy_only=False))
        if len(widths) > 1:
            raise InvalidEmbeddingsError(_uneven(name, widths))
        if len(chunk):
            yield chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), int(widths[0]))


def _stacked(name: str, blocks: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    widths = np.unique([block.shape[1] for block in blocks])
    if len(widths) > 1:
        raise InvalidEmbeddingsError(_uneven(name, widths))
    return np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32)


def _uneven(name: str, widths: NDArray[np.generic]) -> str:
    return f"{name}: rows of `embedding` have different widths: {widths[:5].tolist()}."
