"""The source `parquet`: images in the layout that the Hugging Face hub publishes, one file or a folder of shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.datasets.base import SOURCES, Reader, SourceKind, check_options
from semsim_pipeline.datasets.layout import is_skipped, spelled, stamp_of_file, what_is_there
from semsim_pipeline.datasets.parquet_columns import TableColumns, columns_of
from semsim_pipeline.datasets.parquet_reader import ParquetReader, opened, row_groups
from semsim_pipeline.datasets.stamp import Stamp, Stamper
from semsim_pipeline.errors import MissingPathError, UnknownNameError, WrongCallError, did_you_mean
from semsim_pipeline.records import ItemRef

if TYPE_CHECKING:
    import pyarrow as pa

OPTIONS = ("image_column", "group_by")
LISTING_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetImages:
    """The rows of every shard, shards in the order of their paths. Path of an item: `shard/row` or `shard/row/name`.

    only: files below the location, in this order, where not every one of it is meant.
    Text, integer and boolean columns are labels; a ClassLabel's numbers become its names, null becomes "".
    Memory: 4,096 rows without the images when listing; with them when reading, a few
    rows or one data page, whichever is more.
    """

    location: str
    options: Mapping[str, str] = field(default_factory=dict)
    columns: TableColumns
    only: tuple[str, ...] = ()
    kind: str = "parquet"

    @property
    def label_columns(self) -> tuple[str, ...]:
        return self.columns.labels

    def items(self) -> Iterator[ItemRef]:
        group = self.options.get("group_by")
        start = 0
        for shard, name in shards_of(self.location, self.only):
            stamp = stamp_of_file(shard.stat())
            row = 0
            with opened(shard) as table:
                self.columns.check(table.schema_arrow, str(shard))
                for batch in table.iter_batches(LISTING_ROWS, columns=self.columns.listed(), use_threads=False):
                    for labels, file_name in self._rows(batch):
                        yield ItemRef(
                            path=f"{name}/{row}" + (f"/{spelled(file_name.rsplit('/', 1)[-1])}" if file_name else ""),
                            labels=labels,
                            group=(labels[group] or None) if group else None,
                            stamp=f"{stamp}-{row}",
                            locator=start + row,
                        )
                        row += 1
            start += row

    def _rows(self, batch: pa.RecordBatch) -> Iterator[tuple[dict[str, str], str]]:
        """(labels, the file name that the image column gives) of each row."""
        columns = {name: self.columns.texts(name, batch.column(name).to_pylist()) for name in self.columns.labels}
        names = self.columns.file_names(batch)
        for row in range(batch.num_rows):
            yield {name: values[row] for name, values in columns.items()}, names[row]

    def open(self) -> AbstractContextManager[Reader]:
        shards = [shard for shard, _name in shards_of(self.location, self.only)]
        return ParquetReader(row_groups(shards), self.columns.image, self.columns.image_bytes)

    def stamp(self) -> Stamp:
        Path(self.location).stat()  # a folder that has gone is not one without shards
        stamper = Stamper({})
        for shard, name in shards_of(self.location, self.only):
            stamper.add(name, shard.stat())
        return stamper.done()

    def what_else(self) -> str:
        path = Path(self.location)
        names = [path.name] if path.is_file() else [name for _shard, name in shards_of(self.location, self.only)]
        return f"{what_is_there(names)}, all without rows" if names else "nothing"


def shards_of(location: str, only: Sequence[str] = ()) -> Iterator[tuple[Path, str]]:
    """(file, its path within the location) of every `*.parquet`, sorted; hidden ones skipped. only: just these."""
    root = Path(location)
    if only:
        yield from ((root / name, spelled(name)) for name in only)
        return
    if root.is_file():
        yield root, spelled(root.name)
        return
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.parquet"))
    for name in found:
        if not any(is_skipped(part) for part in name.split("/")) and (root / name).is_file():
            yield root / name, spelled(name)


def build(location: str, options: Mapping[str, str], only: tuple[str, ...] = ()) -> ParquetImages:
    """A Parquet source; reads the first shard's schema.

    Raises WrongCallError (no image column, or several and none named), MissingPathError, CorruptSourceError.
    """
    check_options("parquet", options, OPTIONS)
    path = Path(location).expanduser().absolute()
    if not path.exists():
        raise MissingPathError(f"There is no Parquet file or folder {path}.")
    first = next(shards_of(str(path), only), None)
    if first is None:
        raise WrongCallError(f"{path} holds no *.parquet file.")
    with opened(first[0]) as table:
        columns = columns_of(table.schema_arrow, options.get("image_column"), str(first[0]))
    group = options.get("group_by")
    if group is not None and group not in columns.labels:
        raise UnknownNameError(did_you_mean(f"column to group by in {path}", group, columns.labels))
    return ParquetImages(location=str(path), options=dict(options), columns=columns, only=only)


SOURCES.add(
    "parquet",
    SourceKind(
        name="parquet",
        summary="images in Parquet as the Hugging Face hub publishes them: one file or a folder of shards",
        example="semsim compare train.parquet 'shards/[label=cat]'",
        licence="your own files",
        build=build,
        options=OPTIONS,
    ),
)
