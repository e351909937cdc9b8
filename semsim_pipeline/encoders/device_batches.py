"""How many images at once a device takes: grown until it gains nothing, halved when its memory is full."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import WorkError
from semsim_pipeline.heap import return_freed_memory

FIRST, MOST = 16, 256
"""Where growing begins and ends: at 256 images of 224 px a batch of pixels is 38 MB, and each lane holds one."""
GAIN = 1.05
"""Images a second, against half the batch, below which the rate counts as flat."""
SHARE = 0.8
"""Of the free memory, what a batch may take: other programs use the device too."""

FULL = ("CUDA error: out of memory", "_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED")
"""What CUDA and its libraries say, in errors of no type of their own, where they find no memory beside torch's. The
last is cuBLAS without room for its own workspace."""
WHAT_TO_DO = (
    "End what else uses the device, choose a smaller encoder, or hide the device (CUDA_VISIBLE_DEVICES='') to work on "
    "the CPU."
)

Forward = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 [b, H, W, 3] to rows [b, d]; raises an error that `is_full` knows."""


class Memory(Protocol):
    """What growing asks of a device; a test gives its own."""

    def free(self) -> int:
        """Bytes that could still be allocated, those that torch keeps for itself included."""

    def peak(self, run: Callable[[], None]) -> int:
        """Bytes that `run` needed at its height, beyond what was there before."""

    def give_back(self) -> None:
        """Return to the device what torch keeps for itself."""


class HostMemory:
    """The `Memory` of this machine itself, where nothing grows and the system keeps the accounts."""

    def free(self) -> int:
        """Bytes of memory that the system could give."""
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0

    def peak(self, run: Callable[[], None]) -> int:
        """Nothing is measured on the host."""
        run()
        return 0

    def give_back(self) -> None:
        """As the protocol says."""
        return_freed_memory()


class DeviceBatches:
    """The size of a device's batches. Safe from several threads; the size only ever falls once it was grown.

    name: of the encoder, for the error. size: where growing begins; without growing, the most images at once.
    """

    def __init__(self, name: str, memory: Memory, size: int = FIRST) -> None:
        self._name = name
        self._memory = memory
        self._lock = threading.Lock()
        self.size = size

    def grow(self, forward: Forward, trial: Callable[[int], NDArray[np.uint8]]) -> int:
        """Double the size while a batch fits into SHARE of what is free and the rate still rises; the size found.

        trial: so many images. Raises WorkError: not even one image fits.
        """
        best = 0.0
        size = self.size
        while size <= MOST:
            batch = trial(size)
            free = self._memory.free()
            needed = 0
            rate = 0.0
            try:
                needed = self._memory.peak(lambda: _discard(forward(batch)))  # noqa: B023 - called at once
                rate = max(_rate(forward, batch) for _ in range(2))
            except RuntimeError as error:
                if not is_full(error):
                    raise
                self._memory.give_back()
                if best == 0.0:
                    self.rows(batch, forward)  # the first size is too large: halved as any batch is
                return self.size
            if best and (rate < GAIN * best or needed > SHARE * free):
                return self.size
            best, self.size = rate, size
            if 2 * needed > SHARE * free:  # twice the images need about twice as much
                return self.size
            size *= 2
        return self.size

    def rows(self, batch: NDArray[np.uint8], forward: Forward) -> NDArray[np.float32]:
        """The rows of a batch of any size, in pieces that fit; each time the memory is full, pieces are halved.

        Raises WorkError: one image alone does not fit.
        """
        done: list[NDArray[np.float32]] = []
        start = 0
        while start < len(batch):
            size = self.size
            try:
                done.append(forward(batch[start : start + size]))
                start += size
            except RuntimeError as error:
                if not is_full(error):
                    raise
                tried = min(size, len(batch) - start)
                self._memory.give_back()
                if tried == 1:
                    raise WorkError(
                        f"Out of memory on the device: {self._name!r} does not fit with a single image "
                        f"({self._memory.free() / 2**20:.0f} MiB are free). {WHAT_TO_DO}"
                    ) from error
                with self._lock:  # two lanes that failed together halve once
                    self.size = min(self.size, tried // 2)
        return done[0] if len(done) == 1 else np.concatenate(done)


def _rate(forward: Forward, batch: NDArray[np.uint8]) -> float:
    began = time.perf_counter()
    forward(batch)
    return len(batch) / (time.perf_counter() - began)


def _discard(_: NDArray[np.float32]) -> None:
    """Rows of a trial mean nothing."""


def is_full(error: BaseException) -> bool:
    """Whether a device's memory is full: torch's allocator says so, or CUDA and its libraries beside it."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(said in str(error) for said in FULL)
    )


@contextmanager
def room_on_device(name: str) -> Iterator[None]:
    """Turns a device that is full already while encoder `name` is put there into WorkError."""
    try:
        yield
    except RuntimeError as error:
        if not is_full(error):
            raise
        raise WorkError(f"Out of memory on the device: {name!r} does not fit. {WHAT_TO_DO}") from error
