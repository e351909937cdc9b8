"""A dataset of the catalogue: a named spec, what is known of its classes, and how its rows are opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from semsim_pipeline.catalog.sampled import Sampled
from semsim_pipeline.catalog.spec import absolute, is_there
from semsim_pipeline.datasets.base import SOURCES, SourceKind
from semsim_pipeline.datasets.grouping import OPTION as GROUP_BY
from semsim_pipeline.datasets.grouping import SUBFOLDER
from semsim_pipeline.datasets.resolve import DatasetView, open_parsed
from semsim_pipeline.datasets.selection import GROUP
from semsim_pipeline.datasets.views import View
from semsim_pipeline.errors import UnknownNameError, WrongCallError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogView(DatasetView):
    """A dataset view that is called as in the catalogue: `photos[label=cat]`, wherever the photos are.

    dataset: the name. own: what the dataset's spec says by itself, which its name stands for.
    """

    dataset: str
    own: View

    @property
    def name(self) -> str:
        view, own = self.view, self.own
        limited = (view.limit, view.seed) != (own.limit, own.seed)
        return View(
            base=self.dataset,
            filters=tuple(each for each in view.filters if each not in own.filters),
            options={key: value for key, value in view.options.items() if key not in own.options},
            limit=view.limit if limited else None,
            seed=view.seed if limited else 0,
        ).canonical()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A name for a source with options.

    spec: as written. folder: where its relative paths start. own: the spec as a view, its base an absolute path,
    `KIND:PATH` or an embedded name. kind: of the source, None where only opening it tells. values: columns to their
    classes, in order, as far as they are known without reading: declared by the source or in the catalogue, and
    restricted by the spec's own filters.
    """

    name: str
    spec: str
    folder: Path
    own: View
    kind: str | None
    values: Mapping[str, tuple[str, ...]]

    @property
    def source_kind(self) -> SourceKind | None:
        """The kind's facts, None where only opening tells."""
        return None if self.kind is None else SOURCES.get(self.kind)

    def view(self) -> CatalogView:
        """All of it. Opens the source and reads no image.

        Raises MissingPathError, WrongCallError, UnknownNameError, CorruptSourceError.
        """
        return self._opened(self.own)

    def select(self, selection: View) -> CatalogView:
        """The rows of it that `selection` keeps; the base of that view does not matter.

        Raises as `view`; WrongCallError where a column is filtered by the spec already and other values are asked for.
        """
        self.check_selection(selection)
        if not (selection.filters or selection.options or selection.limit):
            return self.view()
        if self.own.limit is None:
            kept = [each for each in self.own.filters if each[0] not in dict(selection.filters)]
            return self._opened(
                replace(
                    self.own,
                    filters=(*kept, *selection.filters),
                    options={**self.own.options, **selection.options},
                    limit=selection.limit,
                    seed=selection.seed,
                )
            )
        whole = self.view()
        known = (*whole.source.label_columns, GROUP)
        for column, _values in selection.filters:
            if column not in known:
                raise UnknownNameError(did_you_mean(f"key of {self.name}", column, known))
        source = Sampled(inner=whole.source, view=whole.view)
        view = replace(selection, base=whole.view.base)
        return CatalogView(source=source, view=view, dataset=self.name, own=View(base=view.base))

    def check_selection(self, selection: View) -> None:
        """Raises WrongCallError for a filter that the spec's own contradicts; a narrower one is fine."""
        own = dict(self.own.filters)
        for column, values in selection.filters:
            beyond = [value for value in values if column in own and value not in own[column]]
            if beyond:
                kept = "|".join(own[column])
                raise WrongCallError(
                    f"{self.name} is {self.spec!r}, which filters {column} already: it has {kept}, not {beyond[0]!r}."
                )

    def _opened(self, view: View) -> CatalogView:
        kind = self.source_kind
        if kind is not None and view.base == kind.name:
            # With its colon the name is never taken for a path in the working folder.
            opened = open_parsed(replace(view, base=f"{view.base}:"))
        else:
            opened = open_parsed(self._with_absolute_csv(view))
        found = replace(opened.view, base=view.base)
        own = replace(self.own, base=view.base).with_options(found.options)
        return CatalogView(source=opened.source, view=found, dataset=self.name, own=own)

    def _with_absolute_csv(self, view: View) -> View:
        """A CSV of groups is looked for beside the catalogue, as the dataset is; any other value stays as it is."""

        def placed(value: str) -> str:
            return str(absolute(value, self.folder)) if value != SUBFOLDER and is_there(value, self.folder) else value

        filters = ((key, tuple(map(placed, values)) if key == GROUP_BY else values) for key, values in view.filters)
        return replace(view, filters=tuple(filters))
