"""What goes of an embedding set: all of it, parts of which no image is needed, and rows of those with few that are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semsim_pipeline.errors import StoreError
from semsim_pipeline.json_file import read_json
from semsim_pipeline.stages.references import LiveImages, Policy, References
from semsim_pipeline.store.audit import AUDIT
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.parts import MANIFEST, Part
from semsim_pipeline.store.reader import read
from semsim_pipeline.store.schema import SetKey
from semsim_pipeline.store.writer import failed_name, part_name, shard_digest, write_failures, write_part

if TYPE_CHECKING:
    import polars as pl

SET = "set.json"
WORTH_IT = 0.5
"""A part is written anew where at least this share of its rows goes."""
FILES = ("part-*.parquet", "failed-*.parquet", AUDIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A file (or the files of a folder) that goes. bytes: that this frees."""

    path: Path
    bytes: int
    why: str


def set_at(folder: Path) -> EmbeddingSet | None:
    """The set of a folder by its own description, None where it has none (it was dropped, or is no set).

    Raises StoreError where the description is damaged.
    """
    said = read_json(folder / SET)
    if said is None:
        return None
    try:
        key = SetKey(
            encoder=str(said["encoder"]),
            fingerprint=str(said["fingerprint"]),
            decode_version=int(str(said["decode_version"])),
            schema_version=int(str(said["schema_version"])),
        )
    except (KeyError, ValueError) as error:
        raise StoreError(f"{folder / SET} does not describe a set; the next extraction writes it again.") from error
    return EmbeddingSet(folder=folder, key=key)


def drop_set(folder: Path, policy: Policy, *, delete: bool) -> Iterator[Dropped]:
    """All of a set that no dataset of the catalogue uses, if nobody used it lately. Its locks stay: they are waited on.

    Call it while the set is held.
    """
    if not (folder / SET).is_file():
        return
    files = [path for pattern in FILES for path in sorted(folder.glob(pattern))]
    if not all(policy.is_old(path) for path in (*files, folder / SET)):
        return
    size = sum(path.stat().st_size for path in files)
    if delete:
        for name in (MANIFEST, SET):  # first, so that no reader finds parts named that are going
            (folder / name).unlink(missing_ok=True)
        for path in files:
            path.unlink(missing_ok=True)
    yield Dropped(path=folder, bytes=size, why="no dataset of the catalogue is embedded with it")


def drop_unneeded_parts(folder: Path, references: References, *, delete: bool) -> Iterator[Dropped]:
    """Parts without a needed image, and the unneeded rows of parts that are mostly such. Call it while it is held.

    Raises StoreError. Memory: 8 bytes an image of the kept manifests, and one part.
    """
    embeddings = set_at(folder)
    if embeddings is None:
        return
    old = [part for part in embeddings.parts() if _is_old(folder / part.name, references.policy)]
    images: LiveImages | None = None
    for part in old:
        images = images or references.images()
        ids = ids_of(folder / part.name)
        needed = images.among(ids)
        if needed.all() or (needed.any() and needed.mean() > 1 - WORTH_IT):
            continue
        kept = int(np.count_nonzero(needed))
        if delete:
            fresh = _rewritten(embeddings, part, [image for image, keep in zip(ids, needed, strict=True) if keep])
            embeddings.replace_parts([part.name], fresh)
        yield Dropped(
            path=folder / part.name,
            bytes=round(part.bytes * (1 - kept / part.rows)),
            why=f"{part.rows - kept:,} of its {part.rows:,} images are in no manifest",
        )


def _is_old(path: Path, policy: Policy) -> bool:
    try:
        return policy.is_old(path)
    except FileNotFoundError:
        return False  # the next extraction sees to it


def ids_of(path: Path) -> pl.Series:
    """The images of a part, or of a file of hashes. Raises StoreError."""
    import polars as pl

    try:
        return pl.read_parquet(path, columns=["image_id"])["image_id"]
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{path} cannot be read: run `semsim verify --repair` first.") from error


def _rewritten(embeddings: EmbeddingSet, part: Part, ids: list[str]) -> list[str]:
    """A part of these images of another one, bit by bit the same rows; its name, or none where no image is left."""
    import polars as pl

    if not ids:
        return []
    digest = shard_digest(embeddings.key, ids)
    if part.dim:
        path = embeddings.folder / part_name(digest)
        write_part(path, embeddings.key, ids, read(embeddings, ids), planned=len(ids))
    else:
        path = embeddings.folder / failed_name(digest)
        rows = pl.read_parquet(embeddings.folder / part.name).filter(pl.col("image_id").is_in(ids))
        write_failures(path, embeddings.key, dict(rows.iter_rows()), planned=len(ids))
    return [path.name]
