"""Memory that the libraries keep for themselves: giving back what was freed, and large blocks that they never see."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

M_ARENA_MAX = -8
"""glibc's malloc.h."""
ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"
"""Arrow's own variable, read once, when it is imported."""

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


def return_freed_memory() -> None:
    """Freed blocks back to the system: those of the C library (glibc), and of Arrow's pool where it is loaded.

    glibc raises the size above which it maps a block of its own with each such block that is freed, so the arrays of
    later shards come from the heap and leave it full of holes: 12 MiB a shard of ViT-B/32 stayed resident. Arrow's
    pool keeps the pages of every part and every batch of a manifest.
    Cost: a few milliseconds.
    """
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def keep_heap_small() -> None:
    """For this process, from now on: threads share glibc's one heap, and Arrow allocates from it too.

    Each thread that embeds would get a heap of its own, and Arrow has a third; what one frees the others cannot use,
    and none is ever quite empty. Between 5,000 and 30,000 images of a small tower the peak grew by 41 MiB.
    Cost: threads that allocate at once wait for one another; a network's blocks are few and large.
    """
    with _arrow_in_the_heap():  # of use where Arrow was not imported before
        import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    tune = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if tune is not None:
        tune(M_ARENA_MAX, 1)


def keep_arrow_in_the_heap() -> None:
    """For a process of our own and those that it starts, before Arrow is imported: it takes glibc's heap throughout.

    What is set later (`pa.set_memory_pool`) holds for what Python asks of it. Arrow's readers and writers ask the pool
    that was chosen at its import: mimalloc, whose pages stay resident (24 MiB after listing 5,000 images, 39 after
    100,000). Whoever has chosen a pool keeps it.
    """
    os.environ.setdefault(ARROW_POOL, "system")


@contextmanager
def _arrow_in_the_heap() -> Iterator[None]:
    """The same while inside: the program around this package, and what it starts, keep their environment."""
    if ARROW_POOL in os.environ:
        yield
        return
    keep_arrow_in_the_heap()
    try:
        yield
    finally:
        del os.environ[ARROW_POOL]


def own_pages(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array [shape] of zeros in pages of its own, which go back to the system with it.

    For what lives through a shard: between the activations of a network, which come and go with every batch, such a
    block would leave a hole that the next shard's does not fit into.
    """
    import numpy as np

    kind = np.dtype(dtype)
    count = math.prod(shape)
    if count == 0:
        return np.zeros(shape, kind)
    return np.frombuffer(mmap.mmap(-1, count * kind.itemsize), dtype=kind, count=count).reshape(shape)
