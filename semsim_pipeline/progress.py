"""Who is told how far a long piece of work is: a terminal, a log, or nobody."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Who is told how far the work is; the command line draws it."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage begins: `download` (bytes), `scan` (total unknown), `embed` or `hash` (total new images)."""

    def update(self, *, done: int, failed: int = 0, new: int = 0) -> None:
        """Where the stage is: totals so far, not steps. new: images read in a scan, embedded in an extraction."""

    def say(self, message: str) -> None:
        """One line for a person, such as that another process holds the set."""


class Silent:
    """Tells nobody."""

    def start(self, stage: str, total: int | None) -> None:
        """Nothing to draw."""

    def update(self, *, done: int, failed: int = 0, new: int = 0) -> None:
        """Nothing to draw."""

    def say(self, message: str) -> None:
        """Nothing to draw."""
