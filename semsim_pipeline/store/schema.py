"""The store's words: columns of a manifest, of an embedding part, of a failure part, and what identifies a set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semsim_pipeline.fingerprint import digest_of

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
"""Raised when stored parts stop meaning what they meant; it is in every set's key, so old sets are left alone."""

PART_ROWS = 4096
"""The most rows of one part: what a kill can lose, and what a reader holds beside its result."""

ROW_GROUP = 1024
"""Rows of a row group: a reader's working memory is one group, 2 MiB at d = 512."""

LABEL_PREFIX = "label."
"""A manifest has one column per label, such as `label.class`: a label may be called `path` without harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKey:
    """Everything that changes an embedding's numbers; two sets with one digest hold the same rows for an image.

    encoder: the name for people (not part of the digest: an alias of one encoder shares its set).
    fingerprint: of the encoder. decode_version: of the code that turns a file into RGB.
    """

    encoder: str
    fingerprint: str
    decode_version: int
    schema_version: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """SHA-256 in hex."""
        return digest_of([self.fingerprint, self.decode_version, self.schema_version])

    @property
    def folder_name(self) -> str:
        """`<encoder-slug>-<12 hex>`: readable, safe as a file name, distinct wherever the digest is."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.encoder.lower()).strip("-")[:40] or "encoder"
        return f"{slug}-{self.digest[:12]}"


def manifest_schema(labels: Sequence[str]) -> pa.Schema:
    """One row per image path, in the source's order. `image_id` is null only where the bytes could not be read."""
    import pyarrow as pa

    fields: list[pa.Field[pa.DataType]] = [
        pa.field("path", pa.string(), nullable=False),
        pa.field("image_id", pa.string()),
        *(pa.field(LABEL_PREFIX + name, pa.string()) for name in labels),
        pa.field("group", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("stamp", pa.string()),
        pa.field("locator", pa.int64(), nullable=False),
    ]
    return pa.schema(fields)


def index_schema() -> pa.Schema:
    """What is known of a source by path and stamp; `trusted` says whether the stamp may be believed next time."""
    import pyarrow as pa

    known = [field for field in manifest_schema(()) if field.name not in ("group", "locator")]
    return pa.schema([*known, pa.field("trusted", pa.bool_(), nullable=False)])


def part_schema(dim: int) -> pa.Schema:
    """An embedding part: `image_id`, and `embedding` as float32 [d] without nulls (zero-copy to numpy)."""
    import pyarrow as pa

    item = pa.field("item", pa.float32(), nullable=False)
    return pa.schema(
        [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(item, dim), nullable=False),
        ]
    )


def failed_schema() -> pa.Schema:
    """A failure part: images whose bytes were read and could not be decoded, with the reason."""
    import pyarrow as pa

    return pa.schema(
        [pa.field("image_id", pa.string(), nullable=False), pa.field("error", pa.string(), nullable=False)]
    )


def file_metadata(key: SetKey, planned: int) -> dict[str, str]:
    """What every part says of itself, so that a part can be judged without the set's manifest.

    planned: images of the shard that wrote it, embedded or not.
    """
    return {
        "semsim.schema": str(key.schema_version),
        "semsim.encoder": key.encoder,
        "semsim.fingerprint": key.fingerprint,
        "semsim.key": key.digest,
        "semsim.planned": str(planned),
    }
