"""Many views of one source from one listing: an archive of 100,000 images takes a second to list, each time."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from semsim_pipeline.datasets.base import Source
from semsim_pipeline.datasets.resolve import DatasetView, source_key
from semsim_pipeline.datasets.selection import Filter, Sample
from semsim_pipeline.records import ItemRef

CHUNK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedView:
    """A view whose rows were listed already, into a file that lives as long as its folder."""

    source: Source
    spool: Path

    def select(self) -> Iterator[ItemRef]:
        """The selected items in the source's order. Memory: one chunk."""
        with self.spool.open("rb") as file:
            while chunk := _load(file):
                yield from chunk


def list_together(views: Mapping[str, DatasetView], folder: Path) -> dict[str, DatasetView | ListedView]:
    """The views, those that share a source listed together into files under `folder`; a lone one as it was.

    Raises what `DatasetView.select` raises. Memory: a chunk of items a view, and 16 bytes a row of a limited view.
    """
    by_source: dict[str, list[str]] = {}
    for name, view in views.items():
        by_source.setdefault(source_key(view.source), []).append(name)
    out: dict[str, DatasetView | ListedView] = dict(views)
    for number, names in enumerate(by_source.values()):
        if len(names) > 1:
            spools = [folder / f"{number}-{place}.items" for place in range(len(names))]
            _list([views[name] for name in names], spools)
            for name, spool in zip(names, spools, strict=True):
                out[name] = ListedView(source=views[name].source, spool=spool)
    return out


def _list(views: Sequence[DatasetView], spools: Sequence[Path]) -> None:
    source = views[0].source
    samples = _samples(source, views)
    filters = [Filter(source, view.view) for view in views]
    rows: list[list[ItemRef]] = [[] for _ in views]
    for item in source.items():
        for wanted, sample, chunk, spool in zip(filters, samples, rows, spools, strict=True):
            if wanted.passes(item) and (sample is None or sample.takes(item.path)):
                chunk.append(item)
                if len(chunk) >= CHUNK:
                    _append(spool, chunk)
                    chunk.clear()
    for wanted, chunk, spool in zip(filters, rows, spools, strict=True):
        wanted.finish()
        _append(spool, chunk)


def _samples(source: Source, views: Sequence[DatasetView]) -> list[Sample | None]:
    """What each limited view takes, from a listing of its own; views without a limit have None."""
    samples = [None if v.view.limit is None else Sample(v.view.limit, v.view.seed) for v in views]
    limited = [
        (Filter(source, view.view), sample) for view, sample in zip(views, samples, strict=True) if sample is not None
    ]
    if limited:
        for item in source.items():
            for wanted, sample in limited:
                if wanted.passes(item):
                    sample.add(item.path)
        for wanted, sample in limited:
            wanted.finish()
            sample.finish()
    return samples


def _append(spool: Path, chunk: list[ItemRef]) -> None:
    with spool.open("ab") as file:
        pickle.dump(chunk, file, protocol=pickle.HIGHEST_PROTOCOL)


def _load(file: IO[bytes]) -> list[ItemRef]:
    """The next chunk, empty at the end. The file is this process's own, written a moment ago."""
    try:
        chunk: list[ItemRef] = pickle.load(file)  # noqa: S301 - nobody else writes it
    except EOFError:
        return []
    return chunk
