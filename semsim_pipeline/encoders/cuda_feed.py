"""Pixels to a CUDA device while it computes: pinned buffers used again, a stream for copies, events between."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

SLOTS = 2
"""One batch is computed while the next one is copied."""


class CudaMemory:
    """The `Memory` of one CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free(self) -> int:
        """As the protocol says."""
        import torch

        free, _ = torch.cuda.mem_get_info(self._device)
        kept = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return int(free) + int(kept)

    def peak(self, run: Callable[[], None]) -> int:
        """As the protocol says."""
        import torch

        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        run()
        return int(torch.cuda.max_memory_allocated(self._device)) - before

    def give_back(self) -> None:
        """As the protocol says."""
        import torch

        torch.cuda.empty_cache()


@dataclass(slots=True)
class _Slot:
    """Room for one batch: uint8, in pinned memory of the host and on the device, grown as larger batches come."""

    host: torch.Tensor | None = None
    device: torch.Tensor | None = None


class CudaFeed:
    """Batches from several threads through one device, so that copies and arithmetic overlap.

    Each caller fills a pinned buffer in its own thread; bytes, not floats, cross the bus, on a stream of their own; the
    network waits for them by an event, on the device's side; and the caller waits for its rows outside the lock, while
    the next caller's work is already queued.
    forward: uint8 [b, H, W, 3] on the device to rows [b, d] there, normalisation included.
    Memory: SLOTS batches of bytes, here and there.
    """

    def __init__(self, device: torch.device, forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
        import torch

        self._device = device
        self._forward = forward
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own stub lacks types
        self._compute = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own stub lacks types
        # What the constructor's caller made on the default stream (the weights) is there before either stream starts.
        self._compute.wait_stream(torch.cuda.current_stream(device))
        self._queueing = threading.Lock()
        self._slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        for _ in range(SLOTS):
            self._slots.put(_Slot())

    def rows(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [b, d]. Raises torch.OutOfMemoryError; the slot is free again then."""
        import torch

        slot = self._slots.get()
        try:
            host, device = self._room(slot, batch)
            # numpy's copy: torch would refuse to wrap a batch that may not be written.
            np.copyto(host.numpy(), batch)
            with self._queueing:
                with torch.cuda.stream(self._copies):
                    device.copy_(host, non_blocking=True)
                    copied = self._copies.record_event()
                with torch.cuda.stream(self._compute):
                    self._compute.wait_event(copied)
                    features = self._forward(device).float()
                    found = torch.empty(features.shape, dtype=torch.float32, pin_memory=True)
                    found.copy_(features, non_blocking=True)
                    done = self._compute.record_event()
                    del features
            done.synchronize()
            return np.array(found.numpy())  # memory of numpy's own
        except BaseException:
            # Part of the work may be queued still; nobody may write into the slot before it is over.
            self._compute.synchronize()
            self._copies.synchronize()
            raise
        finally:
            self._slots.put(slot)

    def _room(self, slot: _Slot, batch: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
        """The slot's buffers cut to the batch."""
        import torch

        host, device = slot.host, slot.device
        if host is None or device is None or host.shape[1:] != batch.shape[1:] or len(host) < len(batch):
            slot.host = slot.device = host = device = None  # before the larger ones are made
            slot.device = device = torch.empty(batch.shape, dtype=torch.uint8, device=self._device)
            slot.host = host = torch.empty(batch.shape, dtype=torch.uint8, pin_memory=True)
        return host[: len(batch)], device[: len(batch)]
