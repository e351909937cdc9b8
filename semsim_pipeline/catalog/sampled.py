"""A sample of a source as a source: views of a dataset that is itself limited select among the rows it kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from semsim_pipeline.datasets.base import Fetchable, Reader, Source, fetch, is_here, what_else
from semsim_pipeline.datasets.selection import select
from semsim_pipeline.datasets.views import View
from semsim_pipeline.progress import Progress
from semsim_pipeline.records import ItemRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The rows of `inner` that `view` selects.

    In one view a limit comes after the filters: `photos[label=cat,limit=500]` are 500 cats, not the cats among the 500
    images that are the dataset. Memory: as `select`, which lists a limited source twice.
    """

    inner: Source
    view: View

    @property
    def kind(self) -> str:
        return self.inner.kind

    @property
    def location(self) -> str:
        return self.inner.location

    @property
    def options(self) -> Mapping[str, str]:
        """The inner source's, and what is selected of it: another selection is another source."""
        rows = replace(self.view, base="", options={}).canonical()
        return {**self.inner.options, "rows": rows}

    @property
    def label_columns(self) -> tuple[str, ...]:
        return self.inner.label_columns

    def items(self) -> Iterator[ItemRef]:
        return select(self.inner, self.view)

    def open(self) -> AbstractContextManager[Reader]:
        return self.inner.open()

    def fetch(self, progress: Progress) -> None:
        fetch(self.inner, progress)

    def is_here(self) -> bool:
        return is_here(self.inner)

    def stamp_here(self) -> str:
        return self.inner.stamp_here() if isinstance(self.inner, Fetchable) else ""

    def what_else(self) -> str:
        return what_else(self.inner)
