"""What a source is: a stream of image references, and a reader for their bytes. To add one: one file here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import UnknownNameError, did_you_mean
from semsim_pipeline.records import ItemRef
from semsim_pipeline.registry import Registry

if TYPE_CHECKING:
    from semsim_pipeline.progress import Progress

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
    embedded: travels with the package and takes no location (`digits`). fetched: its name alone is a dataset too, which
    is fetched; a location is a copy that one has (`cifar10`). remote: its location is a place on another machine, no
    path. schemes: what such a place may begin with, so that it needs no `KIND:` in front.
    options: the option names it takes. classes: label column to its values in
    their order, where every source of the kind has the same ones; empty where only a listing tells.
    """

    name: str
    summary: str
    example: str
    licence: str
    build: BuildSource
    embedded: bool = False
    fetched: bool = False
    remote: bool = False
    schemes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def bare(self) -> bool:
        """Whether the name alone is a dataset."""
        return self.embedded or self.fetched


class BuildSource(Protocol):
    """Builds a source from its location and its own options; raises WrongCallError, MissingPathError."""

    def __call__(self, location: str, options: Mapping[str, str]) -> Source: ...


SOURCES: Registry[SourceKind] = Registry("source", "semsim_pipeline.datasets")


@runtime_checkable
class Inspectable(Protocol):
    """A source that can say what it holds instead of images, for the message about an empty dataset."""

    def what_else(self) -> str:
        """A phrase such as `12 other files (10 .txt, 2 .csv)`; cheap."""


@runtime_checkable
class Fetchable(Protocol):
    """A source whose files come from another machine. Building it asks no network, and neither does listing it.

    Until it is here, `items`, `open` and, where only the files tell them, `label_columns` raise MissingFilesError.
    """

    def fetch(self, progress: Progress) -> None:
        """Bring the files, or those of another version that there is by now; nothing where all is here.

        Raises MissingFilesError, WrongChecksumError, StoreError.
        """

    def is_here(self) -> bool:
        """Whether it can be listed without a network."""

    def stamp_here(self) -> str:
        """The digest of `stamp` for the version that is here. Raises MissingFilesError."""


def fetch(source: Source, progress: Progress) -> None:
    """Bring what a source needs to this machine; nothing for those that are here anyway. Raises as `Fetchable`."""
    if isinstance(source, Fetchable):
        source.fetch(progress)


def is_here(source: Source) -> bool:
    """Whether a source can be listed without a network."""
    return not isinstance(source, Fetchable) or source.is_here()


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
