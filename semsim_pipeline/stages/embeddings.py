"""Stage 2, `embeddings`: a dataset embedded whole by one encoder, and the background that its scores rest on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from semsim_pipeline.comparison.backgrounds import background_for
from semsim_pipeline.encoders.network import ensure_weights
from semsim_pipeline.extract.hashes import image_hashes
from semsim_pipeline.extract.plan import embedding_key, files_holding
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.records import Background
from semsim_pipeline.stages.failures import noting
from semsim_pipeline.stages.manifest import current_manifest
from semsim_pipeline.stages.outcome import Outcome
from semsim_pipeline.stages.state import DatasetState, EmbeddingState, embedding_file, read_embedding, write_state
from semsim_pipeline.stages.workspace import Workspace, split_embedding_key
from semsim_pipeline.store.embedding_set import EmbeddingSet


@noting("embeddings")
def embed_dataset(workspace: Workspace, partition: str) -> Outcome:
    """Embed what is not embedded yet of `dataset@encoder`; nothing where nothing changed.

    version: of the manifest, the encoder's set (weights, preprocessing, decoder), the background, and how many rows
    have an embedding.
    Raises: UnknownNameError, MissingWeightsError, EmptyDatasetError, CorruptSourceError, StoreError.
    """
    began = time.perf_counter()
    name, alias = split_embedding_key(partition)
    view, encoder = workspace.dataset(name), workspace.encoder(alias)
    dataset = current_manifest(workspace, name)
    ensure_weights(encoder, workspace.progress)
    before = read_embedding(workspace.home, partition)
    background = background_for(encoder, workspace.home, workspace.extract, workspace.progress)
    embeddings = EmbeddingSet.at(workspace.home, embedding_key(encoder))
    new, speed, reasons = 0, 0.0, ""
    if before is not None and _holds(before, dataset, embeddings, background):
        state = replace(before, dataset=dataset)
    else:
        done = embed_view(view, encoder, workspace.home, workspace.extract, workspace.progress, dataset.manifest)
        new, speed, reasons = done.new, done.images_per_second, "; ".join(done.reasons)
        state = EmbeddingState(
            version=digest_of([dataset.version, done.key.digest, background.id, done.embedded]),
            dataset=dataset,
            encoder=done.key.encoder,
            fingerprint=done.key.fingerprint,
            decode_version=done.key.decode_version,
            schema_version=done.key.schema_version,
            background=background.id,
            embedded=done.embedded,
            files=None if done.skipped else _files(dataset, embeddings),
        )
    if state != before:
        write_state(embedding_file(workspace.home, partition), state)
    same = before is not None and replace(before, dataset=dataset, files=state.files) == state
    return Outcome(
        stage="embeddings",
        partition=partition,
        version=state.version,
        computed=not same or new > 0,
        seconds=time.perf_counter() - began,
        path=embeddings.folder,
        row_count=state.embedded,
        numbers={
            "images": dataset.rows,
            "embedded": state.embedded,
            "failed": dataset.rows - state.embedded,
            "new_images": new,
            "images_per_second": round(speed, 1),
            "width": embeddings.dim or 0,
            "bandwidth": background.bandwidth,
        },
        texts={
            "encoder": encoder.name,
            "encoder_fingerprint": state.fingerprint,
            "preprocessing": encoder.facts.preprocessing,
            "pooling": encoder.facts.pooling,
            "background": f"{background.id} ({background.source})",
            **({"failures": reasons} if reasons else {}),
        },
    )


def _holds(before: EmbeddingState, dataset: DatasetState, embeddings: EmbeddingSet, background: Background) -> bool:
    """Whether nothing is to be embedded, known by pointers and file sizes alone.

    A set is shared by many datasets: to look through all of its images for each of them took 0.1 s a dataset at 50
    datasets of 500 images, and the square of that at more.
    """
    same = (before.dataset.version, before.key.digest, before.background) == (
        dataset.version,
        embeddings.key.digest,
        background.id,
    )
    return same and before.files is not None and _stamps(embeddings, list(before.files)) == before.files


def _files(dataset: DatasetState, embeddings: EmbeddingSet) -> dict[str, Sequence[int]]:
    parts = [embeddings.folder / part.name for part in embeddings.parts()]
    holding = files_holding(dataset.manifest, [*parts, *image_hashes(embeddings.home).files()])
    return _stamps(embeddings, [str(path.relative_to(embeddings.home)) for path in holding])


def _stamps(embeddings: EmbeddingSet, names: Sequence[str]) -> dict[str, Sequence[int]]:
    """Size and last change of each of these files; not of a part that the set's manifest does not name."""
    named = {part.name for part in embeddings.parts()}
    found: dict[str, Sequence[int]] = {}
    for name in names:
        path = embeddings.home / name
        with suppress(FileNotFoundError):
            stat = path.stat()
            if path.parent != embeddings.folder or path.name in named:
                found[name] = [stat.st_size, stat.st_mtime_ns]
    return found
