"""What a catalogue says, held against the disk: what loading leaves out, so that one vanished folder fails alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from semsim_pipeline.catalog.records import Catalog, Side
from semsim_pipeline.datasets.selection import GROUP
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import SemsimError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that would fail when it is used. name: of the dataset or the encoder's alias."""

    kind: Literal["dataset", "encoder"]
    name: str
    message: str


def check(catalog: Catalog) -> list[Problem]:
    """Opens every dataset and resolves every encoder; reads no image and looks for no weights.

    Families of networks (`timm:`) import their library here, which loading does not.
    """
    return [*_datasets(catalog), *_encoders(catalog)]


def _datasets(catalog: Catalog) -> Iterator[Problem]:
    filtered = _filtered_columns(catalog)
    for name, dataset in catalog.datasets.items():
        try:
            source = dataset.view().source
        except SemsimError as error:
            yield Problem(kind="dataset", name=name, message=str(error))
            continue
        known = (*source.label_columns, GROUP)
        for column in filtered.get(name, ()):
            if column not in known:
                yield Problem(kind="dataset", name=name, message=did_you_mean(f"column of {name}", column, known))


def _filtered_columns(catalog: Catalog) -> dict[str, dict[str, None]]:
    """Dataset to the columns by which its pairs select, in the order met."""
    columns: dict[str, dict[str, None]] = {}

    def add(side: Side) -> None:
        columns.setdefault(side.dataset, {}).update((column, None) for column, _values in side.view.filters)

    for pair in catalog.pairs.values():
        add(pair.reference)
        add(pair.candidate)
    return columns


def _encoders(catalog: Catalog) -> Iterator[Problem]:
    for alias, spec in catalog.encoders.items():
        try:
            resolve_encoder(spec)
        except SemsimError as error:
            yield Problem(kind="encoder", name=alias, message=str(error))
