"""Perceptual hashes of a view's images: made while they are embedded; here, of those embedded before there were any."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from semsim_pipeline.datasets.decode import DECODE_VERSION, decode
from semsim_pipeline.datasets.perceptual import HASH_NAME, HASH_WORDS, perceptual_hash
from semsim_pipeline.errors import UnreadableImageError
from semsim_pipeline.extract.plan import Cut, missing_from, shards
from semsim_pipeline.extract.records import ShardSpec, View
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline.progress import Progress
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.hashes import HashStore
from semsim_pipeline.store.manifest import ManifestRef

HASHED_SIDE = 448
"""`least_side` of the pixels that are hashed: the hash of an image is the same whichever encoder met it first.

What most networks decode to, so that a photo is decoded once for both.
"""


def image_hashes(home: Path) -> HashStore:
    """The store of the hashes that this version of the code makes."""
    return HashStore.at(home, f"{HASH_NAME}-decode-{DECODE_VERSION}-side-{HASHED_SIDE}", HASH_WORDS)


def hash_missing(view: View, manifest: ManifestRef, embeddings: EmbeddingSet, cut: Cut, progress: Progress) -> int:
    """Hash the embedded images that have no hash (they were embedded by an older version); how many got one.

    Nothing is read where none is missing. An image that cannot be read any more, or changed since the scan, stays
    without. Memory: one shard's items and one image; to find out, about 60 bytes an image.
    """
    store = image_hashes(embeddings.home)
    store.recover()
    rows = missing_from(manifest, chain(store.id_batches(), embeddings.id_batches(failed=True)))
    if not len(rows):
        return 0
    progress.start("hash", len(rows))
    done = new = 0
    for spec in shards(view.source, manifest, embeddings, rows, cut):
        found = dict(_hashed(spec))
        if found:
            ids = list(found)
            store.write(store.path(ids), ids, np.array([found[each] for each in ids], np.uint64))
        done += len(spec.items)
        new += len(found)
        progress.update(done=done, new=new)
    return new


def _hashed(spec: ShardSpec) -> Iterator[tuple[str, list[int]]]:
    """(image id, words of its hash, zeros for a flat surface) of the images that can be read."""
    with spec.source.open() as reader:
        for item, image_id in zip(spec.items, spec.image_ids, strict=True):
            try:
                content = reader.read(item)
                if image_id_of(content) != image_id:
                    continue
                found = perceptual_hash(decode(content, least_side=HASHED_SIDE))
            except UnreadableImageError:
                continue  # the next scan sees to it
            yield image_id, [0] * HASH_WORDS if found is None else found.tolist()
