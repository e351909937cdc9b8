"""How many cores this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """Those that the scheduler may give it; of a container's share of time it knows nothing."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
