"""From file contents to an encoder's pixels, run by run: in a thread, or in processes beside a device.

Python lets one thread at a time run. On two cores that costs nothing: decoding and resizing do not hold it. On sixteen,
beside a GPU, threads spent their time waiting for each other: 800 thumbnails a second where processes prepare
thousands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.cores import cores
from semsim_pipeline.datasets.base import Content
from semsim_pipeline.datasets.decode import decode, scaled_down
from semsim_pipeline.datasets.perceptual import HASH_WORDS, perceptual_hash
from semsim_pipeline.errors import UnreadableImageError, WorkError
from semsim_pipeline.extract.engines.local import ProcessPool
from semsim_pipeline.extract.hashes import HASHED_SIDE
from semsim_pipeline.fingerprint import image_id_of

CHANGED = "changed since the scan; the next run will see to it"
LEAST_CORES = 4
"""With fewer, threads keep them busy."""
LEAST_IMAGES = 2_000
"""Below, threads are done before the processes have started."""

Preprocess = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How to prepare an image. preprocess: the encoder's. least_side: as `decode`. hashed: its perceptual hash too."""

    preprocess: Preprocess
    least_side: int | None
    hashed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A file's content, its place in the batch, and the image id that the scan gave it."""

    place: int
    content: Content
    image_id: str


@dataclass(slots=True)
class Prepared:
    """A run. places: of the images that can be embedded; pixels: uint8 [H, W, 3] each; hashes: uint64 [4], zeros where
    there is none or nobody asked. failed, skipped: place to reason."""

    places: list[int] = field(default_factory=list)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)


def prepare(how: Preparation, run: Sequence[Arrived]) -> Prepared:
    """Check, decode, preprocess and hash a run, in order. One bad image is a reason and raises nothing."""
    found = Prepared()
    nothing = np.zeros(HASH_WORDS, dtype=np.uint64)
    for each in run:
        if image_id_of(each.content) != each.image_id:
            found.skipped[each.place] = CHANGED  # never an embedding under another image's id
            continue
        try:
            image = decode(each.content, least_side=how.least_side)
        except UnreadableImageError as error:
            found.failed[each.place] = str(error)
            continue
        found.pixels.append(how.preprocess(image))
        hashed = perceptual_hash(_to_hash(how, each.content, image)) if how.hashed else None
        found.hashes.append(nothing if hashed is None else hashed)
        found.places.append(each.place)
    return found


def _to_hash(how: Preparation, content: Content, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels to hash: those at hand, unless another encoder would have met others."""
    mine = 1 if how.least_side is None else scaled_down(content, how.least_side)
    alike = mine == scaled_down(content, HASHED_SIDE)
    return image if alike else decode(content, least_side=HASHED_SIDE)


class Helpers:
    """Processes that prepare images: one fewer than cores, started when first asked for. Safe from several threads."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None

    def prepare(self, how: Preparation, run: Sequence[Arrived]) -> Prepared:
        """As the function. how: pickled with each run. Raises WorkError: a process died."""
        with self._lock:
            if self._pool is None:
                self._pool = self._stack.enter_context(ProcessPool(cores() - 1))
        try:
            return self._pool.submit(_one, (how, run)).result()
        except BrokenProcessPool as error:
            raise WorkError(
                "A process that prepares images died (out of memory?). What was done is kept; run it again."
            ) from error

    def close(self) -> None:
        """End the processes; what they are at is lost."""
        self._stack.close()


def _one(order: tuple[Preparation, Sequence[Arrived]]) -> Prepared:
    return prepare(*order)


_here = threading.local()


@contextmanager
def helpers(images: int) -> Iterator[None]:
    """Within it, in this thread, encoders on a device get processes to prepare images; images: how many there are."""
    allowed = cores() >= LEAST_CORES and images >= LEAST_IMAGES
    _here.helpers = Helpers() if allowed else None
    try:
        yield
    finally:
        if _here.helpers is not None:
            _here.helpers.close()
        _here.helpers = None


def helpers_here() -> Helpers | None:
    """Of the surrounding `helpers`, where there are any."""
    found: Helpers | None = getattr(_here, "helpers", None)
    return found
