"""The line that a terminal shows, and whose bars it leaves alone."""

from __future__ import annotations

import io
import sys

import pytest

from semsim_pipeline.cli.progress import shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_stderr_stays_the_terminal_until_a_stage_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each redrawn bar of another library would become a line of its own."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with shown(quiet=False) as progress:
        progress.say("Fetching")
        assert sys.stderr is terminal
        progress.start("embed", 10)
        assert sys.stderr is not terminal
        progress.update(done=5)
        progress.start("score", 1)
    assert sys.stderr is terminal
    assert "Fetching" in terminal.getvalue()
    assert "Embedding: 5 of 10 images" in terminal.getvalue()


def test_nothing_begun_nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with shown(quiet=False):
        pass
    assert terminal.getvalue() == ""
