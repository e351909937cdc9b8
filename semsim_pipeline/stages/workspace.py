"""Where the stages work: a home folder and the catalogue that says what there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from semsim_pipeline.catalog import Catalog, load_catalog
from semsim_pipeline.datasets.resolve import DatasetView
from semsim_pipeline.encoders.base import Encoder
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import UnknownNameError, did_you_mean
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.home import ensure_home
from semsim_pipeline.metrics.multiplicity import permutations_for
from semsim_pipeline.progress import Progress, Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """home: everything is written below it. extract: how to embed. progress: who is told how far a stage is."""

    home: Path
    catalog: Catalog
    extract: ExtractOptions = field(default_factory=ExtractOptions)
    progress: Progress = field(default_factory=Silent)

    @classmethod
    def open(cls, home: Path | None = None) -> Workspace:
        """The home's own catalogue, or the packaged one. Raises StoreError, CatalogError."""
        folder = ensure_home(home)
        return cls(home=folder, catalog=load_catalog(folder))

    def dataset(self, name: str) -> DatasetView:
        """A dataset of the catalogue, whole. Raises UnknownNameError; MissingPathError where its folder vanished."""
        return known(self.catalog.datasets, "dataset", name).view()

    def encoder(self, alias: str) -> Encoder:
        """An encoder of the catalogue. Raises UnknownNameError."""
        return resolve_encoder(known(self.catalog.encoders, "encoder", alias))

    def permutations(self, pair: str) -> int:
        """Of a pair's p-value: as many as the largest comparison that it is in asks for, by a coarse ladder.

        The same whether the pair is scored alone or with the others. Raises UnknownNameError.
        """
        entry = known(self.catalog.pairs, "pair", pair)
        return permutations_for(
            max((len(self.catalog.comparisons[name].pairs) for name in entry.comparisons), default=1)
        )


T = TypeVar("T")


def known(entries: Mapping[str, T], kind: str, name: str) -> T:
    """The catalogue's entry. Raises UnknownNameError: a partition that was removed, or a typo."""
    if name not in entries:
        raise UnknownNameError(did_you_mean(f"{kind} of the catalogue", name, entries))
    return entries[name]


def split_embedding_key(key: str) -> tuple[str, str]:
    """`dataset@encoder` as its two names."""
    dataset, _, encoder = key.rpartition("@")
    return dataset, encoder
