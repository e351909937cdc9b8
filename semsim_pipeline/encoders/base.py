"""What an encoder is: facts, a fingerprint of everything that changes its numbers, and two steps. One file each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.registry import Registry

Concurrency = Literal["processes", "threads"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFacts:
    """What a person chooses by. dim is None where only loading tells (an arbitrary architecture).

    weights: which file at which revision, or `none: computed`. preprocessing: in words, with the resampling filter.
    """

    name: str
    family: str
    dim: int | None
    input_size: int | None
    preprocessing: str
    pooling: str
    precision: str
    weights: str
    licence: str
    source: str


class LoadedEncoder(Protocol):
    """An encoder in memory. `preprocess` is safe to call from several threads, `encode` from one at a time."""

    @property
    def dim(self) -> int:
        """d."""

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """RGB uint8 [h, w, 3] of any size to the encoder's own size, uint8 [H, W, 3]; antialiased resampling.

        What `encode` takes and nobody else reads: FID's Inception keeps fractions of grey levels, as bytes of floats.
        """

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [b, H, W, 3] to the encoder's native output, float32 [b, d], not normalised.

        A row does not depend on the other rows: exactly for computed features, to 1e-5 relative through a network in
        float32, to 1 - cosine = 1e-3 in bfloat16.
        """


@runtime_checkable
class Parallel(Protocol):
    """What a `LoadedEncoder` may be besides: one whose `encode` several threads call at once (a network)."""

    @property
    def batch_size(self) -> int:
        """Images per call of `encode` that suit the device that it was loaded on."""

    @property
    def least_side(self) -> int:
        """Pixels: a JPEG may be decoded at a half, a quarter or an eighth while its short side keeps at least these.

        Part of the fingerprint: it changes the pixels of large photos.
        """

    def lanes(self) -> AbstractContextManager[Callable[[], None]]:
        """Within it `encode` may be called from several threads at once; each first calls what it gives, once."""


@runtime_checkable
class OnDevice(Protocol):
    """What a `Parallel` encoder may be besides: one that may compute on a device and leave the cores to others."""

    @property
    def preparation(self) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
        """`preprocess`, to be pickled for processes that prepare images; None where `encode` wants the cores."""


class Encoder(Protocol):
    """A name that was resolved: cheap to hold, picklable, loads on demand."""

    @property
    def name(self) -> str:
        """As asked for (`classical`, `open_clip:ViT-B-32/openai`)."""

    @property
    def facts(self) -> EncoderFacts: ...

    @property
    def concurrency(self) -> Concurrency:
        """How to use several cores: more processes (Python-bound features) or threads in one (a network)."""

    @property
    def batch_size(self) -> int:
        """Images per call of `encode` that suit a CPU; once loaded, a `Parallel` one may know better."""

    def fingerprint(self) -> str:
        """SHA-256 in hex of everything that changes the numbers: weights' digest, preprocessing, pooling, precision,
        and the code's own revision. Without loading the network where that is possible.

        Raises MissingWeightsError: one line with the file, where to put it, and the command that fetches it.
        """

    def load(self) -> LoadedEncoder:
        """The encoder in memory. Raises MissingWeightsError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderKind:
    """A registered encoder or family of encoders.

    name: a short name (`clip-vit-b-32`) or a family's prefix (`open_clip:`, with `example` showing the rest).
    resolve: the full name as asked to an Encoder; raises WrongCallError where the rest cannot be read.
    reads_revision: whether `resolve` takes an `@REVISION` behind the name itself.
    only_path: whether a family's rest is a checkpoint's path alone, and not NAME/PATH.
    """

    name: str
    facts: EncoderFacts
    example: str
    resolve: ResolveEncoder
    reads_revision: bool = False
    only_path: bool = False


class ResolveEncoder(Protocol):
    """Builds an encoder from its full name; raises WrongCallError."""

    def __call__(self, name: str) -> Encoder: ...


ENCODERS: Registry[EncoderKind] = Registry("encoder", "semsim_pipeline.encoders")
