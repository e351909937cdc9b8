"""One registry for everything that has a name: sources, encoders, metrics. Adding one thing is adding one file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from semsim_pipeline.errors import UnknownNameError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to entries, filled by importing every module of one package on first use.

    A module registers what it offers by calling `add` at import; modules must therefore be light to import
    (torch, scikit-image and the like are imported inside the functions that use them).
    """

    def __init__(self, kind: str, package: str, *, skip: Sequence[str] = ()) -> None:
        self._kind = kind
        self._package = package
        self._skip = frozenset(skip)
        self._entries: dict[str, T] = {}
        self._discovered = False

    def add(self, name: str, entry: T) -> T:
        """Register `entry`; raises ValueError where the name is taken (a programming error, not a user's)."""
        if name in self._entries:
            raise ValueError(f"{self._kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry called `name`. Raises UnknownNameError with the nearest known name."""
        self._discover()
        if name not in self._entries:
            raise UnknownNameError(did_you_mean(self._kind, name, self._entries))
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        self._discover()
        return name in self._entries

    def names(self) -> list[str]:
        """Every registered name, sorted."""
        self._discover()
        return sorted(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter([self._entries[name] for name in self.names()])

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            if module.name not in self._skip:
                importlib.import_module(f"{self._package}.{module.name}")
