"""The rows of a source that a view selects, as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

from semsim_pipeline.datasets.base import Source, what_else
from semsim_pipeline.datasets.views import View
from semsim_pipeline.errors import EmptyDatasetError, UnknownNameError, did_you_mean
from semsim_pipeline.records import ItemRef

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUP = "group"
CHUNK = 4096
MOST_VALUES_KEPT = 10_000
"""Distinct values of a filtered column that are kept for the message about an unknown one."""


def select(source: Source, view: View) -> Iterator[ItemRef]:
    """The selected items, in the source's order.

    Raises EmptyDatasetError: no image at all, or none that passes all filters; UnknownNameError: a value that its
    column does not have (known only at the end of the listing, so raised there).
    Memory: the distinct values of the filtered columns; with a limit, 16 bytes for each of its rows (the source is
    then listed twice).
    """
    if view.limit is None:
        return _filtered(source, view)
    return _lowest(source, view, view.limit)


def value_of(item: ItemRef, column: str) -> str:
    """An item's value in a label column or in `group`; "" where it has none."""
    return (item.group or "") if column == GROUP else item.labels.get(column, "")


def rank(seed: int, path: str) -> int:
    """Where a path comes in the order in which a limit takes rows: the same in every dataset that holds the path."""
    return int.from_bytes(blake2b(f"{seed}\x1f{path}".encode(), digest_size=8).digest(), "big")


class Filter:
    """One view's filters over one listing: which items pass, and whether the filters made sense once it is over."""

    def __init__(self, source: Source, view: View) -> None:
        self._source = source
        self._view = view
        known = (*source.label_columns, GROUP)
        for column, _values in view.filters:
            if column not in known:
                raise UnknownNameError(did_you_mean(f"key of {source.location}", column, known))
        self._wanted = [(column, frozenset(values), set[str]()) for column, values in view.filters]
        self._listed = self._passed = 0

    def passes(self, item: ItemRef) -> bool:
        """Whether the item is selected by all filters (a limit aside)."""
        self._listed += 1
        passes = True
        for column, values, found in self._wanted:
            value = value_of(item, column)
            if value not in values:
                passes = False
            if value not in found and (value in values or len(found) < MOST_VALUES_KEPT):
                found.add(value)
        self._passed += passes
        return passes

    def finish(self) -> None:
        """After the last item. Raises EmptyDatasetError, UnknownNameError."""
        if not self._listed:
            source = self._source
            raise EmptyDatasetError(f"{source.location} holds no image that can be read; found {what_else(source)}.")
        for column, values, found in self._wanted:
            for missing in sorted(values - found):
                raise UnknownNameError(f"{did_you_mean(column, missing, found)} (In {self._view.canonical()!r}.)")
        if not self._passed:
            text = self._view.canonical()
            raise EmptyDatasetError(f"No image of {self._source.location} passes all of {text!r} together.")


class Sample:
    """The `limit` rows of lowest rank: every rank is added once, then rows are asked about in a second listing.

    Keeping the rows themselves would cost half a kilobyte each; this keeps 16 bytes.
    """

    def __init__(self, limit: int, seed: int) -> None:
        self._limit = limit
        self._seed = seed
        self._ranks: list[int] = []
        self._kept: NDArray[np.uint64] | None = None
        self._last = 0
        self._ties = 0

    def add(self, path: str) -> None:
        """A candidate row."""
        self._ranks.append(rank(self._seed, path))
        if len(self._ranks) >= CHUNK:
            self._shrink()

    def finish(self) -> None:
        """After the last candidate; there was one."""
        kept = self._shrink()
        self._last = int(kept.max())
        self._ties = int((kept == kept.max()).sum())

    def takes(self, path: str) -> bool:
        """Whether the row is in; asked once for each candidate, in the order of the listing."""
        place = rank(self._seed, path)
        if place == self._last and self._ties > 0:
            self._ties -= 1
            return True
        return place < self._last

    def _shrink(self) -> NDArray[np.uint64]:
        import numpy as np

        new = np.array(self._ranks, np.uint64)
        kept = new if self._kept is None else np.concatenate([self._kept, new])
        if len(kept) > self._limit:
            kept = np.partition(kept, self._limit - 1)[: self._limit]
        self._kept, self._ranks = kept, []
        return kept


def _filtered(source: Source, view: View) -> Iterator[ItemRef]:
    wanted = Filter(source, view)
    for item in source.items():
        if wanted.passes(item):
            yield item
    wanted.finish()


def _lowest(source: Source, view: View, limit: int) -> Iterator[ItemRef]:
    """The `limit` rows of lowest rank, in the order in which they come."""
    sample = Sample(limit, view.seed)
    for item in _filtered(source, view):
        sample.add(item.path)
    sample.finish()
    return (item for item in _filtered(source, view) if sample.takes(item.path))
