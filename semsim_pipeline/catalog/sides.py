"""The sides of comparisons: which dataset a text names, and which classes a column of it has."""

from __future__ import annotations

from collections.abc import Mapping

from ruamel.yaml.nodes import Node

from semsim_pipeline.catalog.dataset import Dataset
from semsim_pipeline.catalog.document import Document, line_of
from semsim_pipeline.catalog.entries import restricted
from semsim_pipeline.catalog.records import Side
from semsim_pipeline.catalog.spec import check_column, check_values
from semsim_pipeline.datasets.views import parse_view
from semsim_pipeline.errors import UnknownNameError, WrongCallError, did_you_mean


class Sides:
    """Reads sides against the datasets of one catalogue. datasets: None for one whose own mistake is reported."""

    def __init__(self, document: Document, datasets: Mapping[str, Dataset | None]) -> None:
        self._document = document
        self._datasets = datasets
        self._read: dict[str, Side | None] = {}

    def read(self, node: Node, at: str) -> Side | None:
        """The side that a text means, None where there is a problem."""
        text = self._document.text(node, at)
        if text is None:
            return None
        try:
            if text not in self._read:
                self._read[text] = self._side(text)
            return self._read[text]
        except WrongCallError as error:
            self._document.problem(line_of(node), at, str(error))
            return None

    def _side(self, text: str) -> Side | None:
        view = parse_view(text)
        if view.base not in self._datasets:
            raise UnknownNameError(
                f"{did_you_mean('dataset', view.base, self._datasets)} A path gets its name under `datasets`."
            )
        dataset = self._datasets[view.base]
        if dataset is None:
            return None
        for column, values in view.filters:
            check_column(dataset.source_kind, column, dataset.values)
            check_values(dataset.source_kind, column, values)
        dataset.check_selection(view)
        return Side(dataset=view.base, view=view)

    def classes(self, side: Side, column: str, line: int, at: str) -> tuple[str, ...] | None:
        """The classes of a column among a side's rows, in order; None, and a problem, where they are not known."""
        dataset = self._datasets[side.dataset]
        if dataset is None:
            return None
        wanted = dict(side.view.filters).get(column)
        known = dataset.values.get(column)
        try:
            check_column(dataset.source_kind, column, dataset.values)
            if wanted is not None:
                return restricted(column, known, wanted)
            if known is None:
                raise UnknownNameError(_not_known(dataset, column))
        except WrongCallError as error:
            self._document.problem(line, at, str(error))
            return None
        return known

    def shared_classes(self, reference: Side, candidate: Side, column: str, line: int, at: str) -> tuple[str, ...]:
        """The classes that two sides are matched by, in the reference's order.

        Both sides must have the same, so that none is left out unseen; a side whose view names some of the other's
        classes asks for these. Empty, and a problem, where neither is so.
        """
        found = [self.classes(side, column, line, at) for side in (reference, candidate)]
        if found[0] is None or found[1] is None:
            return ()
        first, second = found[0], found[1]
        chosen = [column in dict(side.view.filters) for side in (reference, candidate)]
        narrower = chosen[0] != chosen[1] and (set(first) < set(second) if chosen[0] else set(second) < set(first))
        if narrower or set(first) == set(second):
            return tuple(each for each in first if each in second)
        alone = [
            f"only {side.text} has {', '.join(map(repr, sorted(mine - other)[:3]))}"
            for side, mine, other in (
                (reference, set(first), set(second)),
                (candidate, set(second), set(first)),
            )
            if mine - other
        ]
        common = "|".join([each for each in first if each in second][:2])
        example = f"Name those to match in one side's view, such as {reference.dataset}[{column}={common}]."
        remedy = example if common else "They share none, so there is nothing to match by it."
        self._document.problem(
            line, at, f"the two sides differ in their classes of {column!r}: {'; '.join(alone)}. {remedy}"
        )
        return ()


def _not_known(dataset: Dataset, column: str) -> str:
    near = did_you_mean(f"column of {dataset.name}", column, dataset.values) + " " if dataset.values else ""
    return (
        f"{near}the classes of {column!r} in {dataset.name} are not known before it is read: add "
        f"`values: {{{column}: [cat, dog]}}` with its own to datasets.{dataset.name}, or name them in the view, "
        f"{dataset.name}[{column}=cat|dog]."
    )
