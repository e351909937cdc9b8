"""The order of copies and arithmetic, against recorded streams; on a machine with a GPU, the numbers too."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from semsim_pipeline.encoders.cuda_feed import SLOTS, CudaFeed


class Recorded:
    """Stands in for torch.cuda: streams that note what they are told, and buffers without pinning."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        self.said: list[str] = []
        self.made: list[tuple[str, bool]] = []
        self._names = iter(("copies", "compute"))
        self._now = threading.local()
        empty = torch.empty

        def unpinned(*size: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
            self.made.append((str(options["dtype"]), pin_memory))
            return empty(*size, **options)

        monkeypatch.setattr(torch, "empty", unpinned)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: RecordedStream(next(self._names), self.said))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: RecordedStream("default", self.said))
        monkeypatch.setattr(torch.cuda, "stream", self.inside)

    @contextmanager
    def inside(self, stream: RecordedStream) -> Any:
        self.said.append(f"on {stream.name}")
        yield


class RecordedStream:
    def __init__(self, name: str, said: list[str]) -> None:
        self.name, self.said = name, said

    def wait_stream(self, other: RecordedStream) -> None:
        self.said.append(f"{self.name} waits for {other.name}")

    def record_event(self) -> RecordedStream:
        self.said.append(f"event of {self.name}")
        return self

    def wait_event(self, event: RecordedStream) -> None:
        self.said.append(f"{self.name} waits for event of {event.name}")

    def synchronize(self) -> None:
        self.said.append(f"host waits for {self.name}")


def batch(images: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (images, 4, 4, 3), dtype=np.uint8)


def mean_colour(pixels: Any) -> Any:
    return pixels.double().mean(dim=(1, 2))


def test_bytes_are_copied_before_they_are_used_and_rows_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    device = Recorded(monkeypatch)
    feed = CudaFeed(torch.device("cpu"), mean_colour)
    del device.said[:]
    images = batch(5)
    images.setflags(write=False)
    rows = feed.rows(images)
    np.testing.assert_allclose(rows, images.mean(axis=(1, 2)), rtol=1e-6)
    assert rows.dtype == np.float32
    assert device.said == [
        "on copies", "event of copies",
        "on compute", "compute waits for event of copies", "event of compute",
        "host waits for compute",
    ]  # fmt: skip


def test_buffers_are_pinned_bytes_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    device = Recorded(monkeypatch)
    feed = CudaFeed(torch.device("cpu"), mean_colour)
    sizes = [8, 3, 8, 5, 8, 8]
    with ThreadPoolExecutor(4) as lanes:
        found = list(lanes.map(lambda n: feed.rows(batch(n, seed=n)), sizes))
    for n, rows in zip(sizes, found, strict=True):
        np.testing.assert_allclose(rows, batch(n, seed=n).mean(axis=(1, 2)), rtol=1e-6)
    bytes_made = [pinned for kind, pinned in device.made if kind == "torch.uint8"]
    assert len(bytes_made) <= 4 * SLOTS, "at most once for each slot, and again where a larger batch came"
    assert sum(bytes_made) == len(bytes_made) / 2, "one on the host, pinned, for each on the device"
    for _ in range(SLOTS):  # they take turns: by now each has met the largest
        feed.rows(batch(8))
    del device.made[:]
    feed.rows(batch(4))
    feed.rows(batch(4))
    assert [kind for kind, _ in device.made] == ["torch.float32"] * 2


def test_a_failure_waits_for_the_device_and_frees_the_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    device = Recorded(monkeypatch)

    def full(pixels: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    feed = CudaFeed(torch.device("cpu"), full)
    for _ in range(SLOTS + 1):  # one more than there are slots: a lost one would wait for ever
        with pytest.raises(torch.OutOfMemoryError):
            feed.rows(batch(2))
        assert device.said[-2:] == ["host waits for compute", "host waits for copies"]


@pytest.mark.slow
@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="needs a CUDA device")
def test_on_a_device_rows_are_the_cpus_whatever_the_lanes() -> None:
    import torch

    from semsim_pipeline.encoders.network import NetworkEncoder
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.encoders.torch_runtime import NetworkRuntime

    encoder = resolve_encoder("clip-vit-b-32")
    assert isinstance(encoder, NetworkEncoder)
    recipe = encoder.recipe

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 32, 32), torch.nn.GELU(), torch.nn.Flatten())
    images = np.random.default_rng(0).integers(0, 256, (70, 224, 224, 3), dtype=np.uint8)
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (recipe.mean, recipe.std))
    with torch.inference_mode():
        planes = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std
        expected = network(planes).numpy()
    runtime = NetworkRuntime(network, recipe, name="net")
    with ThreadPoolExecutor(4) as lanes:
        found = np.concatenate(list(lanes.map(runtime.encode, np.split(images, 10))))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
