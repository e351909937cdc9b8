"""What is left to embed: a manifest minus a set, in the source's order, cut into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import Source
from semsim_pipeline.datasets.decode import DECODE_VERSION
from semsim_pipeline.encoders.base import Encoder
from semsim_pipeline.extract.records import ShardSpec
from semsim_pipeline.records import ItemRef
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.hashes import HashStore
from semsim_pipeline.store.manifest import ManifestRef, read_batches
from semsim_pipeline.store.reader import digests
from semsim_pipeline.store.schema import SetKey

if TYPE_CHECKING:
    import polars as pl


def embedding_key(encoder: Encoder) -> SetKey:
    """The key of an encoder's set. Raises MissingWeightsError where the weights are not here."""
    return SetKey(encoder=encoder.name, fingerprint=encoder.fingerprint(), decode_version=DECODE_VERSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a plan becomes shards: who encodes, in what portions, and where the images' hashes go, if anywhere."""

    encoder: Encoder
    rows: int
    batch_size: int | None
    threads: int = 1
    hashes: HashStore | None = None


def missing_rows(manifest: ManifestRef, embeddings: EmbeddingSet) -> NDArray[np.uint32]:
    """Row numbers of the manifest to embed, ascending: opened well, neither embedded nor failed before, first of twins.

    The anti-join of the manifest with the set, by binary search: a hash join takes several times the memory.
    Memory: about 40 bytes an image of the set, and 50 a row that is missing.
    """
    return missing_from(manifest, chain(embeddings.id_batches(failed=False), embeddings.id_batches(failed=True)))


def missing_from(manifest: ManifestRef, known: Iterable[pl.DataFrame]) -> NDArray[np.uint32]:
    """Row numbers of the manifest, ascending: opened well, not among the known `image_id`, first of twins.

    Memory as `missing_rows`.
    """
    table = _Sorted(_short(known))
    rows = [np.empty(0, dtype=np.uint32)]
    ids = [np.empty((0, 2), dtype=np.uint64)]
    for numbers, found in _opened(manifest):
        new = ~table.holds(found)
        rows.append(numbers[new])
        ids.append(found[new])
    return np.sort(np.concatenate(rows)[_first_of_twins(np.concatenate(ids))])


def shards(
    source: Source, manifest: ManifestRef, embeddings: EmbeddingSet, rows: NDArray[np.uint32], cut: Cut
) -> Iterator[ShardSpec]:
    """The shards of these manifest rows, made as they are asked for. Memory: one shard's items."""
    import polars as pl

    start = 0
    held: list[pl.DataFrame] = []
    for batch in read_batches(manifest.path, ["path", "image_id", "size", "stamp", "locator"]):
        first, last = np.searchsorted(rows, [start, start + len(batch)])
        held.append(batch[rows[first:last].astype(np.int64) - start])
        start += len(batch)
        ready = pl.concat(held)
        while len(ready) >= cut.rows:
            yield _spec(source, embeddings, ready[: cut.rows], cut)
            ready = ready[cut.rows :]
        held = [ready]
    if held and len(held[0]):
        yield _spec(source, embeddings, held[0], cut)


def files_holding(manifest: ManifestRef, files: Iterable[Path]) -> list[Path]:
    """Those of some files with `image_id` that hold an image of the manifest. Memory: 24 bytes a row."""
    import polars as pl

    mine = np.sort(np.concatenate([np.empty(0, np.uint64), *(ids[:, 0] for _, ids in _opened(manifest))]))
    holding = []
    for path in files:
        ids = digests(pl.read_parquet(path, columns=["image_id"])["image_id"])[:, 0]
        place = np.minimum(np.searchsorted(mine, ids), max(0, len(mine) - 1))
        if len(mine) and bool((mine[place] == ids).any()):
            holding.append(path)
    return holding


def count_embedded(manifest: ManifestRef, embeddings: EmbeddingSet) -> int:
    """Rows of the manifest that have an embedding; twins count each. Memory: about 40 bytes an image of the set."""
    table = _Sorted(_short(embeddings.id_batches(failed=False)))
    return sum(int(np.count_nonzero(table.holds(ids))) for _, ids in _opened(manifest))


def failures(manifest: ManifestRef, embeddings: EmbeddingSet) -> pl.LazyFrame:
    """`path` and `error` of the manifest's rows whose image could not be opened, or not be decoded later."""
    import polars as pl

    rows = pl.scan_parquet(manifest.path)
    unopened = rows.filter(pl.col("status") == "failed").select("path", "error")
    opened = rows.filter(pl.col("status") == "ok").select("path", "image_id")
    undecoded = opened.join(embeddings.failed(), on="image_id", how="inner").select("path", "error")
    return pl.concat([unopened, undecoded])


def _spec(source: Source, embeddings: EmbeddingSet, rows: pl.DataFrame, cut: Cut) -> ShardSpec:
    items = tuple(
        ItemRef(path=path, size=size, stamp=stamp, locator=locator)
        for path, size, stamp, locator in rows.select("path", "size", "stamp", "locator").iter_rows()
    )
    return ShardSpec(
        source=source,
        items=items,
        image_ids=tuple(rows["image_id"]),
        encoder=cut.encoder,
        key=embeddings.key,
        folder=embeddings.folder,
        batch_size=cut.batch_size,
        threads=cut.threads,
        hashes=cut.hashes,
    )


ShortIds = NDArray[np.uint64]
"""[n, 2]: the first 128 bits of image ids, 16 bytes where the hex text takes 80; no likelier to meet by chance."""


def _opened(manifest: ManifestRef) -> Iterator[tuple[NDArray[np.uint32], ShortIds]]:
    """Row numbers and ids of the manifest's rows that opened well, a batch at a time."""
    start = 0
    for batch in read_batches(manifest.path, ["image_id", "status"]):
        good = (batch["status"] == "ok").to_numpy()
        yield (start + np.flatnonzero(good)).astype(np.uint32), _short([batch.filter(good)])
        start += len(batch)


def _short(batches: Iterable[pl.DataFrame]) -> ShortIds:
    return np.concatenate(
        [np.empty((0, 2), dtype=np.uint64), *(digests(batch["image_id"])[:, :2].copy() for batch in batches)]
    )


def _order(ids: ShortIds) -> NDArray[np.intp]:
    return np.lexsort((ids[:, 1], ids[:, 0]))


def _first_of_twins(ids: ShortIds) -> NDArray[np.intp]:
    """Places of the first of each group of equal ids."""
    order = _order(ids)  # stable: the first of twins stands first
    ordered = ids[order]
    starts = np.ones(len(ids), dtype=np.bool_)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return order[starts]


class _Sorted:
    """Ids to look others up in."""

    def __init__(self, ids: ShortIds) -> None:
        order = _order(ids)
        self._first, self._second = ids[order, 0], ids[order, 1]

    def holds(self, ids: ShortIds) -> NDArray[np.bool_]:
        """[n]: which of `ids` are among these."""
        found = np.zeros(len(ids), dtype=np.bool_)
        place = np.searchsorted(self._first, ids[:, 0])
        left = np.arange(len(ids))
        while len(left):  # once, unless two ids agree in their first 64 bits
            left = left[place[left] < len(self._first)]
            left = left[self._first[place[left]] == ids[left, 0]]
            same = self._second[place[left]] == ids[left, 1]
            found[left[same]] = True
            left = left[~same]
            place[left] += 1
        return found
