"""From selected rows to sets that metrics can use: every part of the store is read at most once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from semsim_pipeline.comparison.selected import SelectedView
from semsim_pipeline.extract.hashes import image_hashes
from semsim_pipeline.metrics.base import EmbeddedSet, Labels
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.reader import digests, read_many


def open_sets(home: Path, views: Mapping[str, SelectedView]) -> dict[str, EmbeddedSet]:
    """The rows of several views of one encoder, in a single pass over its parts.

    Rows come in the manifest's order; an image that a view holds twice is two rows with one content code.
    Raises StoreError. Memory: the sum of n·d·4 bytes over the views, about 120 bytes an image, one row group.
    """
    if not views:
        return {}
    embeddings = EmbeddingSet.at(home, next(iter(views.values())).key)
    rows = read_many(embeddings, {name: view.rows["image_id"] for name, view in views.items()})
    sets = {}
    for name, view in views.items():
        groups = view.groups()
        sets[name] = EmbeddedSet(
            view.name,
            rows.pop(name),
            content=digests(view.rows["image_id"])[:, 0].copy(),
            groups=groups.to_list() if groups.null_count() < len(groups) else None,
            failed=view.failed,
            hashes=image_hashes(home).of(view.rows),
            labels={column: Labels.of(values) for column, values in view.class_columns().items()},
        )
    return sets
