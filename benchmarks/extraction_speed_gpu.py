"""ViT-B/32, DINOv2 S/14 (RANDOM weights) and mini on a CUDA device, images a second, beside the usual ways.

The usual ways are a naive loop and torch's DataLoader, both with ViT-B/32. Beside all stand the device's roof (matrix
products of 8,192 a side, and the network alone on pixels that lie on the device) and the host's (the package's own
pipeline into an encoder that computes nothing), so that one sees what bounds a row.
Inputs are synthesised JPEG files: thumbnails of 32 px, photos of 500 x 375 and of 12 megapixels.
Further, on the same device: rows against the CPU's, and what happens when its memory is full.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.clip_random_weights import ARCH, GFLOP_PER_IMAGE, write_checkpoint
from benchmarks.extraction_speed import KINDS, write_photos

NAME = "extraction_speed_gpu"
COUNTS = {"cifake": 40_000, "photo_500x375": 6_000, "photo_12_megapixels": 240}
QUICK_COUNTS = {"cifake": 64, "photo_500x375": 32, "photo_12_megapixels": 4}
NAIVE = 200
PART = 500
"""Files that one process writes, with a seed of its own."""
LOADER_BATCH = 64
BATCH, ROUNDS = 256, 40
BATCHES = (64, 256, 512, 1024)
DINO, DINO_ARCH, DINO_GFLOP, DINO_KIND = "dinov2-s-14", "vit_small_patch14_dinov2.lvd142m", 12.3, "photo_500x375"
ROOF_SIDE, QUICK_SIDE = 8192, 256
COMPARED = 64


class Constant:
    """A `LoadedEncoder` that prepares images as another one does, and computes nothing."""

    def __init__(self, like: Any) -> None:
        self._like = like
        self.dim, self.batch_size, self.least_side = like.dim, like.batch_size, like.least_side
        self.lanes, self.preprocess, self.preparation = like.lanes, like.preprocess, like.preparation

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The first bytes of each image: rows as different as the images are."""
        return batch.reshape(len(batch), -1)[:, : self.dim].astype(np.float32) + 1


def photos(folder: Path, kind: str, count: int) -> str:
    """`count` files of one kind in sub-folders, by a process a core."""
    width, height = KINDS[kind]
    step = max(1, min(PART, count // machine.describe()["cores"]))
    parts = [(folder / kind / f"{start:06d}", start, min(step, count - start)) for start in range(0, count, step)]
    with ProcessPoolExecutor() as pool:
        for path, _, _ in parts:
            path.mkdir(parents=True)
        waiting = [
            pool.submit(write_photos, str(path), width, height, number, seed=width + start)
            for path, start, number in parts
        ]
        for each in waiting:
            each.result()
    return str(folder / kind)


@contextmanager
def clocked(images: int) -> Iterator[dict[str, Any]]:
    """Fills images_per_second, and the device's memory at its height."""
    import torch

    row: dict[str, Any] = {"images": images}
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    yield row
    torch.cuda.synchronize()
    row["images_per_second"] = round(images / (time.perf_counter() - began), 1)
    row["peak_device_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)


def roof(side: int) -> dict[str, float]:
    """TFLOP/s of square products, the median of 20; float32 without TF32, as the package computes."""
    import torch

    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(side, side, device="cuda").to(dtype) for _ in range(2))
        seconds = []
        for _ in range(23):
            torch.cuda.synchronize()
            began = time.perf_counter()
            left @ right
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        found[name] = round(2 * side**3 / sorted(seconds[3:])[10] / 1e12, 1)
    return found


def network_alone(runtime: Any, gflop: float) -> dict[str, Any]:
    """On pixels that lie on the device; and with their copies there and the rows' back, from four threads.

    gflop: an image.
    """
    import torch

    pixels = noise(BATCH)
    there = torch.from_numpy(pixels).cuda()
    for _ in range(5):
        runtime._forward(there)
    with clocked(ROUNDS * BATCH) as resident:
        for _ in range(ROUNDS):
            runtime._forward(there)
    with ThreadPoolExecutor(4) as lanes:
        list(lanes.map(runtime.encode, [pixels] * 8))
        with clocked(ROUNDS * BATCH) as copied:
            list(lanes.map(runtime.encode, [pixels] * ROUNDS))
    return {
        "pixels_on_the_device": resident,
        "with_copies": copied,
        "batch_found": runtime.batch_size,
        "tflops": round(resident["images_per_second"] * gflop / 1e3, 1),
    }


def noise(images: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (images, 224, 224, 3), dtype=np.uint8)


def by_batch(runtime: Any) -> dict[int, float]:
    """Images a second on pixels that lie on the device, by images at once."""
    import torch

    found = {}
    for size in BATCHES:
        there = torch.from_numpy(noise(size)).cuda()
        runtime._forward(there)
        rounds = max(1, ROUNDS * BATCH // size // 2)
        with clocked(rounds * size) as row:
            for _ in range(rounds):
                runtime._forward(there)
        found[size] = row["images_per_second"]
    return found


def naive(files: list[Path], checkpoint: str) -> dict[str, Any]:
    """Image by image, as most first scripts: PIL, open_clip's transform, the whole model on the device in float32."""
    import open_clip
    import torch
    from PIL import Image

    model, _, transform = open_clip.create_model_and_transforms(ARCH, pretrained=checkpoint)
    model.eval().cuda()

    def embed(path: Path) -> object:
        features = model.encode_image(transform(Image.open(path)).unsqueeze(0).cuda())
        return (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()

    with torch.no_grad():
        for path in files[:16]:
            embed(path)
        with clocked(len(files)) as row:
            for path in files:
                embed(path)
    return row


class Pictures:
    """A map-style dataset over files, as most scripts write it."""

    def __init__(self, files: list[Path], transform: Any) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> Any:
        from PIL import Image

        return self.transform(Image.open(io.BytesIO(self.files[place].read_bytes())))


def loader(files: list[Path], checkpoint: str, *, autocast: bool) -> dict[str, Any]:
    """A process a core, batches of 64 (fewer of few files), pinned; the clock starts when the first batch is there."""
    import open_clip
    import torch
    from torch.utils.data import DataLoader

    model, _, transform = open_clip.create_model_and_transforms(ARCH, pretrained=checkpoint)
    model.eval().cuda()
    size = max(1, min(LOADER_BATCH, len(files) // (2 * machine.describe()["cores"])))
    batches: Any = DataLoader(Pictures(files, transform), batch_size=size, pin_memory=True,  # type: ignore[arg-type]
                              num_workers=machine.describe()["cores"])  # fmt: skip

    def embed(batch: Any) -> None:
        features = model.encode_image(batch.cuda(non_blocking=True))
        (features / features.norm(dim=-1, keepdim=True)).float().cpu().numpy()

    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        waiting = iter(batches)
        embed(next(waiting))
        with clocked(len(files) - size) as row:
            for batch in waiting:
                embed(batch)
    return row


def ours(source: str, encoder: Any, count: int) -> dict[str, Any]:
    """`embed_view` into a fresh home, Parquet and all. encoder: with its network loaded, which is not timed."""
    from semsim_pipeline.datasets.resolve import open_view
    from semsim_pipeline.extract import shard
    from semsim_pipeline.extract.run import embed_view

    shard._loaded.clear()  # it keeps what it loaded last, by fingerprint
    with tempfile.TemporaryDirectory(prefix="semsim-home-") as home, clocked(count) as row:
        cpu = os.times()
        done = embed_view(open_view(f"folder:{source}"), encoder, Path(home))
        after = os.times()
    assert done.new == count, done
    row["images_per_second"] = round(done.images_per_second, 1)
    row["with_scan_images_per_second"] = round(count / done.seconds, 1)
    row["cpu_ms_per_image"] = round(1000 * (sum(after[:4]) - sum(cpu[:4])) / count, 2)  # ended children too
    return row


class Loaded:
    """An encoder whose network was loaded before, as any attribute of the encoder says."""

    def __init__(self, encoder: Any, loaded: Any) -> None:
        self._encoder, self._loaded = encoder, loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def load(self) -> Any:
        """Nothing is read again."""
        return self._loaded


def agreement(encoder: Any, on_device: dict[str, Any]) -> dict[str, float]:
    """The largest 1 - cosine against the CPU's float32 rows, by precision, over images of noise."""
    import torch

    from semsim_pipeline.encoders.torch_runtime import drift

    images = noise(COMPARED)
    with mock.patch.object(torch.cuda, "is_available", return_value=False):
        expected = encoder.load().encode(images)
    return {precision: drift(expected, runtime.encode(images)) for precision, runtime in on_device.items()}


def dino(folder: Path, source: str, count: int) -> dict[str, Any]:
    """DINOv2 S/14 at 224 px: the network alone, its rows against the CPU's, and photos end to end."""
    import timm
    import torch
    from safetensors.torch import save_file

    from semsim_pipeline.encoders.network import NetworkEncoder
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.encoders.weights import LocalWeights

    torch.manual_seed(0)
    whole = timm.create_model(DINO_ARCH, pretrained=False, img_size=224, num_classes=0)
    path = folder / "dino.safetensors"
    save_file({name: value.contiguous() for name, value in whole.state_dict().items()}, path)
    found: dict[str, Any] = {}
    encoders, networks = {}, {}
    for precision, name in (("fp32", DINO), ("bf16", f"{DINO}+bf16")):
        published = resolve_encoder(name)
        assert isinstance(published, NetworkEncoder)
        encoders[precision] = replace(published, weights=LocalWeights(path=path))
        networks[precision] = encoders[precision].load()
        found[precision] = network_alone(networks[precision], DINO_GFLOP)
    found["largest_1_minus_cosine_to_cpu_float32"] = agreement(encoders["fp32"], networks)
    for precision, encoder in encoders.items():
        found[precision][DINO_KIND] = ours(source, Loaded(encoder, networks[precision]), count)
    return found


def full_memory(name: str) -> dict[str, Any]:
    """Less and less of the device allowed: the batch that is left, whether the rows are the same, and the one line."""
    import torch

    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.errors import SemsimError

    runtime: Any = resolve_encoder(name).load()
    images = np.random.default_rng(2).integers(0, 256, (2 * BATCH, 224, 224, 3), dtype=np.uint8)
    expected = runtime.encode(images)
    total = torch.cuda.get_device_properties(0).total_memory
    found: dict[str, Any] = {"batch_before": runtime.batch_size, "limits": []}
    for room in (400, 150, 60, 20, 0):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + room * 2**20) / total)
        row: dict[str, Any] = {"room_mib": room}
        found["limits"].append(row)
        try:
            rows = runtime.encode(images)
        except SemsimError as error:
            row["refused"] = str(error)
        else:
            row["batch"] = runtime.batch_size
            row["largest_difference"] = float(np.abs(rows - expected).max() / np.abs(expected).max())
        torch.cuda.set_per_process_memory_fraction(1.0)
    return found


def measured(counts: dict[str, int], side: int) -> Iterator[tuple[str, Any]]:
    """Each part of the result as it is there."""
    from semsim_pipeline.encoders.resolve import resolve_encoder

    yield "tflops_of_square_products", roof(side)
    with tempfile.TemporaryDirectory(prefix="semsim-speed-") as folder:
        checkpoint = f"{folder}/random.safetensors"
        write_checkpoint(checkpoint)
        name = f"open_clip:{ARCH}/{checkpoint}"
        encoders = {"fp32": resolve_encoder(name), "bf16": resolve_encoder(f"{name}+bf16")}
        networks: dict[str, Any] = {precision: encoder.load() for precision, encoder in encoders.items()}
        yield (
            "network_alone",
            {precision: network_alone(runtime, GFLOP_PER_IMAGE) for precision, runtime in networks.items()},
        )
        yield "bf16_images_per_second_by_batch", by_batch(networks["bf16"])
        yield "largest_1_minus_cosine_to_cpu_float32", agreement(encoders["fp32"], networks)
        mini = resolve_encoder("mini")
        small = mini.load()
        for kind, count in counts.items():
            source = photos(Path(folder), kind, count)
            files = sorted(Path(source).rglob("*.jpg"))
            rows: dict[str, Any] = {"mean_bytes": sum(file.stat().st_size for file in files) // count}
            rows["naive_loop"] = naive(files[:: max(1, count // NAIVE)][:NAIVE], checkpoint)
            rows["data_loader"] = loader(files, checkpoint, autocast=False)
            rows["data_loader_autocast_bf16"] = loader(files, checkpoint, autocast=True)
            rows["pipeline_without_network"] = ours(source, Loaded(encoders["fp32"], Constant(networks["fp32"])), count)
            for precision, runtime in networks.items():
                row = rows[precision] = ours(source, Loaded(encoders[precision], runtime), count)
                for other in ("naive_loop", "data_loader", "data_loader_autocast_bf16", "pipeline_without_network"):
                    row[f"ratio_to_{other}"] = round(row["images_per_second"] / rows[other]["images_per_second"], 2)
            rows["mini"] = ours(source, Loaded(mini, small), count)
            yield kind, rows
        kind = DINO_KIND
        yield DINO, dino(Path(folder), str(Path(folder) / kind), counts[kind])
        yield "full_memory", full_memory(name)


def main() -> None:
    """The file is written after each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few images: whether it runs")
    quick = parser.parse_args().quick
    import torch

    about = machine.describe()
    body: dict[str, Any] = {
        "what": f"{ARCH} and {DINO} with RANDOM weights, and mini, on a CUDA device: images a second",
        "device": torch.cuda.get_device_name(),
    }
    for name, found in measured(QUICK_COUNTS if quick else COUNTS, QUICK_SIDE if quick else ROOF_SIDE):
        body[name] = found
        print(name, found, flush=True)
        file = machine.save(NAME, about, body, quick=quick)
    print(file)


if __name__ == "__main__":
    main()
