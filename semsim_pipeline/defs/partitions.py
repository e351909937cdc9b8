"""Partition keys and how they depend on each other, read from the catalogue when the code location loads.

Static definitions and built-in mappings only: they survive the snapshot that the daemon and the UI work on, and a
reload of the code location picks new keys up while old ones stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from semsim_pipeline.catalog import Catalog, Removed

NOTHING = "nothing-in-the-catalogue"
"""Dagster refuses an empty set of keys; an empty catalogue shows this one, which fails with that name if it is run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """The graph's keys. by_*: from an upstream key to the keys below it."""

    datasets: dg.StaticPartitionsDefinition
    embeddings: dg.StaticPartitionsDefinition
    pairs: dg.StaticPartitionsDefinition
    comparisons: dg.StaticPartitionsDefinition
    dataset_to_embeddings: dg.StaticPartitionMapping
    embeddings_to_pairs: dg.StaticPartitionMapping
    pairs_to_comparisons: dg.StaticPartitionMapping


def partitions_of(catalog: Catalog, removed: Removed | None = None) -> Partitions:
    """All keys of a catalogue. 10,000 pairs take about a second.

    removed: keys that it had; they stay for a time, behind the others and tied to nothing, because a backfill in flight
    breaks over a key that its asset no longer knows.
    """
    gone = removed or {}
    embeddings = catalog.embedding_keys()
    return Partitions(
        datasets=_static([*catalog.dataset_keys(), *gone.get("datasets", ())]),
        embeddings=_static([*embeddings, *gone.get("embeddings", ())]),
        pairs=_static([*catalog.pairs, *gone.get("pairs", ())]),
        comparisons=_static([*catalog.comparisons, *gone.get("comparisons", ())]),
        dataset_to_embeddings=_mapping((key.rpartition("@")[0], key) for key in embeddings),
        embeddings_to_pairs=_mapping(
            (embedded, pair.key) for pair in catalog.pairs.values() for embedded in pair.embeddings
        ),
        pairs_to_comparisons=_mapping(
            (key, comparison.name) for comparison in catalog.comparisons.values() for key in comparison.pairs
        ),
    )


def _static(keys: Sequence[str]) -> dg.StaticPartitionsDefinition:
    return dg.StaticPartitionsDefinition(list(keys) or [NOTHING])


def _mapping(edges: Iterable[tuple[str, str]]) -> dg.StaticPartitionMapping:
    below: defaultdict[str, list[str]] = defaultdict(list)
    for upstream, downstream in edges:
        below[upstream].append(downstream)
    return dg.StaticPartitionMapping(dict(below))
