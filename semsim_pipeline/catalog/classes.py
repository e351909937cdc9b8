"""Classes that a catalogue names, held against those that a dataset has now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from semsim_pipeline.catalog.dataset import Dataset
from semsim_pipeline.catalog.records import Catalog

Classes = Mapping[str, frozenset[str]]
"""Columns to classes."""

MOST_SHOWN = 5
UNLABELLED = ""
"""What an image beside the folders of a column is called: of no class."""


def named_classes(catalog: Catalog) -> dict[str, dict[str, frozenset[str]]]:
    """Dataset to the classes by which its pairs select, of each column."""
    found: dict[str, dict[str, set[str]]] = {}
    for pair in catalog.pairs.values():
        for side in (pair.reference, pair.candidate):
            columns = found.setdefault(side.dataset, {})
            for column, values in side.view.filters:
                columns.setdefault(column, set()).update(values)
    return {name: {column: frozenset(values) for column, values in columns.items()} for name, columns in found.items()}


def class_problems(dataset: Dataset, named: Classes, shown: Classes) -> Iterator[str]:
    """Each column in which the catalogue and the data differ, in a line.

    named: by the pairs' views. shown: what the data show, of the columns in question. Where a kind of source declares
    its classes, `values` in the catalogue are the ones meant, and others in the data are left out on purpose.
    """
    kind = dataset.source_kind
    for column in sorted(shown):
        here = shown[column]
        declared = frozenset(dataset.values.get(column, ()))
        absent = (declared | named.get(column, frozenset())) - here
        if absent:
            yield f"no image has {_listed(column, absent)}; {_found(column, here)}"
        own = kind is not None and column in kind.classes
        filtered = column in dict(dataset.own.filters)
        beyond = here - declared - {UNLABELLED}
        if declared and beyond and not own and not filtered:
            yield f"its images also have {_listed(column, beyond)}, which `values` leaves out"


def _listed(column: str, classes: frozenset[str]) -> str:
    shown = ", ".join(map(repr, sorted(classes)[:MOST_SHOWN]))
    return f"{column} {shown}" + (f" and {len(classes) - MOST_SHOWN} more" if len(classes) > MOST_SHOWN else "")


def _found(column: str, classes: frozenset[str]) -> str:
    return f"they have {_listed(column, classes)}" if classes else f"they have no {column} at all"
