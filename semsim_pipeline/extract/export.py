"""A view's embeddings as plain Parquet in a folder of the user's choice."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.errors import StoreError, WrongCallError
from semsim_pipeline.extract.records import Extraction
from semsim_pipeline.home import cannot_write, semsim_home
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.manifest import read_batches
from semsim_pipeline.store.parts import MANIFEST as PARTS_JSON
from semsim_pipeline.store.parts import key_of
from semsim_pipeline.store.reader import KnownIds, read
from semsim_pipeline.store.schema import PART_ROWS, ROW_GROUP, file_metadata, part_schema
from semsim_pipeline.store.writer import atomic_file, atomic_file_named_last

if TYPE_CHECKING:
    import polars as pl

MANIFEST = "manifest.parquet"
PART_NAME = re.compile(r"part-\d{5,}\.parquet")


def export_view(extraction: Extraction, out: Path, *, group_scope: str = "") -> Path:
    """Write `part-00000.parquet` … (image_id, path, group, embedding; one row an image path) and `manifest.parquet`.

    Rows come in the manifest's order; failed images are only in the manifest. Parts carry the encoder's fingerprint,
    so that `semsim score` finds its background. Each part of an earlier export is replaced as a whole; those beyond
    the new ones go once everything is written. group_scope: `datasets.resolve.group_scope` of the view's source, put
    before every group, so that groups of several exports can be told apart.
    Raises: as `check_export_folder`; StoreError where it cannot be written. Memory: one part.
    """
    check_export_folder(out, extraction.folder.parent.parent)
    embeddings = EmbeddingSet(folder=extraction.folder, key=extraction.key)
    written = {MANIFEST}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number, rows in enumerate(_embedded_batches(extraction, embeddings, group_scope)):
            written.add(_write(out, number, rows, embeddings, extraction))
        with extraction.manifest.path.open("rb") as manifest, atomic_file(out / MANIFEST) as copy:
            shutil.copyfileobj(manifest, copy)
        for old in sorted(out.glob("part-*.parquet")):
            if PART_NAME.fullmatch(old.name) and old.name not in written:
                old.unlink()
    except OSError as error:
        raise StoreError(cannot_write(out, error)) from error
    return out


def check_export_folder(out: Path, home: Path | None = None) -> None:
    """Refuse a folder in which an export would replace or join files that no export wrote; reads footers alone.

    home: whose store must not be written into; SEMSIM_HOME where None.
    Raises WrongCallError: a file, a folder within the home, a store's own folder, other people's Parquet in it.
    """
    if out.exists() and not out.is_dir():
        raise WrongCallError(f"--out {out} is a file; give a folder.")
    home = (home or semsim_home()).resolve()
    if out.resolve().is_relative_to(home):
        raise WrongCallError(f"--out {out} lies within semsim's own store {home}; give a folder outside it.")
    if (out / PARTS_JSON).exists():
        raise WrongCallError(f"--out {out} is the folder of a semsim store; give a new folder.")
    found = sorted(out.glob("*.parquet"))
    foreign = [path.name for path in found if path.name != MANIFEST and key_of(path) is None]
    if not foreign and [path.name for path in found] == [MANIFEST]:
        foreign = [MANIFEST]  # beside our parts it is an earlier export's; alone it is somebody else's
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise WrongCallError(f"--out {out} holds {foreign[0]}{more}, not written by semsim; give a new folder.")


def _embedded_batches(extraction: Extraction, embeddings: EmbeddingSet, scope: str) -> Iterator[pl.DataFrame]:
    """image_id, path and group of the rows that have an embedding, at most a part's worth at a time."""
    import polars as pl

    group = pl.lit(scope) + pl.col("group")  # null stays null
    known = KnownIds(embeddings)
    for batch in read_batches(extraction.manifest.path, ["image_id", "path", "group", "status"]):
        usable = batch.filter(pl.col("status") == "ok").select("image_id", "path", group.alias("group"))
        kept = usable.filter(pl.Series(known.holds(usable["image_id"])))
        if len(kept):
            yield kept


def _write(out: Path, number: int, rows: pl.DataFrame, embeddings: EmbeddingSet, extraction: Extraction) -> str:
    """Write one part; its name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = f"part-{number:05d}.parquet"
    vectors = read(embeddings, rows["image_id"])
    schema = part_schema(vectors.shape[1])
    schema = schema.insert(1, pa.field("path", pa.string(), nullable=False)).insert(2, pa.field("group", pa.string()))
    schema = schema.with_metadata(file_metadata(extraction.key, len(rows)))
    columns = [
        *(pa.array(rows[column].to_list(), pa.string()) for column in ("image_id", "path", "group")),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=schema.field("embedding").type),
    ]
    table = pa.Table.from_arrays(columns, schema=schema)
    with atomic_file_named_last(out, lambda: name) as file:
        pq.write_table(
            table, file, row_group_size=min(ROW_GROUP, PART_ROWS), use_dictionary=False, write_statistics=["path"]
        )
    return name
