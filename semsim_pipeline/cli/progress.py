"""Progress on stderr: a live line in a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from semsim_pipeline.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES = 5.0
STAGES = {
    "download": "Downloading",
    "scan": "Reading the list",
    "embed": "Embedding",
    "score": "Scoring",
    "draw": "Drawing",
    "verify": "Checking",
}
UNITS = {"download": "MB", "score": "pairs", "draw": "pairs", "verify": "files"}


@contextmanager
def shown(*, quiet: bool) -> Iterator[Progress]:
    """Something that draws progress until the work is done."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, emoji=False)
    if quiet:
        yield _Quiet(console)
        return
    drawn = _Live(console) if sys.stderr.isatty() else _Lines(console)
    try:
        yield drawn
    finally:
        drawn.close()


class _Quiet(Silent):
    """No progress; but a run that waits for another process says so, or it would look hung."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, message: str) -> None:
        self._console.print(message, markup=False)


class _Stage:
    """Counts of the stage under way, and its line in words: count, images/s, remaining time, failures."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._total: int | None = None
        self._began = 0.0
        self._text = ""
        self._shown = True

    def start(self, stage: str, total: int | None) -> None:
        self._finish()
        self._name, self._total, self._began = stage, total, time.monotonic()
        self._text, self._shown = "", True

    def update(self, *, done: int, failed: int = 0, new: int = 0) -> None:
        self._text, self._shown = self._line(done, failed, new), False
        self._draw()

    def say(self, message: str) -> None:
        self._console.print(message, markup=False)

    def close(self) -> None:
        self._finish()

    def _draw(self) -> None:
        """Show the line where it is time to."""

    def _finish(self) -> None:
        """Show the stage's last line, once; a stage without news has none."""
        if not self._shown:
            self._console.print(self._text, markup=False)
            self._shown = True

    def _line(self, done: int, failed: int, new: int) -> str:
        seconds = time.monotonic() - self._began
        unit = UNITS.get(self._name, "images")
        of = f" of {_amount(self._total, unit)}" if self._total is not None else ""
        parts = [f"{STAGES.get(self._name, self._name)}: {_amount(done, unit)}{of} {unit}"]
        if self._name == "scan":
            parts.append(f"{new:,} new")
        elif done and seconds > 1:
            parts.append(_rate(done / seconds, unit))
            if self._total and done < self._total:
                parts.append(f"{_clock((self._total - done) * seconds / done)} left")
        if failed:
            parts.append(f"{failed:,} unreadable")
        return " · ".join(parts)


class _Lines(_Stage):
    """For logs: no control characters, a line every few seconds and one at the end of a stage."""

    def start(self, stage: str, total: int | None) -> None:
        super().start(stage, total)
        self._last = time.monotonic()

    def _draw(self) -> None:
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._console.print(self._text, markup=False)
            self._shown = True


class _Live(_Stage):
    """For terminals: one line that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        from rich.live import Live

        self._live = Live(console=console, transient=True, refresh_per_second=5)

    def start(self, stage: str, total: int | None) -> None:
        super().start(stage, total)
        # Not before there is a line: it takes hold of stderr, where libraries draw bars of their own (the hub's).
        self._live.start()

    def _draw(self) -> None:
        self._live.update(self._text)

    def close(self) -> None:
        self._live.stop()
        super().close()


def _amount(count: int, unit: str) -> str:
    return f"{count / 1e6:,.1f}" if unit == "MB" else f"{count:,}"


def _rate(per_second: float, unit: str) -> str:
    """What is done in a second, in the words of its unit.

    >>> _rate(2_500_000, "MB"), _rate(812.3, "images"), _rate(1.25, "pairs")
    ('2.5 MB/s', '812 images/s', '1.2/s')
    """
    if unit == "MB":
        return f"{per_second / 1e6:,.1f} MB/s"
    return f"{per_second:,.0f} images/s" if unit == "images" else f"{per_second:,.1f}/s"


def _clock(seconds: float) -> str:
    """Remaining time as a person says it.

    >>> _clock(42), _clock(125), _clock(7300)
    ('42 s', '2 min 05 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
