"""Reading embeddings: rows in the order asked for, for one view or for many in a single pass over the parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import StoreError
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.parts import inspect_part

if TYPE_CHECKING:
    import polars as pl

Digests = NDArray[np.uint64]
"""[n, 4]: SHA-256 as four numbers, 32 bytes an image where its hex text is 64 and a Python string 113."""


def read(embeddings: EmbeddingSet, image_ids: Sequence[str] | pl.Series) -> NDArray[np.float32]:
    """The embeddings of these images, float32 [n, d], in the order asked for; an id may come several times.

    Raises: StoreError where an image is not embedded or a part cannot be read.
    Memory: n·d·4 bytes, 40 bytes an image, and one row group.
    """
    return read_many(embeddings, {"": image_ids})[""]


def read_many(
    embeddings: EmbeddingSet, views: Mapping[str, Sequence[str] | pl.Series]
) -> dict[str, NDArray[np.float32]]:
    """As `read`, for several views: each part is opened at most once, and not at all where no view needs it.

    Memory: the sum of the results, n·d·4 bytes each, 40 bytes an image, and one row group.
    """
    wanted = {name: IdTable(digests(ids)) for name, ids in views.items()}
    dim = embeddings.dim
    if dim is None and any(want.total for want in wanted.values()):
        raise StoreError(f"{embeddings.folder} holds no embeddings yet; run `semsim embed` on the dataset first.")
    out = {name: np.empty((want.total, dim or 0), dtype=np.float32) for name, want in wanted.items()}
    for part in embeddings.visited(failed=False):
        if not any(want.missing for want in wanted.values()):
            break
        try:
            _read_part(embeddings.folder / part.name, part.dim, wanted, out)
        except StoreError:
            if embeddings.names(part):
                raise  # else it was dropped or replaced while this read, and the visit goes on with what is there
    for name, want in wanted.items():
        if want.missing:
            view = f" of {name!r}" if name else ""
            raise StoreError(
                f"{want.missing} of {want.total} images{view} are not in {embeddings.folder}: embed the dataset again."
            )
    return out


def verify(embeddings: EmbeddingSet) -> list[str]:
    """Read every byte of a set and say what is wrong, a line each; empty when all is well. Memory: one part.

    Finds a missing or cut part, a page whose checksum is wrong, NaN or infinity, and an image that comes twice.
    """
    problems: list[str] = []
    seen: list[Digests] = []
    for part in embeddings.parts():
        path = embeddings.folder / part.name
        try:
            found, ids = inspect_part(path, embeddings.key), _part_ids(path)
            finite = not part.dim or all(np.isfinite(rows).all() for _, rows in row_groups(path, part.dim))
        except StoreError as error:
            problems.append(str(error))
            continue
        if found != part:
            problems.append(f"{path} is not what the manifest says.")
        if not finite:
            problems.append(f"{path} holds NaN or infinity.")
        if part.dim:
            seen.append(ids)
    every = np.concatenate(seen) if seen else np.empty((0, 4), dtype=np.uint64)
    twice = len(every) - len(np.unique(every, axis=0))
    if twice:
        problems.append(f"{embeddings.folder} holds {twice} images more than once.")
    return problems


def digests(image_ids: Sequence[str] | pl.Series) -> Digests:
    """uint64 [n, 4] of hex SHA-256 texts. Raises ValueError where one is not 64 hex digits."""
    import polars as pl

    series = image_ids if isinstance(image_ids, pl.Series) else pl.Series(image_ids, dtype=pl.String)
    if len(series) == 0:
        return np.empty((0, 4), dtype=np.uint64)
    if series.null_count() or not (series.str.len_bytes() == 64).all():
        raise ValueError("image ids are SHA-256 in hex, 64 digits each")
    text: str = series.str.join("").item()
    found = np.frombuffer(bytes.fromhex(text), dtype=">u8").astype(np.uint64)
    return found.reshape(-1, 4)


class KnownIds:
    """Which images a set holds, read once and asked often. Memory: 40 bytes an image of the set.

    home: that the set is under.
    """

    def __init__(self, embeddings: EmbeddingSet) -> None:
        self.home = embeddings.home
        found = [digests(batch["image_id"]) for batch in embeddings.id_batches(failed=False)]
        self._known = IdTable(np.concatenate(found) if found else np.empty((0, 4), dtype=np.uint64))

    def holds(self, image_ids: Sequence[str] | pl.Series) -> NDArray[np.bool_]:
        """[n]: whether each of these images is embedded."""
        ids = digests(image_ids)
        found = np.zeros(len(ids), dtype=np.bool_)
        found[self._known.match(ids)[0]] = True
        return found


class IdTable:
    """Ids, sorted, so that others find their rows by binary search, and which of them were found. 41 bytes an id."""

    def __init__(self, ids: Digests) -> None:
        self._order = np.argsort(ids[:, 0], kind="stable")
        self._sorted = ids[self._order]
        self._found = np.zeros(len(ids), dtype=np.bool_)
        self.total = len(ids)

    @property
    def missing(self) -> int:
        """Rows without an embedding so far."""
        return self.total - int(np.count_nonzero(self._found))

    def match(self, ids: Digests) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(rows of `ids`, rows of the table) of the same length."""
        first = np.searchsorted(self._sorted[:, 0], ids[:, 0], side="left")
        last = np.searchsorted(self._sorted[:, 0], ids[:, 0], side="right")
        count = last - first
        source = np.repeat(np.arange(len(ids)), count)
        start_of_run = np.repeat(np.cumsum(count) - count, count)
        place = np.repeat(first, count) + np.arange(len(source)) - start_of_run
        same = (self._sorted[place] == ids[source]).all(axis=1)  # 64 bits found it, all 256 decide
        place, source = place[same], source[same]
        self._found[place] = True
        return source, self._order[place]


def _read_part(path: Path, dim: int, wanted: Mapping[str, IdTable], out: Mapping[str, NDArray[np.float32]]) -> None:
    ids = _part_ids(path)
    matches = {name: want.match(ids) for name, want in wanted.items()}
    if not any(len(source) for source, _ in matches.values()):
        return
    for start, rows in row_groups(path, dim):
        for name, (source, target) in matches.items():
            here = (source >= start) & (source < start + len(rows))
            out[name][target[here]] = rows[source[here] - start]


def _part_ids(path: Path) -> Digests:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            column = file.read(columns=["image_id"]).column("image_id")
        return digests([str(value) for value in column.to_pylist()])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def row_groups(path: Path, dim: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first row, float32 [g, d]) of each row group, checksums verified."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    start = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                column = file.read_row_group(group, columns=["embedding"], use_threads=False).column("embedding")
                values = pc.list_flatten(column.combine_chunks())
                rows = values.to_numpy(zero_copy_only=True).reshape(-1, dim)
                yield start, rows
                start += len(rows)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> StoreError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return StoreError(f"{path} cannot be read ({reason}). Remove that file and embed the dataset again.")
