"""What an engine is: one function over many items, each done at least once, results as they come."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 2


class Engine(Protocol):
    """Where shards are worked on. The shard task makes at-least-once into exactly-once output; an engine need not."""

    @property
    def in_process(self) -> bool:
        """Whether `fn` runs here, so that it may be a closure."""

    def map(
        self, fn: Callable[[T], R], items: Iterable[T], *, window: int, retries: int = RETRIES
    ) -> Generator[R, None, None]:
        """Results in the order in which they finish; at most `window` items are taken and not yet answered.

        An item whose worker dies is done again, at most `retries` times, then WorkError. What `fn` raises is raised.
        Closing the iterator, or Ctrl-C, stops the workers at once.
        """
