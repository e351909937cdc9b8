"""How a run in this process is followed from outside: its progress and its tally reach whoever started it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from semsim_pipeline.progress import Progress

if TYPE_CHECKING:
    from semsim_pipeline.stages.checks import CheckResult


@dataclass(frozen=True, slots=True)
class Failed:
    """One thing that failed, in a line. waits_for: the failed partition that kept this one from being done, if any."""

    stage: str
    line: str
    waits_for: str | None = None


@dataclass(slots=True)
class Watch:
    """progress: of the terminal. current, computed: partitions that are up to date, and were not before. failures: what
    others wait for first. warned: failed checks that stop nothing. untold: why news of them
    did not reach the webhook. error: why there was nothing to do at all, or what broke the run off."""

    progress: Progress
    current: int = 0
    computed: int = 0
    failures: list[Failed] = field(default_factory=list)
    warned: list[CheckResult] = field(default_factory=list)
    untold: str | None = None
    error: BaseException | None = None


_WATCH: ContextVar[Watch | None] = ContextVar("semsim_watch", default=None)


def watch() -> Watch | None:
    """Who follows the run of this context; None for runs that Dagster started."""
    return _WATCH.get()


@contextmanager
def watched_by(progress: Progress) -> Iterator[Watch]:
    """Follow what runs inside the block."""
    found = Watch(progress)
    token = _WATCH.set(found)
    try:
        yield found
    finally:
        _WATCH.reset(token)
