"""What is wrong with an embedding set: its description, its manifest, and every part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from semsim_pipeline.errors import StoreError
from semsim_pipeline.stages.gc_sets import SET, set_at
from semsim_pipeline.store.audit import look_at
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.parts import MANIFEST, Part, named_parts
from semsim_pipeline.store.reader import digests
from semsim_pipeline.store.writer import failed_name, part_name, shard_digest

EMBED = "run `semsim rescore`, or embed again; only what is lost is embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """what: with the file. remedy: what to do. mend: removes what is damaged; call it while the set is held."""

    what: str
    remedy: str
    mend: Callable[[], None] | None = None


def faults_of_set(folder: Path, look: Callable[[], None]) -> Iterator[Fault]:
    """Each thing that is wrong with the set in a folder, as it is found. look: told of each part.

    Memory: one row group, and 8 bytes an image.
    """
    try:
        embeddings = set_at(folder)
    except StoreError as error:
        yield Fault(what=str(error), remedy=EMBED, mend=partial((folder / SET).unlink, missing_ok=True))
        return
    if embeddings is None:
        if any(folder.glob("part-*.parquet")):
            yield Fault(what=f"{folder} holds parts and no {SET}", remedy=EMBED)
        return
    if embeddings.key.folder_name != folder.name:
        yield Fault(what=f"{folder / SET} describes another set than the folder is named for", remedy="move it away")
        return
    try:
        parts = named_parts(folder)
    except FileNotFoundError:
        parts = []
    except (OSError, ValueError, KeyError, TypeError):
        yield Fault(what=f"{folder / MANIFEST} cannot be read", remedy=EMBED, mend=_recovered(embeddings))
        return
    yield from _of_parts(embeddings, parts, look)


def _recovered(embeddings: EmbeddingSet) -> Callable[[], None]:
    def recover() -> None:
        embeddings.recover()

    return recover


def _of_parts(embeddings: EmbeddingSet, parts: list[Part], look: Callable[[], None]) -> Iterator[Fault]:
    seen = [np.empty(0, dtype=np.uint64)]
    for part in parts:
        look()
        path = embeddings.folder / part.name
        mend = partial(embeddings.replace_parts, [part.name])
        found = look_at(embeddings, part)
        if found.problem is not None:
            yield Fault(what=found.problem, remedy=EMBED, mend=mend)
            continue
        if found.not_finite:
            what = f"{path} holds NaN or infinity in {found.not_finite:,} rows"
            yield Fault(what=what, remedy=EMBED, mend=mend)
            continue
        ids, planned = _content(path)
        digest = shard_digest(embeddings.key, ids)
        if len(ids) == planned and part.name != (part_name if part.dim else failed_name)(digest):
            yield Fault(what=f"{path} holds other images than its name says", remedy=EMBED, mend=mend)
            continue
        if part.dim:
            seen.append(digests(ids)[:, 0])
    every = np.concatenate(seen)
    twice = len(every) - len(np.unique(every))
    if twice:
        yield Fault(what=f"{embeddings.folder} holds {twice:,} images more than once", remedy="harmless; they agree")


def _content(path: Path) -> tuple[list[str], int]:
    """A sound part's images, and how many its shard had: with failures among them the name covers more."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        said = file.schema_arrow.metadata or {}
        ids = [str(value) for value in file.read(columns=["image_id"]).column("image_id").to_pylist()]
    return ids, int(said.get(b"semsim.planned", b"-1"))
