"""The C library's heap: giving back what was freed."""

from __future__ import annotations

import ctypes
import sys


def return_freed_memory() -> None:
    """Freed blocks back to the system, where the C library keeps them (glibc); elsewhere nothing.

    glibc raises the size above which it maps a block of its own with each such block that is freed, so the arrays of
    later shards come from the heap and leave it full of holes: 12 MiB a shard of ViT-B/32 stayed resident.
    Cost: a few milliseconds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
