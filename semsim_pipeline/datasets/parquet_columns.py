"""Which columns of a table are the image, its file name and its labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semsim_pipeline.errors import CorruptSourceError, UnknownNameError, WrongCallError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

USUAL_NAMES = ("image", "img", "bytes", "image_bytes", "jpg", "png")
"""Plain binary columns that are taken for the image, the first one present; structs need no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """image: the column. in_struct: its bytes are its child `bytes`. has_name: it has a child `path`.

    labels: columns in the schema's order. class_names: column to its names by number (Hugging Face's ClassLabel).
    """

    image: str
    in_struct: bool
    has_name: bool
    labels: tuple[str, ...]
    class_names: Mapping[str, tuple[str, ...]]

    @property
    def image_bytes(self) -> str:
        """The Parquet path of the column that holds the bytes."""
        return f"{self.image}.bytes" if self.in_struct else self.image

    def listed(self) -> list[str]:
        """What a listing reads: everything but the images. A child of a struct is read without its siblings."""
        return [*self.labels, *([f"{self.image}.path"] if self.has_name else [])]

    def texts(self, column: str, values: Sequence[object]) -> list[str]:
        """A label column's values as text; a class number by its name, null and a class of -1 (unknown) as ""."""
        names = self.class_names.get(column)
        if names is None:
            return ["" if value is None else str(value) for value in values]
        return [
            names[value] if isinstance(value, int) and 0 <= value < len(names) else _odd_class(value)
            for value in values
        ]

    def file_names(self, batch: pa.RecordBatch) -> list[str]:
        """The original file name of each row, "" where the table has none."""
        if not self.has_name:
            return [""] * batch.num_rows
        return [(row or {}).get("path") or "" for row in batch.column(self.image).to_pylist()]

    def check(self, schema: pa.Schema, where: str) -> None:
        """Raises CorruptSourceError for a shard that lacks a column of the first one."""
        for name in (self.image, *self.labels):
            if name not in schema.names:
                raise CorruptSourceError(
                    f"{where} has no column {name!r}, which the first shard has; found {', '.join(schema.names)}."
                )


def columns_of(schema: pa.Schema, image_column: str | None, where: str) -> TableColumns:
    """Read a schema. Raises WrongCallError: no image column, several of them, or not the one that was named."""
    import pyarrow as pa

    able = [item.name for item in schema if _is_image(item.type)]
    if image_column is not None:
        if image_column not in able:
            raise UnknownNameError(did_you_mean(f"image column in {where}", image_column, able))
        image = image_column
    else:
        image = _only_image(schema, able, where)
    kind = schema.field(image).type
    children = {kind.field(i).name for i in range(kind.num_fields)} if pa.types.is_struct(kind) else set()
    return TableColumns(
        image=image,
        in_struct=bool(children),
        has_name="path" in children,
        labels=tuple(item.name for item in schema if item.name != image and _is_label(item.type)),
        class_names=_class_names(schema),
    )


def _only_image(schema: pa.Schema, able: list[str], where: str) -> str:
    import pyarrow as pa

    structs = [name for name in able if pa.types.is_struct(schema.field(name).type)]
    usual = [name for name in USUAL_NAMES if name in able]
    for candidates in ([name for name in usual if name in structs], structs, usual):
        if len(candidates) == 1 or (candidates and candidates is usual):
            return candidates[0]
        if candidates:
            raise WrongCallError(
                f"{where} has several image columns: {', '.join(candidates)}. Choose one: '{where}[image_column=…]'."
            )
    hint = f" Binary columns: {', '.join(able)}; name one: '{where}[image_column=…]'." if able else ""
    raise WrongCallError(
        f"{where} has no image column (a struct with 'bytes', or a binary column called image, img or bytes); "
        f"found {', '.join(schema.names) or 'no column'}.{hint}"
    )


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_image(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.StructType):
        return any(kind.field(i).name == "bytes" and _is_binary(kind.field(i).type) for i in range(kind.num_fields))
    return _is_binary(kind)


def _is_label(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.DictionaryType):
        kind = kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _odd_class(value: object) -> str:
    return "" if value is None or value == -1 else str(value)


def _class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """The ClassLabel names from the hub's own metadata; empty where there is none, or none that can be read."""
    try:
        known = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = known.get("info", {}).get("features", {})
        out = {}
        for column, feature in features.items():
            names = feature.get("names") if isinstance(feature, dict) else None
            if isinstance(names, dict):  # an old spelling: {"0": "cat", "1": "dog"}
                names = [names[key] for key in sorted(names, key=int)]
            if isinstance(names, list):
                out[column] = tuple(str(name) for name in names)
    except (ValueError, AttributeError):
        return {}  # someone else's metadata under the same key: the numbers are then labels as they are
    return out
