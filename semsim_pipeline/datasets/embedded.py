"""Images that travel with the installed packages: small arrays in memory, the same in every process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import Reader, check_options
from semsim_pipeline.errors import WrongCallError
from semsim_pipeline.records import ItemRef


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledArrays:
    """images: uint8 [n, h, w]. labels: n names."""

    images: NDArray[np.uint8]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedArrays:
    """A source over arrays that `load` makes; `load` is a module's function, cached, so that copies stay small.

    Memory: the whole set, which is why only small ones are embedded (digits: 115 kB).
    """

    kind: str
    load: Callable[[], LabelledArrays]
    options: Mapping[str, str] = field(default_factory=dict)
    label_columns: tuple[str, ...] = ("label",)

    @property
    def location(self) -> str:
        return self.kind

    def items(self) -> Iterator[ItemRef]:
        for row, label in enumerate(self.load().labels):
            yield ItemRef(path=f"{self.kind}/{row:04d}.png", labels={"label": label}, locator=row)

    def open(self) -> AbstractContextManager[Reader]:
        return nullcontext(ArrayReader(images=self.load().images))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayReader:
    """Rows of one array; what it returns is a copy."""

    images: NDArray[np.uint8]

    def read(self, item: ItemRef) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.images[item.locator].copy()
        return image


def no_location(kind: str, location: str, options: Mapping[str, str]) -> None:
    """Raises WrongCallError where an embedded set is given a place or an option: it has neither."""
    if location not in {"", kind}:
        raise WrongCallError(f"{kind!r} comes with the package and takes no location; found {location!r}.")
    check_options(kind, options, ())
