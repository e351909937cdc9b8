"""Growing and halving, with a device that exists only as numbers: no GPU is needed to run out of memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.encoders import device_batches
from semsim_pipeline.encoders.device_batches import FIRST, MOST, DeviceBatches, room_on_device
from semsim_pipeline.errors import WorkError

MB = 1 << 20


class FakeDevice:
    """`limit` images fit at once; a batch needs 1 MB an image; it computes `flat` images in the time of one."""

    def __init__(self, limit: int, *, total: int = 1 << 40, flat: int = 1 << 30) -> None:
        self.limit, self.total, self.flat = limit, total, flat
        self.sizes: list[int] = []
        self.given_back = 0
        self.clock = 0.0

    def free(self) -> int:
        return self.total

    def peak(self, run: Callable[[], None]) -> int:
        run()
        return self.sizes[-1] * MB

    def give_back(self) -> None:
        self.given_back += 1

    def forward(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        if len(batch) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate …")
        self.sizes.append(len(batch))
        self.clock += -(-len(batch) // self.flat)
        return batch.reshape(len(batch), -1)[:, :2].astype(np.float32)


def trial(images: int) -> NDArray[np.uint8]:
    return (np.arange(images * 12) % 251).astype(np.uint8).reshape(images, 2, 2, 3)


def grown(device: FakeDevice, monkeypatch: pytest.MonkeyPatch, size: int = FIRST) -> int:
    monkeypatch.setattr(device_batches.time, "perf_counter", lambda: device.clock)
    return DeviceBatches("net", device, size).grow(device.forward, trial)


def test_a_full_device_halves_the_batch_and_goes_on() -> None:
    device = FakeDevice(limit=5)
    batches = DeviceBatches("net", device, 32)
    images = trial(40)
    np.testing.assert_array_equal(batches.rows(images, device.forward), images.reshape(40, -1)[:, :2])
    assert (batches.size, device.given_back) == (4, 3)
    assert device.sizes == [4] * 10
    batches.rows(images, device.forward)
    assert device.given_back == 3, "what was learnt is kept"


def test_a_short_batch_halves_what_it_was_itself() -> None:
    device = FakeDevice(limit=2)
    batches = DeviceBatches("net", device, 256)
    assert len(batches.rows(trial(6), device.forward)) == 6
    assert batches.size == 1
    assert device.given_back == 2  # 6 and 3 failed, not 256, 128, 64, …


def test_not_even_one_image_is_one_clear_line() -> None:
    device = FakeDevice(limit=0, total=3 * MB)
    with pytest.raises(
        WorkError, match=r"'net' does not fit with a single image \(3 MiB are free\).*CUDA_VISIBLE"
    ) as e:
        DeviceBatches("net", device, 8).rows(trial(8), device.forward)
    assert "\n" not in str(e.value)


def test_other_errors_are_not_taken_for_a_full_device() -> None:
    def broken(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        DeviceBatches("net", FakeDevice(limit=9), 8).rows(trial(8), broken)


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_cudas_own_libraries_are_full_in_other_words(said: str) -> None:
    """They allocate beside torch, and raise plain errors."""
    device = FakeDevice(limit=2)

    def forward(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(batch) > device.limit:
            raise RuntimeError(said)
        return device.forward(batch)

    assert len(DeviceBatches("net", device, 8).rows(trial(8), forward)) == 8
    assert device.sizes == [2] * 4


def test_a_network_that_the_device_cannot_hold_is_one_clear_line() -> None:
    import torch

    one_line = r"'net' does not fit\. End what else .*CUDA_VISIBLE"
    with pytest.raises(WorkError, match=one_line) as e, room_on_device("net"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate …")
    assert "\n" not in str(e.value)
    with pytest.raises(RuntimeError, match="shapes"), room_on_device("net"):
        raise RuntimeError("shapes cannot be multiplied")


def test_growing_ends_where_the_rate_is_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    assert grown(FakeDevice(limit=9999, flat=64), monkeypatch) == 64
    assert grown(FakeDevice(limit=9999), monkeypatch) == MOST


def test_growing_leaves_a_fifth_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert grown(FakeDevice(limit=9999, total=100 * MB), monkeypatch) == 64  # 64 of 100 MB; 128 would not fit
    assert grown(FakeDevice(limit=9999, total=79 * MB), monkeypatch) == 32  # 64 MB are more than four fifths of 79


def test_growing_survives_a_full_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert grown(FakeDevice(limit=100), monkeypatch) == 64
    assert grown(FakeDevice(limit=3), monkeypatch) == 2
    with pytest.raises(WorkError, match="single image"):
        grown(FakeDevice(limit=0), monkeypatch)
