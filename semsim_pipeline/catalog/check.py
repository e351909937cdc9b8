"""What a catalogue says, held against the disk: what loading leaves out, so that one vanished folder fails alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from semsim_pipeline.catalog.classes import Classes, class_problems, named_classes
from semsim_pipeline.catalog.dataset import CatalogView, Dataset
from semsim_pipeline.catalog.records import Catalog
from semsim_pipeline.datasets.selection import GROUP
from semsim_pipeline.encoders.network import check_weights
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import SemsimError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that would fail when it is used. name: of the dataset or the encoder's alias."""

    kind: Literal["dataset", "encoder"]
    name: str
    message: str


ShownClasses = Callable[[CatalogView, tuple[str, ...]], Classes]
"""The classes of some columns that a dataset shows now. Raises SemsimError where it cannot be listed."""


def listed_classes(view: CatalogView, columns: tuple[str, ...]) -> Classes:
    """From the source's listing, which is what a scan writes into the manifest; no image is read."""
    found: dict[str, set[str]] = {column: set() for column in columns}
    for item in view.select():
        for column in columns:
            value = item.group if column == GROUP else item.labels.get(column)
            if value is not None:
                found[column].add(value)
    return {column: frozenset(values) for column, values in found.items()}


def check(catalog: Catalog, shown: ShownClasses = listed_classes) -> list[Problem]:
    """Opens every dataset, lists those with classes, resolves every encoder and looks for its weights; reads no image.

    Families of networks (`timm:`) import their library here, which loading does not.
    """
    return [*_datasets(catalog, shown), *_encoders(catalog)]


def _datasets(catalog: Catalog, shown: ShownClasses) -> Iterator[Problem]:
    named = named_classes(catalog)
    for name, dataset in catalog.datasets.items():
        try:
            messages = list(_dataset(dataset, named.get(name, {}), shown))
        except (SemsimError, OSError) as error:
            messages = [str(error)]
        for message in messages:
            yield Problem(kind="dataset", name=name, message=message)


def _dataset(dataset: Dataset, named: Mapping[str, frozenset[str]], shown: ShownClasses) -> Iterator[str]:
    """What is wrong with one dataset. Raises what opening and listing raise."""
    view = dataset.view()
    known = (*view.source.label_columns, GROUP)
    unknown = [column for column in dict.fromkeys((*named, *dataset.values)) if column not in known]
    for column in unknown:
        yield did_you_mean(f"column of {dataset.name}", column, known)
    columns = tuple(column for column in dict.fromkeys((*named, *dataset.values)) if column in known)
    if columns:
        there = {column: values for column, values in named.items() if column in known}
        yield from class_problems(dataset, there, shown(view, columns))


def _encoders(catalog: Catalog) -> Iterator[Problem]:
    for alias, spec in catalog.encoders.items():
        try:
            check_weights(resolve_encoder(spec))
        except SemsimError as error:
            yield Problem(kind="encoder", name=alias, message=str(error))
