"""Batches of preprocessed images, made ahead of the encoder: one thread reads in order, others prepare."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import Content, Reader
from semsim_pipeline.datasets.decode import decode
from semsim_pipeline.datasets.perceptual import HASH_WORDS, perceptual_hash
from semsim_pipeline.encoders.base import LoadedEncoder
from semsim_pipeline.errors import InvalidEmbeddingsError, UnreadableImageError
from semsim_pipeline.extract.records import ShardSpec
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline.heap import own_pages

AHEAD = 2
"""Batches under way beside the one that is being encoded."""

RUN_IMAGES = 16
RUN_BYTES = 1 << 21
"""Contents handed to a preparing thread at once: handing over is dear beside a thumbnail, and photos are large."""

CHANGED = "changed since the scan; the next run will see to it"


@dataclass(slots=True)
class Batch:
    """One batch under way. good: bool [b], which rows of `pixels` hold an image.

    pixels: uint8 [batch_size, H, W, 3], a buffer that is used again. failed, skipped: place in the batch to reason.
    hashes: uint64 [b, 4], perceptual, zeros where an image has none or nobody asked.
    """

    start: int
    good: NDArray[np.bool_]
    pixels: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    failed: dict[int, str] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)


class Batches:
    """The batches of one shard. Use as a context; leaving it stops every thread, whatever happened."""

    def __init__(self, spec: ShardSpec, encoder: LoadedEncoder, *, hashed: bool = False) -> None:
        """hashed: also hash every image, while its pixels are at hand."""
        self._spec = spec
        self._hashed = hashed
        self._encoder = encoder
        self._size = min(spec.batch_size, len(spec.items))
        self._buffers: queue.SimpleQueue[NDArray[np.uint8]] = queue.SimpleQueue()
        self._allocating = threading.Lock()
        self._stop = threading.Event()
        # Bounds the contents in memory: a run counts from before it is read until it was prepared.
        self._runs = threading.BoundedSemaphore(spec.threads + 1)
        self._stack = ExitStack()

    def __len__(self) -> int:
        return math.ceil(len(self._spec.items) / self._size)

    def __enter__(self) -> Batches:
        with ExitStack() as stack:
            self._reader: Reader = stack.enter_context(self._spec.source.open())
            self._preparing = stack.enter_context(ThreadPoolExecutor(self._spec.threads, "semsim-prepare"))
            self._reading = stack.enter_context(ThreadPoolExecutor(1, "semsim-read"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # Cancelled runs release the semaphore too (their callbacks are called), so the reader cannot wait for ever.
        self._preparing.shutdown(wait=False, cancel_futures=True)
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._stack.close()

    def begin(self, number: int) -> Callable[[], Batch]:
        """Start on batch `number`; the result waits for it, and raises what any thread raised."""
        reading = self._reading.submit(self._read, number)

        def finished() -> Batch:
            batch, runs = reading.result()
            wait(runs)
            for run in runs:
                run.result()
            return batch

        return finished

    def give_back(self, batch: Batch) -> None:
        """The batch was encoded; its buffer may be used again."""
        if batch.pixels.size:
            self._buffers.put(batch.pixels)

    def _read(self, number: int) -> tuple[Batch, list[Future[None]]]:
        """In the reading thread: contents in the source's order, handed on in runs."""
        start = number * self._size
        count = min(self._size, len(self._spec.items) - start)
        no_hash = np.zeros((count, HASH_WORDS), dtype=np.uint64)
        batch = Batch(start, np.zeros(count, dtype=np.bool_), np.empty(0, dtype=np.uint8), no_hash)
        runs: list[Future[None]] = []
        place = 0
        while place < count and not self._stop.is_set():
            self._runs.acquire()
            contents: list[tuple[int, Content]] = []
            held = 0
            while place < count and len(contents) < RUN_IMAGES and held < RUN_BYTES and not self._stop.is_set():
                try:
                    content = self._reader.read(self._spec.items[start + place])
                except UnreadableImageError as error:
                    batch.skipped[place] = f"{error}"
                else:
                    contents.append((place, content))
                    held += len(content) if isinstance(content, bytes) else content.nbytes
                place += 1
            runs.append(self._hand_on(batch, contents))
        return batch, runs

    def _hand_on(self, batch: Batch, contents: list[tuple[int, Content]]) -> Future[None]:
        run = self._preparing.submit(self._prepare, batch, contents)
        run.add_done_callback(lambda _: self._runs.release())
        return run

    def _prepare(self, batch: Batch, contents: list[tuple[int, Content]]) -> None:
        """In a preparing thread: check, decode and preprocess a run into the batch's buffer."""
        for place, content in contents:
            if image_id_of(content) != self._spec.image_ids[batch.start + place]:
                batch.skipped[place] = CHANGED  # never an embedding under another image's id
                continue
            try:
                image = decode(content)
            except UnreadableImageError as error:
                batch.failed[place] = str(error)
                continue
            prepared = self._encoder.preprocess(image)
            self._buffer(batch, prepared)[place] = prepared
            if self._hashed and (found := perceptual_hash(image)) is not None:
                batch.hashes[place] = found
            batch.good[place] = True

    def _buffer(self, batch: Batch, like: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The batch's buffer; its first image brings it a used one, or the shape of a new one."""
        with self._allocating:
            if not batch.pixels.size:
                try:
                    batch.pixels = self._buffers.get_nowait()
                except queue.Empty:
                    batch.pixels = own_pages((self._size, *like.shape), np.uint8)
        if like.shape != batch.pixels.shape[1:] or like.dtype != np.uint8:
            raise InvalidEmbeddingsError(
                f"Encoder {self._spec.encoder.name!r} preprocessed one image to {list(batch.pixels.shape[1:])} and "
                f"another to {like.dtype} {list(like.shape)}; all must come out alike."
            )
        return batch.pixels
