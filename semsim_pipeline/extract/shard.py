"""The shard task: read → decode → preprocess → encode → write, once, visibly. It knows no engine and no framework."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.perceptual import HASH_WORDS
from semsim_pipeline.encoders.base import Encoder, LoadedEncoder
from semsim_pipeline.encoders.resolve import library_of
from semsim_pipeline.errors import StoreError
from semsim_pipeline.extract.batches import Batch, Batches
from semsim_pipeline.extract.records import REASONS_SHOWN, ShardReceipt, ShardSpec
from semsim_pipeline.heap import own_pages, return_freed_memory
from semsim_pipeline.store.parts import Part, inspect_part
from semsim_pipeline.store.writer import failed_name, part_name, shard_digest, write_failures, write_part

TRIM_BATCHES = 64
"""Batches after which holes between a network's activations go back: a few milliseconds in some seconds."""

_loaded: dict[tuple[str, str], LoadedEncoder] = {}
"""The encoder of the last shard of this process: a network takes seconds to load, and shards come by the hundred."""


def embed_shard(spec: ShardSpec, report: Callable[[int, int], None] | None = None) -> ShardReceipt:
    """Embed one shard's images and write its part. Run twice, it does the work once: the part's presence is the commit.

    report: told (done, failed) after each batch. Receipts: see ShardReceipt; a receipt found on disk gives no reasons.
    Raises: InvalidEmbeddingsError (the encoder returned NaN, infinity or a wrong shape), StoreError,
    MissingWeightsError, CorruptSourceError. One bad image raises nothing.
    Memory: rows·d·4 bytes and what `Batches` says, whatever the dataset.
    """
    began = time.perf_counter()
    digest = shard_digest(spec.key, spec.image_ids)
    done = _already(spec, digest)
    if done is not None:
        return done
    hash_file = None if spec.hashes is None else spec.hashes.path(spec.image_ids)
    to_hash = hash_file is not None and not hash_file.exists()  # another encoder may have met the same images
    embedded = _embed(spec, _load(spec.encoder, spec.key.fingerprint), report, hashed=to_hash)
    return_freed_memory()  # the batches' buffers, before writing takes as much
    kept = np.flatnonzero(embedded.good)
    ids = [spec.image_ids[place] for place in kept]
    rows = embedded.rows if len(kept) == len(spec.items) else embedded.rows[kept]
    if to_hash and ids and spec.hashes is not None and hash_file is not None:
        spec.hashes.write(hash_file, ids, embedded.hashes[kept])
    files = _write(spec, digest, ids, rows, embedded.failed)
    failed, skipped, reasons = len(embedded.failed), embedded.skipped, tuple(embedded.reasons[:REASONS_SHOWN])
    del rows, embedded
    return_freed_memory()
    return ShardReceipt(
        files=files,
        rows=len(ids),
        failed=failed,
        skipped=skipped,
        reasons=reasons,
        seconds=time.perf_counter() - began,
    )


@dataclass(slots=True)
class _Rows:
    """What a shard's images became. rows: float32 [n, d]. good: bool [n], which of them hold an embedding.

    hashes: uint64 [n, HASH_WORDS], without rows where none are wanted. failed: image id to reason. skipped: images that
    are no longer what the scan saw. reasons: a line an image.
    """

    rows: NDArray[np.float32]
    good: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    failed: dict[str, str] = field(default_factory=dict)
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)


def _embed(
    spec: ShardSpec, encoder: LoadedEncoder, report: Callable[[int, int], None] | None, *, hashed: bool
) -> _Rows:
    """The loop: batches are begun ahead, and what became of them is kept in the shard's one array, in order."""
    count = len(spec.items)
    found = _Rows(
        own_pages((count, encoder.dim), np.float32),
        np.zeros(count, dtype=np.bool_),
        np.zeros((count if hashed else 0, HASH_WORDS), dtype=np.uint64),
    )
    with Batches(spec, encoder, hashed=hashed) as batches:
        begun: deque[Future[Batch]] = deque()
        for number in range(len(batches) + batches.ahead):
            if number < len(batches):
                begun.append(batches.begin(number))
            if number < batches.ahead:
                continue
            batch = begun.popleft().result()
            where = np.flatnonzero(batch.good)
            found.rows[batch.start + where] = batch.rows
            found.good[batch.start + where] = True
            if hashed:
                found.hashes[batch.start : batch.start + len(batch.good)] = batch.hashes
            found.failed |= {spec.image_ids[batch.start + place]: why for place, why in sorted(batch.failed.items())}
            found.skipped += len(batch.skipped)
            found.reasons += [
                f"{spec.items[batch.start + place].path}: {why}"
                for place, why in sorted((batch.failed | batch.skipped).items())
            ]
            if report is not None:
                report(batch.start + len(batch.good), len(found.failed) + found.skipped)
            if number % TRIM_BATCHES == 0:
                return_freed_memory()
    return found


def _write(
    spec: ShardSpec, digest: str, ids: list[str], rows: NDArray[np.float32], failed: dict[str, str]
) -> tuple[str, ...]:
    """Failures first, embeddings last: where both exist the shard is whole."""
    files = []
    if failed:
        write_failures(spec.folder / failed_name(digest), spec.key, failed, planned=len(spec.items))
        files.append(failed_name(digest))
    if ids:
        write_part(spec.folder / part_name(digest), spec.key, ids, rows, planned=len(spec.items))
        files.append(part_name(digest))
    return tuple(files)


def _already(spec: ShardSpec, digest: str) -> ShardReceipt | None:
    """The receipt of a shard whose part is on disk (an engine ran it twice), or None."""
    part = _found(spec, spec.folder / part_name(digest))
    failed = _found(spec, spec.folder / failed_name(digest))
    if part is None and (failed is None or failed.rows < len(spec.items)):
        return None
    found = [each for each in (failed, part) if each is not None]
    rows, bad = part.rows if part else 0, failed.rows if failed else 0
    return ShardReceipt(
        files=tuple(each.name for each in found), rows=rows, failed=bad, skipped=len(spec.items) - rows - bad
    )


def _found(spec: ShardSpec, path: Path) -> Part | None:
    try:
        return inspect_part(path, spec.key) if path.exists() else None
    except StoreError:
        return None  # damaged: written again over it


def _load(encoder: Encoder, fingerprint: str) -> LoadedEncoder:
    key = (encoder.name, fingerprint)
    if key not in _loaded:
        _loaded.clear()
        with library_of(encoder.name):
            _loaded[key] = encoder.load()
    return _loaded[key]
