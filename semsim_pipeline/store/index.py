"""What is known of a source by path: an unchanged file is not read again to learn its hash.

The racy rule (git has the same): a file changed twice within one tick of its file system's clock keeps its stamp. So a
stamp that is a time within 2 s of the scan, or later, is not trusted the next time: that file is hashed once more,
and trusted after that. Of several times in a stamp (a file's change and modification) the newest counts. Stamps that
are no times (a CRC, a number of bytes) are trusted; a missing stamp never is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import StoreError
from semsim_pipeline.store.manifest import INDEX_NAME, as_frame, read_batches, to_arrow
from semsim_pipeline.store.schema import index_schema
from semsim_pipeline.store.writer import atomic_file

if TYPE_CHECKING:
    import polars as pl

RACY_NS = 2_000_000_000
KNOWN = ("image_id", "width", "height", "format", "status", "error")
GROUPS_HELD = 2


class PathIndex:
    """The rows of `index.parquet`, found by path.

    Listings come in nearly the order of the last one, so a chunk of a listing needs one or two row groups of the
    index; any other order works too, and reads more. A damaged index is an empty one: everything is hashed again.

    Memory: 17 bytes a row (hash of the path, its row, whether it was seen) and two row groups.
    """

    def __init__(self, folder: Path, decode_version: int) -> None:
        """Open what there is; failures that an older decoder found are looked at again."""
        self.path = folder / INDEX_NAME
        self._decode_version = decode_version
        self._same_decoder = False
        self._held: dict[int, pl.DataFrame] = {}
        self._starts: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        hashes = []
        try:
            if self.path.exists():
                self._open()
                hashes = [batch["path"].hash().to_numpy() for batch in read_batches(self.path, ["path"])]
        except StoreError:
            hashes = []
            self._starts = np.zeros(1, dtype=np.int64)
        keys = np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64)
        self._order = np.argsort(keys, kind="stable").astype(np.uint32)
        self._keys = keys[self._order]
        self._seen = np.zeros(len(keys), dtype=np.bool_)

    def lookup(self, listing: pl.DataFrame) -> pl.DataFrame:
        """`listing` (path, stamp, size, …) with the columns of KNOWN; status is null where the image must be read."""
        import polars as pl

        hashes = listing["path"].hash().to_numpy()
        place = np.searchsorted(self._keys, hashes)
        hit = place < len(self._keys)
        hit[hit] = self._keys[place[hit]] == hashes[hit]
        rows = self._order[place[hit]]
        found = self._rows(np.unique(rows)).unique("path", keep="first", maintain_order=True)
        joined = listing.join(found, on="path", how="left", maintain_order="left", suffix="_known")
        # Two paths with one 64-bit hash: the second is not found, is read again, and nothing worse happens.
        same_path = joined["status"].is_not_null().to_numpy()
        self._seen[self._order[place[hit & same_path]]] = True
        fresh = (
            (pl.col("stamp") == pl.col("stamp_known"))
            & (pl.col("size").is_null() | (pl.col("size") == pl.col("size_known")))
            & pl.col("trusted")
            & pl.col("image_id").is_not_null()
            & ((pl.col("status") == "ok") | pl.lit(self._same_decoder))
        ).fill_null(value=False)
        columns = [pl.when(fresh).then(pl.col(name)).alias(name) for name in KNOWN]
        columns.append(pl.col("size").fill_null(pl.when(fresh).then(pl.col("size_known"))))
        return joined.with_columns(columns).select(*listing.columns, *KNOWN)

    def rewrite(self, manifest: Path, scanned_ns: int) -> None:
        """Write the index again: this listing's rows in its order, then rows of paths that the listing did not have.

        The latter stay because a view lists only a part of its source. scanned_ns: when the listing began.
        Raises StoreError. Memory: one batch.
        """
        import pyarrow.parquet as pq

        facts = {"semsim.decode_version": str(self._decode_version)}
        schema = index_schema().with_metadata(facts)
        with atomic_file(self.path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in self._listed(manifest, scanned_ns):
                writer.write_table(to_arrow(batch, schema))
            for batch in self._unseen():
                writer.write_table(to_arrow(batch, schema))

    def distrust(self, paths: Sequence[str]) -> None:
        """Have these read again by the next scan, whatever their stamps: their content was seen to differ.

        Raises StoreError. Memory: one batch and the paths.
        """
        import polars as pl
        import pyarrow.parquet as pq

        if not self.path.exists():
            return
        with pq.ParquetFile(self.path) as file:
            schema = file.schema_arrow
        kept = pl.col("trusted") & ~pl.col("path").is_in(list(paths))
        with atomic_file(self.path) as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
            for batch in read_batches(self.path):
                writer.write_table(to_arrow(batch.with_columns(kept.alias("trusted")), schema))

    def _listed(self, manifest: Path, scanned_ns: int) -> Iterator[pl.DataFrame]:
        import polars as pl

        names = [name for name in index_schema().names if name != "trusted"]
        # Nanoseconds since 1970 have 19 digits until 2286; a CRC or a size has fewer and is no time.
        times = pl.col("stamp").str.extract_all(r"\d{18,19}")
        moment = times.list.eval(pl.element().cast(pl.Int64, strict=False)).list.max()
        trusted = pl.col("stamp").is_not_null() & (moment < scanned_ns - RACY_NS).fill_null(value=True)
        for batch in read_batches(manifest, names):
            yield batch.with_columns(trusted.alias("trusted"))

    def _unseen(self) -> Iterator[pl.DataFrame]:
        if self._seen.all():
            return
        start = 0
        for batch in read_batches(self.path):
            yield batch.filter(~self._seen[start : start + len(batch)])
            start += len(batch)

    def _open(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                said = file.schema_arrow.metadata or {}
                counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
                if file.schema_arrow.names != index_schema().names:
                    raise StoreError(f"{self.path} is of another version.")
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self.path} cannot be read.") from error
        self._same_decoder = said.get(b"semsim.decode_version") == str(self._decode_version).encode()
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def _rows(self, rows: NDArray[np.uint32]) -> pl.DataFrame:
        """These rows (ascending) of the index: path, stamp, size, trusted and KNOWN."""
        import polars as pl

        columns = ["path", "stamp", "size", "trusted", *KNOWN]
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        frames = [
            self._group(int(group)).select(columns)[rows[groups == group].astype(np.int64) - self._starts[group]]
            for group in np.unique(groups)
        ]
        if frames:
            together: pl.DataFrame = pl.concat(frames)
            return together
        return as_frame(index_schema().empty_table()).select(columns)

    def _group(self, group: int) -> pl.DataFrame:
        import pyarrow.parquet as pq

        if group not in self._held:
            while len(self._held) >= GROUPS_HELD:
                self._held.pop(next(iter(self._held)))
            with pq.ParquetFile(self.path) as file:
                self._held[group] = as_frame(file.read_row_group(group, use_threads=False))
        return self._held[group]
