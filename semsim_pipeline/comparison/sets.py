"""From embedded views to sets that metrics can use: every part of the store is read at most once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.datasets.resolve import DatasetView, group_scope
from semsim_pipeline.extract.records import Extraction
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.reader import digests, read_many
from semsim_pipeline.store.schema import LABEL_PREFIX

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedView:
    """A view whose images are embedded, and where its rows are."""

    view: DatasetView
    extraction: Extraction


def open_sets(home: Path, views: Mapping[str, EmbeddedView]) -> dict[str, EmbeddedSet]:
    """The rows of several views of one encoder, in a single pass over its parts.

    Rows come in the manifest's order; an image that a view holds twice is two rows with one content code.
    Raises StoreError. Memory: the sum of n·d·4 bytes over the views, about 120 bytes an image, one row group.
    """
    if not views:
        return {}
    embeddings = EmbeddingSet.at(home, next(iter(views.values())).extraction.key)
    words = {name: embedded_rows(embeddings, view.extraction.manifest.path) for name, view in views.items()}
    rows = read_many(embeddings, {name: frame["image_id"] for name, frame in words.items()})
    sets = {}
    for name, view in views.items():
        frame = words.pop(name)
        # A sub-folder's name says nothing outside its source: `cat/video-1` of another folder is another video.
        groups = group_scope(view.view.source) + frame["group"]
        sets[name] = EmbeddedSet(
            view.view.name,
            rows.pop(name),
            content=digests(frame["image_id"])[:, 0].copy(),
            groups=groups.to_list() if groups.null_count() < len(groups) else None,
            failed=view.extraction.failed,
        )
    return sets


def embedded_rows(embeddings: EmbeddingSet, manifest: Path) -> pl.DataFrame:
    """image_id, group and labels of the manifest's rows that have an embedding, in the manifest's order."""
    import polars as pl

    rows = pl.scan_parquet(manifest).filter(pl.col("status") == "ok")
    kept = rows.select("image_id", "group", pl.col(f"^{LABEL_PREFIX}.*$"))
    return kept.join(embeddings.embedded(), on="image_id", how="semi", maintain_order="left").collect()
