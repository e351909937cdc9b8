"""ViT-B/32 (RANDOM weights), images a second: a naive loop, the DataLoader way, and the package, beside the roof.

Three kinds of input: 2,000 thumbnails of CIFAKE in their zip, photos of 500 x 375 and of 12 megapixels, both
synthesised, as files in a folder. All ways see the same images and the same checkpoint, and end with normalised rows;
the package writes them to Parquet beside. Rows that this machine cannot run say so: bfloat16 without its instructions,
a GPU where there is none.

The roof is what this machine's matrix products at the network's shapes allow, one thread a core, without reading,
decoding, attention or anything else: 8.8 GFLOP an image, all of which it counts, whether or not a way computes them
(the package leaves out what nobody reads at the end of the tower, 0.6 GFLOP).

Every way is measured ROUNDS times in turn and its median shown: a loop over single images streams all weights through
the cores for each, so that its speed follows what happens to the memory: 11.6 or 13.5 images a second, by process, on
one quiet machine.
"""

from __future__ import annotations

import io
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine, measure
from benchmarks.clip_random_weights import ARCH, GFLOP_PER_IMAGE

NAME = "extraction_speed"
TARGETS = {
    "fp32": {"ratio_to_naive": 3.5, "share_of_roof": 0.65},
    "bf16": {"ratio_to_naive": 8.0, "share_of_roof": 0.75},
}
KINDS = {"cifake": (32, 32), "photo_500x375": (500, 375), "photo_12_megapixels": (4000, 3000)}
COUNTS = {"cifake": 2_000, "photo_500x375": 600, "photo_12_megapixels": 60}
QUICK_COUNTS = {"cifake": 64, "photo_500x375": 32, "photo_12_megapixels": 8}
NAIVE = {"cifake": 200, "photo_500x375": 150, "photo_12_megapixels": 30}
"""Images for the naive loop: one after the other, so more of them tell nothing new."""
WARM = 16
"""Images before the clock starts, for the naive loop: the first calls allocate."""
LOADER_BATCH = 64
TOKENS, WIDTH = 50, 768
SHAPES = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))
BATCH = 16
ROUNDS = 3
EXACT = 1e-6
"""Relative error of a float32 product; bfloat16's is above 1e-4."""
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def write_photos(folder: str, width: int, height: int, count: int, *, seed: int | None = None) -> dict[str, Any]:
    """JPEG files of smooth colour fields with edges and fine grain, seeded: about as dear to decode as photos.

    seed: the width where it is not given.
    """
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(width if seed is None else seed)
    made = 0
    for number in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        field = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
        grain = rng.integers(-12, 13, (height // 2 + 1, width // 2 + 1), dtype=np.int16)
        grain = grain.repeat(2, axis=0).repeat(2, axis=1)[:height, :width, None]
        pixels = np.clip(field + grain, 0, 255).astype(np.uint8)
        path = Path(folder) / f"{number:04d}.jpg"
        Image.fromarray(pixels).save(path, quality=90)
        made += path.stat().st_size
    return {"images": count, "mean_bytes": made // count}


def roof(precision: str) -> dict[str, Any]:
    """GFLOP/s of the network's four products, one thread a core, all cores at once; CPU-ms an image at that rate.

    Several ways, the fastest of which counts: torch's own; `medium` for float32, which on AMD is float32 by a faster
    library and on a CPU with AMX is bfloat16; `packed`, weights laid out beforehand, as the package multiplies. Only a
    way that gives float32's digits is a roof of float32.
    """
    import torch

    from semsim_pipeline.encoders.on_cpu.layers import can_pack

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    names = ["highest", *(["medium"] if precision == "fp32" else []), *(["packed"] if can_pack(dtype) else [])]
    ways: dict[str, dict[str, Any]] = {}
    for name in names:
        torch.set_float32_matmul_precision("medium" if name == "medium" else "highest")
        packed = name == "packed"
        ways[name] = {**_products(dtype, packed=packed), "relative_error": _error(dtype, packed=packed)}
    exact = [way for way in ways.values() if precision == "bf16" or way["relative_error"] <= EXACT]
    return {**max(exact, key=lambda way: way["gflops"]), "ways": ways}


def _multiply(dtype: Any, weight: Any, *, packed: bool) -> Callable[[Any], Any]:
    """weight: [rows, columns], of x @ weight."""
    import torch

    at = weight.to(dtype)
    if not packed:
        return lambda x: torch.mm(x, at)
    from semsim_pipeline.encoders.on_cpu.layers import PackedLinear

    return PackedLinear(at.T, None, rows=BATCH * TOKENS)


def _error(dtype: Any, *, packed: bool) -> float:
    """Of a product at the settings that stand, the largest as a share of the product's norm."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(*shape, generator=generator) for shape in ((BATCH * TOKENS, WIDTH), (WIDTH, WIDTH)))
    exact = left.double() @ right.double()
    found = _multiply(dtype, right, packed=packed)(left.to(dtype))
    return float((found - exact).abs().max() / exact.norm(dim=1).max())


def _products(dtype: Any, *, packed: bool) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    pairs = []
    for rows, columns in SHAPES:
        left = torch.randn(BATCH * TOKENS, rows, dtype=dtype)
        pairs.append((left, _multiply(dtype, torch.randn(rows, columns), packed=packed)))
    flop = sum(2 * BATCH * TOKENS * rows * columns for rows, columns in SHAPES)
    rates: list[float] = []

    def multiply() -> None:
        seconds = []
        for _ in range(40):
            began = time.perf_counter()
            for left, product in pairs:
                product(left)
            seconds.append(time.perf_counter() - began)
        rates.append(flop / sorted(seconds)[len(seconds) // 2] / 1e9)

    cores = machine.describe()["cores"]
    threads = [threading.Thread(target=multiply) for _ in range(cores)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    total = sum(rates)
    return {"gflops": round(total, 1), "images_per_second": round(total / GFLOP_PER_IMAGE, 2),
            "cpu_ms_per_image": round(1000 * GFLOP_PER_IMAGE * cores / total, 1)}  # fmt: skip


def contents(source: str, count: int) -> list[bytes]:
    """The first images of a folder, or a spread of an archive's."""
    path = Path(source)
    if path.is_dir():
        return [each.read_bytes() for each in sorted(path.iterdir())[:count]]
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name.endswith(".jpg")]
        return [file.read(name) for name in names[:: len(names) // count][:count]]


@contextmanager
def clocked(images: int) -> Iterator[dict[str, float]]:
    """Fills images_per_second and cpu_ms_per_image of a block that works on so many images."""
    row: dict[str, float] = {}
    cpu, began = measure.cpu_seconds(), time.perf_counter()
    yield row
    row["images"] = images
    row["images_per_second"] = round(images / (time.perf_counter() - began), 2)
    row["cpu_ms_per_image"] = round(1000 * (measure.cpu_seconds() - cpu) / images, 1)


def naive(source: str, checkpoint: str, count: int) -> dict[str, Any]:
    """Image by image: PIL, open_clip's transform, the whole model in float32, torch's own defaults."""
    import open_clip
    import torch
    from PIL import Image

    model, _, transform = open_clip.create_model_and_transforms(ARCH, pretrained=checkpoint)
    model.eval()
    found = contents(source, count)

    rows: list[Any] = []  # kept, as a script does: each holds memory that torch allocated between its activations

    def embed(content: bytes) -> None:
        features = model.encode_image(transform(Image.open(io.BytesIO(content))).unsqueeze(0))
        rows.append((features / features.norm(dim=-1, keepdim=True)).cpu().numpy())

    with torch.no_grad():
        for content in found[:WARM]:
            embed(content)
        with clocked(len(found)) as row:
            for content in found:
                embed(content)
    assert len(rows) >= len(found)
    return row


class Pictures:
    """A map-style dataset over file contents, as most scripts write it. transform: open_clip's."""

    def __init__(self, found: list[bytes], transform: Callable[[Any], Any]) -> None:
        self.found, self.transform = found, transform

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, place: int) -> Any:
        from PIL import Image

        return self.transform(Image.open(io.BytesIO(self.found[place])))


def loader(source: str, checkpoint: str, count: int) -> dict[str, Any]:
    """torch's DataLoader with a process a core, batches of 64, float32, torch's own defaults; start-up counted out."""
    import open_clip
    import torch
    from torch.utils.data import DataLoader

    model, _, transform = open_clip.create_model_and_transforms(ARCH, pretrained=checkpoint)
    model.eval()
    found = contents(source, count)
    batches: Any = DataLoader(Pictures(found, transform), batch_size=LOADER_BATCH,  # type: ignore[arg-type]
                              num_workers=machine.describe()["cores"])  # fmt: skip
    rows: list[Any] = []
    with torch.no_grad():
        model.encode_image(torch.zeros(LOADER_BATCH, 3, 224, 224))
        with clocked(len(found)) as row:
            for batch in batches:
                features = model.encode_image(batch)
                rows.append((features / features.norm(dim=-1, keepdim=True)).cpu().numpy())
    assert sum(map(len, rows)) == len(found)
    return row


def ours(source: str, checkpoint: str, count: int, precision: str) -> dict[str, Any]:
    """`embed_view` into a fresh home, Parquet and all; warmed by some images of its own."""
    from semsim_pipeline.datasets.resolve import open_view
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.run import embed_view

    kind = "folder" if Path(source).is_dir() else "cifake"
    encoder = resolve_encoder(f"open_clip:{ARCH}/{checkpoint}+{precision}")
    with tempfile.TemporaryDirectory(prefix="semsim-home-") as home:
        embed_view(open_view("digits-generated[limit=32]"), encoder, Path(home))  # loads the network
        stages = measure.Stages()
        cpu = measure.cpu_seconds()
        done = embed_view(open_view(f"{kind}:{source}[limit={count},seed=0]"), encoder, Path(home), None, stages)
        cpu = measure.cpu_seconds() - cpu
    assert done.embedded == count, done  # `new` is less where two files have equal content
    return {
        "images": count,
        "images_per_second": round(done.images_per_second, 2),
        "with_scan_images_per_second": round(count / done.seconds, 2),
        "cpu_ms_per_image": round(1000 * cpu / count, 1),
    }


def not_measured(precision: str) -> str | None:
    """Why this machine cannot tell about a precision; None where it can."""
    if precision == "fp32":
        return None
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(encoding="utf-8").split()) if info.is_file() else set()
    return None if flags & BF16_FLAGS else "not measured: this CPU has no bfloat16 instructions"


def _run(task: str, **keywords: Any) -> dict[str, Any]:
    """Measured with next to no sampling: the ways under test keep every core busy."""
    return measure.run(task, sampler_share=0.01, **keywords)


def _highest_roof(precision: str, rounds: int) -> dict[str, Any]:
    """Of so many processes: a limit that somebody else's work had lowered for a moment would flatter us."""
    found = [_run(f"benchmarks.{NAME}:roof", precision=precision)["result"] for _ in range(rounds)]
    highest: dict[str, Any] = max(found, key=lambda roof: roof["gflops"])
    return {**highest, "rounds_images_per_second": [roof["images_per_second"] for roof in found]}


def _in_turn(ways: Mapping[str, Callable[[], dict[str, Any]]], rounds: int) -> dict[str, dict[str, Any]]:
    """Each way's row of its median round, with the rates of all rounds; peaks are the largest of any."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
            print(name, found[name][-1]["result"], flush=True)
    rows: dict[str, dict[str, Any]] = {}
    for name, each in found.items():
        rates = [row["result"]["images_per_second"] for row in each]
        middle = each[rates.index(sorted(rates)[(rounds - 1) // 2])]
        peaks = {key: max(row[key] for row in each) for key in middle if key.startswith("peak_")}
        rows[name] = {**middle, **peaks, "rounds_images_per_second": rates}
    return rows


def _compared(row: dict[str, Any], rows: Mapping[str, dict[str, Any]], limit: Mapping[str, float]) -> dict[str, Any]:
    """A row of the package's beside the other ways of its rounds, and the roof."""
    rate, cost = row["result"]["images_per_second"], row["result"]["cpu_ms_per_image"]
    return {
        **row,
        "ratio_to_naive": round(rate / rows["naive_loop"]["result"]["images_per_second"], 2),
        "ratio_to_data_loader": round(rate / rows["data_loader"]["result"]["images_per_second"], 2),
        "share_of_roof": round(rate / limit["images_per_second"], 3),
        "share_of_roof_in_cpu_time": round(limit["cpu_ms_per_image"] / cost, 3),
    }


def main() -> None:
    """Roofs, then each kind of input through each way, one process each; the file is written after each."""
    quick, archive = machine.arguments(__doc__).quick, str(machine.cifake())
    counts = QUICK_COUNTS if quick else COUNTS
    about = machine.describe()
    body: dict[str, Any] = {
        "what": f"{ARCH} with RANDOM weights: images a second, CPU-ms an image, peak memory",
        "targets": TARGETS,
        "gpu": "not measured: no CUDA device on this machine",
        "roof": {},
        "inputs": {},
    }
    with tempfile.TemporaryDirectory(prefix="semsim-speed-") as folder:
        checkpoint = str(Path(folder) / "random.safetensors")
        _run("benchmarks.clip_random_weights:write_checkpoint", file=checkpoint)
        missing = {precision: not_measured(precision) for precision in TARGETS}
        for precision in TARGETS:
            body["roof"][precision] = missing[precision] or _highest_roof(precision, 1 if quick else ROUNDS)
        print(body["roof"], flush=True)
        for kind, (width, height) in KINDS.items():
            count, source = counts[kind], archive
            rows: dict[str, Any] = {}
            body["inputs"][kind] = rows
            if kind != "cifake":
                photos = Path(folder) / kind
                photos.mkdir()
                source = str(photos)
                found = _run(f"benchmarks.{NAME}:write_photos", folder=source, width=width, height=height,
                                    count=count)  # fmt: skip
                rows["files"] = found["result"]
            common: dict[str, Any] = {"source": source, "checkpoint": checkpoint}
            ways: dict[str, Callable[[], dict[str, Any]]] = {
                "naive_loop": partial(_run, f"benchmarks.{NAME}:naive", **common, count=min(count, NAIVE[kind])),
                "data_loader": partial(_run, f"benchmarks.{NAME}:loader", **common, count=count),
            }
            for precision in TARGETS:
                if missing[precision] is None:
                    ways[precision] = partial(
                        _run, f"benchmarks.{NAME}:ours", **common, count=count, precision=precision
                    )
            measured = _in_turn(ways, 1 if quick else ROUNDS)
            for precision in TARGETS:
                if precision in measured:
                    row = _compared(measured[precision], measured, body["roof"][precision])
                    measured[precision] = row
                    print(
                        kind, precision, {key: value for key, value in row.items() if "ratio" in key or "share" in key}
                    )
            rows |= measured | {precision: why for precision, why in missing.items() if why is not None}
            file = machine.save(NAME, about, body, quick=quick)
    print(file)


if __name__ == "__main__":
    main()
