"""Somebody who is told how far the work is, and remembers it."""

from __future__ import annotations

from semsim_pipeline.progress import Silent


class Heard(Silent):
    """What was told, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: list[tuple[str, int | None]] = []
        self.done: list[int] = []

    def start(self, stage: str, total: int | None) -> None:
        self.stages.append((stage, total))

    def update(self, *, done: int, failed: int = 0, new: int = 0) -> None:
        self.done.append(done)

    def say(self, message: str) -> None:
        self.lines.append(message)
