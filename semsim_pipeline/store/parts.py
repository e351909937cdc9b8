"""One part as the manifest names it, and the look that decides whether a file on disk is a whole part."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.store.schema import PART_ROWS, SetKey, failed_schema, part_schema

MANIFEST = "parts.json"
"""What names a set's parts: a file of the folder that it does not name does not exist."""

KEY = b"semsim.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A finished file of a set. dim is 0 for a failure part. bytes: its size, so that a cut file shows by a `stat`."""

    name: str
    rows: int
    dim: int
    bytes: int


def named_parts(folder: Path) -> list[Part]:
    """What the manifest of a set's folder names, in the order of naming.

    Raises OSError (FileNotFoundError where there is no manifest); ValueError, KeyError or TypeError on a damaged one.
    """
    return [Part(**entry) for entry in json.loads((folder / MANIFEST).read_text())["parts"]]


def key_of(path: Path) -> str | None:
    """The digest of the set that a file says it is of; None where semsim did not write it, or it is no Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        said = (pq.read_schema(path).metadata or {}).get(KEY)
    except (OSError, pa.ArrowException):
        return None
    return None if said is None else said.decode(errors="replace")


def inspect_part(path: Path, key: SetKey) -> Part:
    """The facts of one file, read from its footer and its ids.

    Raises StoreError with the reason where it is cut, unreadable, of another set, of another layout, or where an id
    is not a SHA-256 or comes twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        size = path.stat().st_size
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            ids = file.read(columns=["image_id"]).column("image_id").combine_chunks()
    except (OSError, pa.ArrowException, KeyError) as error:
        raise StoreError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error
    said = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    if said.get("semsim.key") != key.digest:
        raise StoreError(f"{path} belongs to another embedding set.")
    dim = 0
    if "embedding" in schema.names and pa.types.is_fixed_size_list(schema.field("embedding").type):
        dim = schema.field("embedding").type.list_size
    wanted = part_schema(dim) if dim else failed_schema()
    if path.name.startswith("part-") != bool(dim) or not schema.equals(wanted, check_metadata=False):
        raise StoreError(f"{path} does not have the columns of a part.")
    values = [str(value) for value in ids.to_pylist()]
    if not 1 <= len(values) <= PART_ROWS or len(set(values)) != len(values) or any(len(i) != 64 for i in values):
        raise StoreError(f"{path} does not hold 1 to {PART_ROWS} distinct image ids.")
    return Part(name=path.name, rows=len(values), dim=dim, bytes=size)
