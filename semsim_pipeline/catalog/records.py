"""What a catalogue says, as frozen records: sides, pairs with their keys, comparisons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from semsim_pipeline.catalog.dataset import Dataset
from semsim_pipeline.catalog.published import Published
from semsim_pipeline.datasets.resolve import DatasetView
from semsim_pipeline.datasets.views import View

NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")
"""Of datasets, aliases and comparisons: without `.~@`, which keys use, and short enough for a key in a file name."""

MOST_FAILED_IMAGES = 0.05
"""Of a side's images: more than one in twenty unreadable is a broken source, fewer are the usual few."""

ComparisonKind = Literal["pairs", "across", "match"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A catalogue dataset and the rows of it that are meant.

    view: what is selected on top of the dataset's own spec; its base is the dataset's name.
    """

    dataset: str
    view: View

    @property
    def text(self) -> str:
        """For people: `digits[label=3]`."""
        return self.view.canonical()

    @property
    def key(self) -> str:
        """For keys and files: `digits.3`; 8 hex digits behind it where the spelling loses something."""
        return self.view.slug()

    def __hash__(self) -> int:
        # A view holds a mapping, which has no hash; equal views have one spelling.
        return hash(self.text)


def pair_key(reference: str, candidate: str, encoder: str, seed: int = 0) -> str:
    """The partition key of two sides' keys under an alias: `[A-Za-z0-9._~@-]+`, at most 243 letters.

    A limit is part of both sides; a seed other than 0 is a suffix (an alias holds no dot).

    >>> pair_key("digits.3", "digits.8", "classical"), pair_key("digits.3", "digits.8", "classical", 7)
    ('digits.3~digits.8@classical', 'digits.3~digits.8@classical.seed-7')
    """
    return f"{reference}~{candidate}@{encoder}" + (f".seed-{seed}" if seed else "")


def embedding_key(dataset: str, encoder: str) -> str:
    """The partition key of a dataset's embeddings under an alias: `digits@classical`."""
    return f"{dataset}@{encoder}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One thing to score. encoder: the alias. seed: of every draw. comparisons: all that name it, as written."""

    key: str
    reference: Side
    candidate: Side
    encoder: str
    seed: int = 0
    comparisons: tuple[str, ...] = ()

    @property
    def embeddings(self) -> tuple[str, ...]:
        """The keys of the embeddings that it needs: two, or one where both sides are of one dataset."""
        sides = (self.reference.dataset, self.candidate.dataset)
        return tuple(dict.fromkeys(embedding_key(dataset, self.encoder) for dataset in sides))


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a comparison's checks fail; no score's version depends on them.

    similarity: a score below it fails its check, None for no such check. failed_images: the largest share of a side's
    images that may be unreadable before its scores are no longer trusted.
    """

    similarity: float | None = None
    failed_images: float = MOST_FAILED_IMAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A named set of pairs.

    title: its name where none is given. by: the column of `across` and `match`. encoders: aliases. limit: images a
    side, already part of the pairs' views. pairs: keys, one encoder after the other, in the order of the classes.
    labels: each key's row and column: the reference's and the candidate's class, or their views for `pairs`. schedule:
    five cron fields, when it is to be brought up to date without being asked. published: what others found for a pair,
    by key. No score depends on the last three.
    """

    name: str
    title: str
    description: str
    kind: ComparisonKind
    by: str | None
    encoders: tuple[str, ...]
    seed: int
    limit: int | None
    pairs: tuple[str, ...]
    labels: Mapping[str, tuple[str, str]]
    schedule: str | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    published: Mapping[str, Published] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything in the order written. path: None for the packaged default. encoders: alias to what resolves.

    pairs: by key, each once however many comparisons name it.
    """

    path: Path | None
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    encoders: Mapping[str, str] = field(default_factory=dict)
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    pairs: Mapping[str, Pair] = field(default_factory=dict)

    def dataset_keys(self) -> list[str]:
        """The partition keys of datasets: every name, sorted."""
        return sorted(self.datasets)

    def embedding_keys(self) -> list[str]:
        """The keys of all embeddings that a pair needs, sorted: `dataset@alias`."""
        return sorted({key for pair in self.pairs.values() for key in pair.embeddings})

    def view_of(self, side: Side) -> DatasetView:
        """The rows of a side. Raises what `Dataset.view` raises."""
        return self.datasets[side.dataset].select(side.view)
