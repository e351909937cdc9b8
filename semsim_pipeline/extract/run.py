"""Embedding a view from end to end: scan → plan → shards through an engine → the set's manifest."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from semsim_pipeline.cores import cores
from semsim_pipeline.datasets.base import fetch
from semsim_pipeline.encoders.base import Encoder
from semsim_pipeline.errors import EmptyDatasetError
from semsim_pipeline.extract.engines import engine
from semsim_pipeline.extract.hashes import hash_missing, image_hashes
from semsim_pipeline.extract.plan import Cut, count_embedded, embedding_key, failures, missing_rows, shards
from semsim_pipeline.extract.prepare import helpers
from semsim_pipeline.extract.records import (
    REASONS_SHOWN,
    Extraction,
    ExtractOptions,
    ShardReceipt,
    View,
)
from semsim_pipeline.extract.scan import scan, scan_again
from semsim_pipeline.extract.shard import embed_shard
from semsim_pipeline.heap import keep_heap_small, return_freed_memory
from semsim_pipeline.home import ensure_home
from semsim_pipeline.progress import Progress, Silent
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.manifest import ManifestRef


def embed_view(
    view: View,
    encoder: Encoder,
    home: Path | None = None,
    options: ExtractOptions | None = None,
    progress: Progress | None = None,
    manifest: ManifestRef | None = None,
) -> Extraction:
    """Bring a view's embeddings up to date; what is there already is not made again, in any dataset.

    Safe to kill and to run twice at once: parts that were finished stay, and the second process waits for the first.
    manifest: of `usable_manifest`, where the caller has scanned already.
    Raises: EmptyDatasetError (no rows, or not one usable image), StoreError, MissingWeightsError, CorruptSourceError,
    InvalidEmbeddingsError.   Memory: does not hold images or embeddings beyond one shard a process.
    """
    options = options or ExtractOptions()
    progress = progress or Silent()
    began = time.perf_counter()
    engine(options.engine, 1)  # an unknown name is an error before any work
    keep_heap_small()
    home = ensure_home(home)
    key = embedding_key(encoder)
    embeddings = EmbeddingSet.at(home, key)
    if manifest is None:
        fetch(view.source, progress)
        manifest = usable_manifest(view, encoder, home, progress)
    embeddings.create()
    with embeddings.working(lambda: progress.say(f"Another process embeds with {encoder.name}; waiting for it.")):
        for lost in embeddings.recover():
            progress.say(f"{lost} What was in it is embedded again.")
        total = _Totals()
        started = time.perf_counter()
        _embed_missing(view, manifest, embeddings, encoder, (options, progress, total))
        working = time.perf_counter() - started
        if total.skipped:
            scan_again(view, home, manifest, missing_rows(manifest, embeddings))
        hash_missing(view, manifest, embeddings, _cut(encoder, options, embeddings), progress)
    embedded = count_embedded(manifest, embeddings)
    if embedded == 0:
        raise EmptyDatasetError(_nothing_usable(view, manifest, embeddings, total.reasons))
    return Extraction(
        manifest=manifest,
        key=key,
        folder=embeddings.folder,
        seen=manifest.rows,
        embedded=embedded,
        failed=manifest.rows - embedded,
        new=total.rows,
        skipped=total.skipped,
        seconds=time.perf_counter() - began,
        images_per_second=total.rows / working if total.rows else 0.0,
        reasons=tuple(total.reasons[:REASONS_SHOWN]),
    )


def usable_manifest(view: View, encoder: Encoder, home: Path, progress: Progress | None = None) -> ManifestRef:
    """The view's manifest as it is now; for callers that look at every view before they embed the first.

    Raises what `scan` raises; MissingFilesError where the source was not fetched; EmptyDatasetError where no row can
    be opened.
    """
    manifest = scan(view, home, progress)
    _refuse_if_nothing_opens(view, manifest, EmbeddingSet.at(home, embedding_key(encoder)))
    return manifest


class _Totals:
    """Sums over receipts, and what of the shard under way is known before its receipt."""

    def __init__(self) -> None:
        self.rows = self.failed = self.skipped = 0
        self.reasons: list[str] = []

    def add(self, receipt: ShardReceipt) -> None:
        self.rows += receipt.rows
        self.failed += receipt.failed
        self.skipped += receipt.skipped
        self.reasons = [*self.reasons, *receipt.reasons][:REASONS_SHOWN]

    def report(self, progress: Progress, done: int = 0, bad: int = 0) -> None:
        bad += self.failed + self.skipped
        new = self.rows + self.failed + self.skipped + done
        progress.update(done=new, failed=bad, new=new - bad)


def _embed_missing(
    view: View,
    manifest: ManifestRef,
    embeddings: EmbeddingSet,
    encoder: Encoder,
    how: tuple[ExtractOptions, Progress, _Totals],
) -> None:
    options, progress, total = how
    rows = missing_rows(manifest, embeddings)
    progress.start("embed", len(rows))
    if not len(rows):
        return
    return_freed_memory()  # what listing and planning needed, before the encoder takes its share
    workers = _workers(encoder, len(rows), options)
    cut = replace(_cut(encoder, options, embeddings), threads=_threads(encoder, workers))
    through = engine(options.engine, workers)
    task = partial(embed_shard, report=partial(total.report, progress)) if through.in_process else embed_shard
    specs = shards(view.source, manifest, embeddings, rows, cut)
    # One shard waits for each that is worked on, so that no worker is idle and few items are in memory.
    with helpers(len(rows)), closing(through.map(task, specs, window=2 * workers)) as receipts:
        for receipt in receipts:
            embeddings.name_parts(*receipt.files)
            total.add(receipt)
            total.report(progress)


def _cut(encoder: Encoder, options: ExtractOptions, embeddings: EmbeddingSet) -> Cut:
    return Cut(
        encoder=encoder,
        rows=options.part_rows,
        batch_size=options.batch_size,
        hashes=image_hashes(embeddings.home),
    )


def _threads(encoder: Encoder, workers: int) -> int:
    return cores() if encoder.concurrency == "threads" and workers == 1 else 1


def _workers(encoder: Encoder, rows: int, options: ExtractOptions) -> int:
    """Processes that pay: as asked; else one for a network, and one a core, as far as parts go, for other encoders.

    A process takes seconds to start, in which this one embeds some thousand images: below a part each, it does not pay.
    """
    if options.workers is not None:
        return options.workers
    if encoder.concurrency == "threads":
        return 1
    return max(1, min(cores(), -(-rows // options.part_rows)))


def _refuse_if_nothing_opens(view: View, manifest: ManifestRef, embeddings: EmbeddingSet) -> None:
    if manifest.rows == 0:
        raise EmptyDatasetError(f"{view.source.kind} {view.source.location} has no images in this selection.")
    if manifest.failed == manifest.rows:
        raise EmptyDatasetError(_nothing_usable(view, manifest, embeddings, []))


def _nothing_usable(view: View, manifest: ManifestRef, embeddings: EmbeddingSet, reasons: list[str]) -> str:
    first = failures(manifest, embeddings).head(REASONS_SHOWN).collect()
    known = [f"{path}: {why}" for path, why in first.iter_rows()]
    shown = "; ".join([*known, *(reason for reason in reasons if reason not in known)][:REASONS_SHOWN])
    return (
        f"None of the {manifest.rows} images of {view.source.kind} {view.source.location} could be used. "
        f"The first: {shown}."
    )
