"""Running a network: device, exact float32 at full speed, bfloat16, and batches that leave nothing of torch behind."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.encoders.cuda_feed import CudaFeed, CudaMemory
from semsim_pipeline.encoders.device_batches import FIRST, DeviceBatches, HostMemory
from semsim_pipeline.encoders.exact_float32 import exact_float32, has_exact_medium
from semsim_pipeline.encoders.network import RearrangedWrongly
from semsim_pipeline.encoders.preprocess import resize_image
from semsim_pipeline.errors import UnusableWeightsError
from semsim_pipeline.heap import return_freed_memory

if TYPE_CHECKING:
    import torch

    from semsim_pipeline.encoders.network import Recipe
    from semsim_pipeline.encoders.on_cpu.rearrange import Seen

MOST_DRIFT = 1e-6
"""1 - cosine between the fast and the plain float32 result above which the fast one is not used."""
MOST_BF16_DRIFT = 1e-3
"""The same between bfloat16 and float32, above which the network is refused: its rows would be another encoder's."""
DRIFT_IMAGES = 2
BF16_ROUNDING = 4
"""Times as far from float32 a rearranged network may be as bfloat16 was before: it rounds elsewhere."""
FEW_PATCHES = 64
"""Up to so many an image, bfloat16 takes twice the batch: its products are as fast again as float32's, and what
happens between them costs as much. ViT-B/32 (49 patches): 95 images a second at 8, 97 to 99 at 16; ViT-B/16: 24, 22."""


class OneThreadEach:
    """Threads that each compute alone: gives what a thread calls first; torch's own number is put back at the end.

    torch keeps the number by thread, and beside it one for threads that are yet to come: hence the count of users.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 1

    @contextmanager
    def __call__(self) -> Iterator[Callable[[], None]]:
        import torch

        with self._lock:
            if self._inside == 0:
                self._before = torch.get_num_threads()
            self._inside += 1
        try:
            yield _one_thread
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    torch.set_num_threads(self._before)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


one_thread_each = OneThreadEach()


class NetworkRuntime:
    """A `LoadedEncoder` around a network that maps normalised float32 [b, 3, H, W] to [b, d].

    It is `Parallel`: on a CPU each lane computes with one thread; on CUDA lanes take turns, the copies of one beside
    the arithmetic of another, in batches that grow to what the device takes. At float32, that throughout, on CPU and
    on CUDA, whatever the process has set (`exact_float32`). At bfloat16, weights and activations are cast as a whole
    (autocast would cast the weights again for every batch); pixels are normalised in float32 before, rows are float32.

    On a CPU where oneDNN multiplies, layers are rearranged for it (`on_cpu`), and the rows of before and after are
    compared.

    module: weights float32; it is taken over, not copied. name: for the error.
    Raises UnusableWeightsError: bfloat16 departs from float32 on the trial batch by more than MOST_BF16_DRIFT.
    RearrangedWrongly: rearranged, the network departs by more than its precision may; build it anew and leave it so.
    WorkError: one image does not fit on the device.
    Memory: the network once, and one batch's activations a lane.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        recipe: Recipe,
        *,
        name: str,
        batch_size: int = FIRST,
        rearranged: bool = True,
    ) -> None:
        """batch_size: images at once that suit a CPU; CUDA finds its own. rearranged: whether layers may be."""
        import torch

        from semsim_pipeline.encoders.on_cpu.layers import can_pack
        from semsim_pipeline.encoders.on_cpu.rearrange import watched

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._format = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self._module = module.float().eval().requires_grad_(False)
        if recipe.channels_last:
            self._module = self._module.to(memory_format=torch.channels_last)
        self._module = self._module.to(self._device)
        self._mean = torch.tensor(recipe.mean, dtype=torch.float32, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(recipe.std, dtype=torch.float32, device=self._device).view(1, 3, 1, 1)
        self._resize = recipe.resize
        self._fast = False
        self._dtype = torch.float32
        cuda = self._device.type == "cuda"
        self._feed = CudaFeed(self._device, self._forward).rows if cuda else self._on_cpu
        self._batches = (
            DeviceBatches(name, CudaMemory(self._device)) if cuda else DeviceBatches(name, HostMemory(), sys.maxsize)
        )
        self._suits_cpu = batch_size
        most = MOST_DRIFT
        trial = self._trial_batch(DRIFT_IMAGES)
        with ExitStack() as stack:
            seen = stack.enter_context(watched(self._module, DRIFT_IMAGES)) if rearranged and not cuda else None
            plain = self.encode(trial)
        self._dim = int(plain.shape[1])
        if recipe.precision == "bfloat16":
            self._dtype = torch.bfloat16
            self._module = self._module.to(torch.bfloat16)
            return_freed_memory()
            departs = drift(plain, self.encode(trial))
            if not departs <= MOST_BF16_DRIFT:
                raise UnusableWeightsError(
                    f"{name!r} departs from float32 by 1 - cosine = {departs:.1e} on a trial batch, where "
                    f"{MOST_BF16_DRIFT:.0e} is allowed: these weights do not bear bfloat16. Name it without '+bf16'."
                )
            most = min(MOST_BF16_DRIFT, BF16_ROUNDING * departs + MOST_DRIFT)
        elif not cuda and has_exact_medium():
            self._fast = True
            with exact_float32.alone():
                tried = self.encode(trial)
            self._fast = drift(plain, tried) <= MOST_DRIFT
        if cuda:
            self._batches.grow(self._feed, self._trial_batch)
        elif seen is not None and (self._fast or self._dtype == torch.bfloat16) and can_pack(self._dtype):
            # float32 only where oneDNN multiplies already: elsewhere torch's own way is as fast.
            if self._dtype == torch.bfloat16 and 0 < seen.patches <= FEW_PATCHES:
                self._suits_cpu *= 2
            self._rearrange(seen, plain, trial, most)

    def _rearrange(self, seen: Seen, plain: NDArray[np.float32], trial: NDArray[np.uint8], most: float) -> None:
        """Layers for a CPU, if the trial's rows stay what they were. Raises RearrangedWrongly.

        most: 1 - cosine that is allowed to the plain float32 rows.
        """
        from semsim_pipeline.encoders.on_cpu.rearrange import rearrange

        try:
            with one_thread_each() as begin:
                begin()  # weights are laid out for so many threads as will multiply
                rearrange(self._module, seen, images=self._suits_cpu)
                departs = drift(plain, self.encode(trial))
        except Exception as error:  # whatever another release of a library does with its layers
            raise RearrangedWrongly(f"{error!r}") from error
        if not departs <= most:
            raise RearrangedWrongly(f"1 - cosine = {departs:.1e}, where {most:.0e} is allowed")
        return_freed_memory()

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def batch_size(self) -> int:
        """Images at once that suit the device; on CUDA what growing found, less where memory ran out since."""
        return self._batches.size if self._device.type == "cuda" else self._suits_cpu

    @property
    def least_side(self) -> int:
        """As `Parallel` says."""
        return self._resize.least_side

    def lanes(self) -> AbstractContextManager[Callable[[], None]]:
        """As `Parallel` says."""
        return one_thread_each()

    @property
    def preparation(self) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
        """As `OnDevice` says."""
        return partial(resize_image, spec=self._resize) if self._device.type == "cuda" else None

    @property
    def uses_fast_matmul(self) -> bool:
        """Whether the faster float32 is one here and passed the check at start-up (never at bfloat16); no part of a
        fingerprint."""
        return self._fast

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return resize_image(image, self._resize)

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As the protocol says. Raises ValueError on another dtype or size than `preprocess` gives."""
        rows, columns = self._resize.crop
        if batch.dtype != np.uint8 or batch.shape[1:] != (rows, columns, 3):
            raise ValueError(f"a batch is uint8 [b, {rows}, {columns}, 3]; found {batch.dtype} {list(batch.shape)}")
        if len(batch) == 0:
            return np.empty((0, self._dim), np.float32)
        return self._batches.rows(batch, self._feed)

    def _on_cpu(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        # torch wraps only memory that may be written; a slice of an Arrow buffer may not.
        features = self._forward(torch.from_numpy(np.require(batch, requirements=["C", "W"])))
        # A copy into numpy's own memory: a view would keep a torch block alive for as long as one row is held.
        out = np.empty(tuple(features.shape), np.float32)
        torch.from_numpy(out).copy_(features)
        return out

    def _forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 [b, H, W, 3] on the device to [b, d] there."""
        import torch

        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            # At bfloat16 a CPU has nothing to hold; cuDNN's choices are fixed at either precision.
            if self._dtype == torch.float32 or self._device.type == "cuda":
                stack.enter_context(exact_float32(fast=self._fast))
            features = self._module(self._normalised(pixels))
            # CoCa's tower also gives its tokens; the pooled embedding comes first.
            pooled: torch.Tensor = features[0] if isinstance(features, tuple) else features
            return pooled

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 [b, H, W, 3] to [b, 3, H, W] at the network's precision.

        Computed in float32 whatever that is: bfloat16 cannot tell 255 grey levels apart.
        """
        import torch

        planes = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=self._format)
        return planes.div_(255.0).sub_(self._mean).div_(self._std).to(self._dtype)

    def _trial_batch(self, images: int) -> NDArray[np.uint8]:
        """Images of fixed noise; two are enough to compare two ways of multiplying matrices."""
        rows, columns = self._resize.crop
        random = np.random.Generator(np.random.PCG64(0))
        return random.integers(0, 256, (images, rows, columns, 3), dtype=np.uint8)


def drift(plain: NDArray[np.float32], fast: NDArray[np.float32]) -> float:
    """The largest 1 - cosine between corresponding rows, in float64; infinite where either is not finite."""
    a, b = plain.astype(np.float64), fast.astype(np.float64)
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not (np.isfinite(a).all() and np.isfinite(b).all() and (scale > 0).all()):
        return float("inf")
    return float(np.max(1.0 - (a * b).sum(axis=1) / scale))
