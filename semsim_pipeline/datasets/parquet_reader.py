"""Image bytes by row number out of Parquet shards, a few rows in memory at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from semsim_pipeline.errors import CorruptSourceError, UnreadableImageError
from semsim_pipeline.records import ItemRef

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

READING_ROWS = 16
"""Rows with their images in memory at once."""
STREAM_BYTES = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file, closed at the end; what it finds wrong, then and while it is read, is a CorruptSourceError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # A buffer makes it stream a column chunk; without one it holds a row group's images whole.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=STREAM_BYTES) as table:
            yield table
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise CorruptSourceError(f"{path}: not a whole Parquet file ({said}). Fetch it again.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """Where one row group lies. start: the number of its first row, counted over all shards."""

    shard: Path
    index: int
    start: int


def row_groups(shards: Sequence[Path]) -> list[RowGroup]:
    """Every row group of the shards. Memory: one small record each. Raises CorruptSourceError."""
    out: list[RowGroup] = []
    start = 0
    for shard in shards:
        with opened(shard) as table:
            for index in range(table.num_row_groups):
                out.append(RowGroup(shard=shard, index=index, start=start))
                start += table.metadata.row_group(index).num_rows
    return out


class Value(Protocol):
    """What is used of an Arrow scalar."""

    def as_py(self) -> object: ...


class Values(Protocol):
    """What is used of an Arrow array of binary values."""

    def __getitem__(self, row: int) -> Value: ...
    def __len__(self) -> int: ...


class ParquetReader:
    """Keeps the batch of the last row read; rows in order cost one pass, a step back starts its row group again."""

    def __init__(self, groups: Sequence[RowGroup], image: str, image_bytes: str) -> None:
        self._groups = groups
        self._starts = [group.start for group in groups]
        self._image = image
        self._image_bytes = image_bytes
        self._stack = ExitStack()
        self._group = -1
        self._batches: Iterator[Values] = iter(())
        self._batch: Values | None = None
        self._batch_start = 0

    def __enter__(self) -> ParquetReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, item: ItemRef) -> bytes:
        import pyarrow as pa

        row = item.locator
        group = bisect_right(self._starts, row) - 1
        # An empty row group starts where its successor does; bisect_right finds the last, which holds the row.
        try:
            if group != self._group or row < self._batch_start:
                self._start(group)
            while self._batch is None or row >= self._batch_start + len(self._batch):
                self._batch_start += 0 if self._batch is None else len(self._batch)
                self._batch = next(self._batches)
            value: object = self._batch[row - self._batch_start].as_py()
        except (pa.ArrowException, OSError, StopIteration) as error:
            where = self._groups[group].shard if self._groups else "the table"
            raise CorruptSourceError(f"{where}: row {row} cannot be read; it is damaged. Fetch it again.") from error
        if not isinstance(value, bytes):
            raise UnreadableImageError("no image bytes in this row (null, or only a path to a file elsewhere)")
        return value

    def _start(self, group: int) -> None:
        where = self._groups[group]
        self._stack.close()
        table = self._stack.enter_context(opened(where.shard))
        batches = table.iter_batches(
            READING_ROWS, row_groups=[where.index], columns=[self._image_bytes], use_threads=False
        )
        self._batches = (self._values(batch) for batch in batches)
        self._group, self._batch, self._batch_start = group, None, where.start

    def _values(self, batch: pa.RecordBatch) -> Values:
        import pyarrow as pa

        column = batch.column(self._image)
        return column.field("bytes") if isinstance(column, pa.StructArray) else column
