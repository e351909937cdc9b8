"""Batches from file contents to rows: one thread reads in order; others decode, preprocess and encode.

Whoever prepares the last image of a batch encodes it, with one thread for its arithmetic where the encoder lets several
run at once. Against one encoder that spreads each product over all cores beside threads that decode, on two busy
cores: 160 CPU-ms an image of ViT-B/32 instead of 255, since nobody waits at the end of each product for a thread that
has no core.
"""

from __future__ import annotations

import math
import queue
import threading
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import Reader
from semsim_pipeline.datasets.perceptual import HASH_WORDS
from semsim_pipeline.encoders.base import LoadedEncoder, OnDevice, Parallel
from semsim_pipeline.errors import InvalidEmbeddingsError, UnreadableImageError
from semsim_pipeline.extract.prepare import Arrived, Preparation, Prepared, helpers_here, prepare
from semsim_pipeline.extract.records import ShardSpec
from semsim_pipeline.heap import own_pages

RUN_IMAGES = 16
RUN_BYTES = 1 << 21
"""Contents handed to a thread at once: handing over is dear beside a thumbnail, and photos are large."""


@dataclass(slots=True)
class Batch:
    """One batch. good: bool [b], which of its images were embedded; rows: float32 [number of good, d].

    hashes: uint64 [b, 4], perceptual, zeros where an image has none or nobody asked. failed, skipped: place in the
    batch to reason. pixels: uint8 [batch_size, H, W, 3], a buffer that is used again. waiting: images not prepared yet.
    """

    start: int
    good: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    rows: NDArray[np.float32]
    pixels: NDArray[np.uint8]
    waiting: int
    failed: dict[int, str] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)


class Batches:
    """The batches of one shard. Use as a context; leaving it stops every thread, whatever happened.

    Beside an encoder on a device, processes prepare the images where there are any (`helpers`), and threads wait.

    Memory: one batch of pixels a thread and one more, the activations of one batch a thread, and `threads + 1` runs
    of file contents.
    """

    def __init__(self, spec: ShardSpec, encoder: LoadedEncoder, *, hashed: bool = False) -> None:
        """hashed: also hash every image, while its pixels are at hand."""
        self._spec = spec
        self._encoder = encoder
        apart = encoder.preparation if isinstance(encoder, OnDevice) else None
        self._helpers = None if apart is None else helpers_here()
        self._parallel = encoder if isinstance(encoder, Parallel) else None
        self._how = Preparation(
            preprocess=encoder.preprocess if apart is None else apart,
            least_side=self._parallel.least_side if self._parallel else None,
            hashed=hashed,
        )
        suits = self._parallel.batch_size if self._parallel else spec.encoder.batch_size
        self._size = min(spec.batch_size or suits, len(spec.items))
        # Beside an encoder that takes one batch at a time, one more thread prepares the next.
        self._threads = spec.threads if self._parallel else spec.threads + 1
        self._encoding = threading.Lock()
        self._buffers: queue.SimpleQueue[NDArray[np.uint8]] = queue.SimpleQueue()
        self._counting = threading.Lock()
        self._stop = threading.Event()
        # Bounds the contents in memory: a run counts from before it is read until it was prepared.
        self._runs = threading.BoundedSemaphore(self._threads + 1)
        self._stack = ExitStack()

    def __len__(self) -> int:
        return math.ceil(len(self._spec.items) / self._size)

    @property
    def ahead(self) -> int:
        """Batches to begin before the first is waited for: one a thread, and one more that is read meanwhile."""
        return self._threads + 1

    def __enter__(self) -> Batches:
        with ExitStack() as stack:
            begin_lane = stack.enter_context(self._parallel.lanes()) if self._parallel else _as_it_is
            self._reader: Reader = stack.enter_context(self._spec.source.open())
            self._working = stack.enter_context(ThreadPoolExecutor(self._threads, "semsim-encode", begin_lane))
            self._reading = stack.enter_context(ThreadPoolExecutor(1, "semsim-read"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # Cancelled runs release the semaphore too (their callbacks are called), so the reader cannot wait for ever.
        self._working.shutdown(wait=False, cancel_futures=True)
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._stack.close()

    def begin(self, number: int) -> Future[Batch]:
        """Start on batch `number`; the result waits for it, and raises what any thread raised."""
        finished: Future[Batch] = Future()
        self._reading.submit(self._read, number, finished)
        return finished

    def _read(self, number: int, finished: Future[Batch]) -> None:
        """In the reading thread: contents in the source's order, handed on in runs."""
        start = number * self._size
        count = min(self._size, len(self._spec.items) - start)
        batch = Batch(
            start=start,
            good=np.zeros(count, dtype=np.bool_),
            hashes=np.zeros((count, HASH_WORDS), dtype=np.uint64),
            rows=np.empty((0, self._encoder.dim), dtype=np.float32),
            pixels=np.empty(0, dtype=np.uint8),
            waiting=count,
        )
        place = 0
        try:
            while place < count and not self._stop.is_set():
                self._runs.acquire()
                try:
                    run, images = self._contents(batch, place)
                    working = self._working.submit(self._work, batch, run, images, finished)
                except BaseException:
                    # Nobody else will: batches that fail to be read would use up the room, and the next wait for ever.
                    self._runs.release()
                    raise
                working.add_done_callback(lambda _: self._runs.release())
                place += images
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the batch
            _fail(finished, error)

    def _contents(self, batch: Batch, first: int) -> tuple[list[Arrived], int]:
        """The contents of the batch's next run, from place `first` on, and how many images it went over."""
        run: list[Arrived] = []
        place, held = first, 0
        while place < len(batch.good) and len(run) < RUN_IMAGES and held < RUN_BYTES and not self._stop.is_set():
            try:
                content = self._reader.read(self._spec.items[batch.start + place])
            except UnreadableImageError as error:
                batch.skipped[place] = f"{error}"
            else:
                run.append(Arrived(place=place, content=content, image_id=self._spec.image_ids[batch.start + place]))
                held += len(content) if isinstance(content, bytes) else content.nbytes
            place += 1
        return run, place - first

    def _work(self, batch: Batch, run: list[Arrived], images: int, finished: Future[Batch]) -> None:
        """In a working thread: prepare a run, and encode the batch where the run was its last."""
        try:
            self._prepare(batch, run)
            with self._counting:
                batch.waiting -= images
                last = batch.waiting == 0
            if last and not self._stop.is_set():
                batch.rows = self._encode(batch)
                if batch.pixels.size:
                    self._buffers.put(batch.pixels)
                finished.set_result(batch)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the batch
            _fail(finished, error)

    def _prepare(self, batch: Batch, run: list[Arrived]) -> None:
        """A run into the batch's buffer: whole from a process, image by image here."""
        if self._helpers is not None:
            self._keep(batch, self._helpers.prepare(self._how, run))
            return
        for each in run:
            if self._stop.is_set():
                return
            self._keep(batch, prepare(self._how, [each]))

    def _keep(self, batch: Batch, found: Prepared) -> None:
        for place, pixels, hashed in zip(found.places, found.pixels, found.hashes, strict=True):
            self._buffer(batch, pixels)[place] = pixels
            batch.hashes[place] = hashed
            batch.good[place] = True
        batch.failed |= found.failed
        batch.skipped |= found.skipped

    def _buffer(self, batch: Batch, like: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The batch's buffer; its first image brings it a used one, or the shape of a new one."""
        with self._counting:
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

    def _encode(self, batch: Batch) -> NDArray[np.float32]:
        """float32 [good, d], checked: nothing but finite rows of the right width may reach the store."""
        where = np.flatnonzero(batch.good)
        if not len(where):
            return batch.rows
        pixels = batch.pixels[: len(batch.good)]
        chosen = pixels if len(where) == len(pixels) else pixels[where]
        if self._parallel:
            rows = self._encoder.encode(chosen)
        else:
            with self._encoding:
                rows = self._encoder.encode(chosen)
        name, dim = self._spec.encoder.name, self._encoder.dim
        if rows.shape != (len(where), dim) or rows.dtype != np.float32:
            raise InvalidEmbeddingsError(
                f"Encoder {name!r} returned {rows.dtype} {list(rows.shape)} for {len(where)} images; "
                f"float32 [{len(where)}, {dim}] was declared."
            )
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            path = self._spec.items[batch.start + int(where[bad[0]])].path
            raise InvalidEmbeddingsError(
                f"Encoder {name!r} returned NaN or infinity for {path!r} ({len(bad)} of {len(where)} images "
                "of its batch); its weights are damaged, or it needs another precision."
            )
        return rows


def _as_it_is() -> None:
    """Nothing to set in a thread."""


def _fail(finished: Future[Batch], error: BaseException) -> None:
    """The batch failed, if no other run of it said so before."""
    with suppress(InvalidStateError):
        finished.set_exception(error)
