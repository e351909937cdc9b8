"""What a source is: a stream of image references, and a reader for their bytes. To add one: one file here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import UnknownNameError, did_you_mean
from semsim_pipeline.records import ItemRef
from semsim_pipeline.registry import Registry

Content = bytes | NDArray[np.uint8]
"""A file's bytes, or pixels uint8 [h, w] (grey) or [h, w, 3] (RGB) of a source that holds arrays."""


class Reader(Protocol):
    """Open handles on a source. Cheapest when items are read in the order in which they were listed."""

    def read(self, item: ItemRef) -> Content:
        """The content of one image. Raises UnreadableImageError for this image alone, CorruptSourceError for all."""


class Source(Protocol):
    """Where images come from. Frozen and picklable: workers get a copy and open their own reader.

    Memory: neither `items` nor a reader holds more than one chunk of the listing and one image.
    """

    @property
    def kind(self) -> str:
        """The registered name (`folder`, `archive`, …)."""

    @property
    def location(self) -> str:
        """Where it is: an absolute path, or a name for embedded data. With `kind` and `options` it is its identity."""

    @property
    def options(self) -> Mapping[str, str]:
        """The source's own options as given (such as `group_by`)."""

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The label columns of its items, in order."""

    def items(self) -> Iterator[ItemRef]:
        """Every image in a stable order. Raises CorruptSourceError, MissingPathError."""

    def open(self) -> AbstractContextManager[Reader]:
        """A reader, to be closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """A registered kind of source, with its facts for people.

    build: (location, options) to a source; raises WrongCallError on an unknown option, MissingPathError.
    embedded: names that need no location (`digits`). options: the option names it takes.
    classes: label column to its values in their order, where every source of the kind has the same ones; empty where
    only a listing tells.
    """

    name: str
    summary: str
    example: str
    licence: str
    build: BuildSource
    embedded: bool = False
    options: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class BuildSource(Protocol):
    """Builds a source from its location and its own options; raises WrongCallError, MissingPathError."""

    def __call__(self, location: str, options: Mapping[str, str]) -> Source: ...


SOURCES: Registry[SourceKind] = Registry("source", "semsim_pipeline.datasets")


@runtime_checkable
class Inspectable(Protocol):
    """A source that can say what it holds instead of images, for the message about an empty dataset."""

    def what_else(self) -> str:
        """A phrase such as `12 other files (10 .txt, 2 .csv)`; cheap."""


def what_else(source: Source) -> str:
    """What a source without images holds instead.

    Memory: flat; looks at no more than the first 10,000 names.
    """
    return source.what_else() if isinstance(source, Inspectable) else "nothing"


def check_options(kind: str, options: Mapping[str, str], allowed: tuple[str, ...]) -> None:
    """Raises WrongCallError for an option that the kind of source does not take."""
    for name in options:
        if name not in allowed:
            raise UnknownNameError(did_you_mean(f"option of {kind}", name, allowed))
