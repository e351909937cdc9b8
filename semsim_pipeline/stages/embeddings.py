"""Stage 2, `embeddings`: a dataset embedded whole by one encoder, and the background that its scores rest on."""

from __future__ import annotations

import time
from dataclasses import replace

from semsim_pipeline.comparison.backgrounds import background_for
from semsim_pipeline.encoders.network import ensure_weights
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.stages.failures import noting
from semsim_pipeline.stages.manifest import current_manifest
from semsim_pipeline.stages.outcome import Outcome
from semsim_pipeline.stages.state import EmbeddingState, embedding_file, read_embedding, write_state
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
    ensure_weights(encoder)
    before = read_embedding(workspace.home, partition)
    done = embed_view(view, encoder, workspace.home, workspace.extract, workspace.progress, dataset.manifest)
    background = background_for(encoder, workspace.home, workspace.extract, workspace.progress)
    version = digest_of([dataset.version, done.key.digest, background.id, done.embedded])
    state = EmbeddingState(
        version=version,
        dataset=dataset,
        encoder=done.key.encoder,
        fingerprint=done.key.fingerprint,
        decode_version=done.key.decode_version,
        schema_version=done.key.schema_version,
        background=background.id,
        embedded=done.embedded,
    )
    write_state(embedding_file(workspace.home, partition), state)
    width = EmbeddingSet.at(workspace.home, done.key).dim or 0
    return Outcome(
        stage="embeddings",
        partition=partition,
        version=version,
        computed=before is None or replace(before, dataset=dataset) != state or done.new > 0,
        seconds=time.perf_counter() - began,
        path=done.folder,
        row_count=done.embedded,
        numbers={
            "images": done.seen,
            "embedded": done.embedded,
            "failed": done.failed,
            "new_images": done.new,
            "images_per_second": round(done.images_per_second, 1),
            "width": width,
            "bandwidth": background.bandwidth,
        },
        texts={
            "encoder": encoder.name,
            "encoder_fingerprint": done.key.fingerprint,
            "preprocessing": encoder.facts.preprocessing,
            "pooling": encoder.facts.pooling,
            "background": f"{background.id} ({background.source})",
            **({"failures": "; ".join(done.reasons)} if done.reasons else {}),
        },
    )
