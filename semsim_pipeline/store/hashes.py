"""Perceptual hashes by image, whatever dataset or encoder it came with: `hashes/<name>/hashes-<digest>.parquet`.

They are made where an image is decoded to be embedded, and kept apart from the embeddings, because they do not depend
on the encoder. A file's presence is its commit; an image may be in several files, always with the same hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.store.reader import IdTable, digests
from semsim_pipeline.store.writer import remove_leftovers, write_frame

if TYPE_CHECKING:
    import polars as pl

HASHED = "hashed"
"""Column that is true for an image in the store; null after a left join for one that is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashStore:
    """The hashes of one kind (`name` says which code made them), `words` numbers of 64 bits each.

    A value: it holds no open file and no rows.
    """

    folder: Path
    words: int

    @classmethod
    def at(cls, home: Path, name: str, words: int) -> HashStore:
        """The store of this kind under a home; nothing is read or written."""
        return cls(folder=home / "hashes" / name, words=words)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a hash's words, in order."""
        return tuple(f"hash.{word}" for word in range(self.words))

    def path(self, image_ids: Sequence[str]) -> Path:
        """Where the hashes of exactly these images, in this order, are or would be."""
        return self.folder / f"hashes-{digest_of(list(image_ids))[:16]}.parquet"

    def write(self, path: Path, image_ids: Sequence[str], hashes: NDArray[np.uint64]) -> None:
        """Write one file; all or nothing.

        hashes: uint64 [n, words], a row of zeros for an image without one (a flat surface). Raises StoreError.
        """
        import polars as pl

        if hashes.shape != (len(image_ids), self.words):
            raise ValueError(f"{len(image_ids)} images and hashes {list(hashes.shape)} do not agree")
        columns = {name: hashes[:, word] for word, name in enumerate(self.columns)}
        table = pl.DataFrame({"image_id": list(image_ids), **columns}, schema_overrides={"image_id": pl.String})
        write_frame(path, table)

    def recover(self) -> None:
        """Remove what killed writers left."""
        if self.folder.is_dir():
            remove_leftovers(self.folder)

    def id_batches(self) -> Iterator[pl.DataFrame]:
        """`image_id` of every image with a hash or known to have none, a file at a time."""
        import polars as pl

        for path in self.files():
            yield pl.read_parquet(path, columns=["image_id"])

    def joined(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` with each image's hash (`hash.0` …, null where it is not in the store) and `hashed`; order kept.

        Memory: the rows' hashes, and one pass over the store's files.
        """
        import polars as pl

        files = self.files()
        nothing: dict[str, pl.DataType] = {"image_id": pl.String(), **{name: pl.UInt64() for name in self.columns}}
        table = pl.scan_parquet(files) if files else pl.LazyFrame(schema=nothing)
        known = table.join(rows.lazy().select("image_id"), on="image_id", how="semi").unique("image_id", keep="any")
        known = known.with_columns(pl.lit(value=True).alias(HASHED))
        found = rows.lazy().join(known, on="image_id", how="left", maintain_order="left")
        return found.with_columns(pl.col(HASHED).fill_null(value=False)).collect()

    def of(self, rows: pl.DataFrame) -> NDArray[np.uint64] | None:
        """uint64 [n, words] of rows that `joined` made, zeros where an image has no hash; None for other rows."""
        if HASHED not in rows.columns:
            return None
        return np.column_stack([rows[name].fill_null(0).to_numpy() for name in self.columns]).astype(np.uint64)

    def files(self) -> list[Path]:
        """Every file, sorted."""
        return sorted(self.folder.glob("hashes-*.parquet"))


class LoadedHashes:
    """Every hash of a store, read once and asked often. Memory: 41 + 8·words bytes an image of the store."""

    def __init__(self, store: HashStore) -> None:
        import polars as pl

        files = store.files()
        table = pl.read_parquet(files) if files else None
        ids: Sequence[str] | pl.Series = [] if table is None else table["image_id"]
        self._ids = IdTable(digests(ids))
        self._columns = {
            name: pl.Series(dtype=pl.UInt64) if table is None else table[name].rechunk() for name in store.columns
        }

    def joined(self, rows: pl.DataFrame) -> pl.DataFrame:
        """As `HashStore.joined`, for ids that are SHA-256."""
        import polars as pl

        source, place = self._ids.match(digests(rows["image_id"]))
        where = np.full(len(rows), -1, dtype=np.int64)
        where[source] = place
        index = pl.select(pl.when(pl.Series(where) >= 0).then(pl.Series(where))).to_series()
        found = [column.gather(index).alias(name) for name, column in self._columns.items()]
        return rows.with_columns(*found, pl.Series(HASHED, where >= 0))
