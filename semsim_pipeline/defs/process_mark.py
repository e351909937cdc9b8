"""Which process does a run, written on the run: how it is found out that the process is gone."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PROCESS_TAG = "semsim/process"
BOOT = Path("/proc/sys/kernel/random/boot_id")


def process_tag(run_id: str) -> dict[str, str]:
    """The tag for a run that this process does: `run:host:number:since`."""
    return {PROCESS_TAG: f"{run_id}:{platform.node()}:{os.getpid()}:{_since(os.getpid())}"}


def is_marked(run_id: str, tags: Mapping[str, str]) -> bool:
    """Whether a process called the run its own. Dagster copies tags to the run that tries again: those are not it."""
    return tags.get(PROCESS_TAG, "").partition(":")[0] == run_id


def is_gone(run_id: str, tags: Mapping[str, str]) -> bool:
    """Whether the process of the run has ended. False too where nobody can tell: no mark, or another machine's.

    Numbers are used again: a process counts as the run's own only if it also began when that one did.
    """
    parts = tags.get(PROCESS_TAG, "").partition(":")[2].rsplit(":", 2)
    if not is_marked(run_id, tags) or len(parts) != 3 or not parts[1].isdigit() or parts[0] != platform.node():
        return False
    number, since = int(parts[1]), parts[2]
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # somebody else's process has the number now
        return True
    return _zombie(number) or (since != "" and _since(number) != since)


def _since(number: int) -> str:
    """When a process began: the machine's boot and the clock ticks since; empty where the system does not tell."""
    with suppress(OSError, IndexError):
        boot = BOOT.read_text(encoding="ascii").strip()[:8]
        return f"{boot}-{_stat(number)[19]}"
    return ""


def _zombie(number: int) -> bool:
    """Ended, and not yet asked for by its parent."""
    with suppress(OSError, IndexError):
        return _stat(number)[0] == "Z"
    return False


def _stat(number: int) -> list[str]:
    """Fields of /proc/<number>/stat from the third on; the second, the name, may hold spaces and brackets."""
    text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()
