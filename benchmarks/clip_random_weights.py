"""CLIP ViT-B/32 end to end with RANDOM weights: speed and memory are real, every score is meaningless.

No pretrained weights can be had on the machines that this is built on. Speed does not depend on the weights; the
checkpoint goes through the package's real loader (`open_clip:ViT-B-32//abs/path.safetensors`).
"""

from __future__ import annotations

import io
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "clip_random_weights"
ARCH = "ViT-B-32"
SIDE, QUICK_SIDE = 1_000, 50
NAIVE, QUICK_NAIVE = 200, 20
GFLOP_PER_IMAGE = 8.8


def write_checkpoint(file: str, arch: str = ARCH) -> dict[str, Any]:
    """The whole CLIP (text tower too, as published files have it) with random weights, seeded."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.create_model(arch, pretrained=None)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)
    return {"bytes": Path(file).stat().st_size}


def compare(archive: str, checkpoint: str, home: str, side: int) -> dict[str, Any]:
    """REAL against FAKE through `compare_pairs`, to the end: scan, embed, background, score."""
    from semsim_pipeline.comparison.run import CompareOptions, compare_pairs

    stages = measure.Stages()
    options = CompareOptions(limit=side, home=Path(home))
    pair = (f"cifake:{archive}[label=REAL]", f"cifake:{archive}[label=FAKE]")
    began = time.perf_counter()
    [found] = list(compare_pairs([pair], f"open_clip:{ARCH}/{checkpoint}", options, stages))
    plain = found.to_json()
    return {
        "compare_seconds": round(time.perf_counter() - began, 3),
        "n": [found.reference.n, found.candidate.n],
        "failed": [found.reference.failed, found.candidate.failed],
        "similarity_of_random_weights_means_nothing": plain["similarity"],
        "stages": stages.rows,
    }


def naive(archive: str, checkpoint: str, images: int) -> dict[str, Any]:
    """Image by image: PIL, open_clip's transform, the whole model in float32, torch's own defaults."""
    import open_clip
    import torch
    from PIL import Image

    model, _, transform = open_clip.create_model_and_transforms(ARCH, pretrained=checkpoint)
    model.eval()
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith(".jpg")]
        names = names[:: len(names) // images][:images]
        contents = [file.read(name) for name in names]
    rows = []
    with torch.no_grad():
        for number, content in enumerate(contents):
            if number == 5:  # the first calls allocate; they are left out
                began = time.perf_counter()
            image = transform(Image.open(io.BytesIO(content))).unsqueeze(0)
            features = model.encode_image(image)
            rows.append((features / features.norm(dim=-1, keepdim=True)).cpu().numpy())
    return {"images_per_second": round((len(rows) - 5) / (time.perf_counter() - began), 2), "images": len(rows)}


def roof() -> dict[str, float]:
    """GEMM rate at the model's shapes (16 images), float32, both ways torch can take, all cores."""
    import torch

    left, right = torch.randn(16 * 50, 768), torch.randn(768, 3072)
    rates = {}
    for precision in ("highest", "medium"):
        torch.set_float32_matmul_precision(precision)
        times = []
        for _ in range(60):
            began = time.perf_counter()
            torch.mm(left, right)
            times.append(time.perf_counter() - began)
        rates[precision] = round(2 * 800 * 768 * 3072 / sorted(times)[len(times) // 2] / 1e9, 1)
    return {
        "gflops_plain_fp32": rates["highest"],
        "gflops_medium_fp32": rates["medium"],
        "roof_images_per_second": round(max(rates.values()) / GFLOP_PER_IMAGE, 1),
    }


def main() -> None:
    """Checkpoint, roof, naive, the package."""
    quick, archive = machine.arguments(__doc__).quick, str(machine.cifake())
    side, images = (QUICK_SIDE, QUICK_NAIVE) if quick else (SIDE, NAIVE)
    body: dict[str, Any] = {
        "what": f"{ARCH} with RANDOM weights on CIFAKE: speed and memory only; the score means nothing",
        "targets": {"peak_tree_mib": 1200, "ratio_to_naive": 3.5, "share_of_roof": 0.65},
    }
    about = machine.describe()
    with tempfile.TemporaryDirectory(prefix="semsim-clip-") as folder:
        checkpoint = str(Path(folder) / "random.safetensors")
        body["checkpoint"] = measure.run("benchmarks.clip_random_weights:write_checkpoint", file=checkpoint)["result"]
        body["roof"] = measure.run("benchmarks.clip_random_weights:roof")["result"]
        body["naive"] = measure.run(
            "benchmarks.clip_random_weights:naive", archive=archive, checkpoint=checkpoint, images=images
        )
        home = str(Path(folder) / "home")
        found = measure.run(
            "benchmarks.clip_random_weights:compare", archive=archive, checkpoint=checkpoint, home=home, side=side
        )
        again = measure.run(
            "benchmarks.clip_random_weights:compare", archive=archive, checkpoint=checkpoint, home=home, side=side
        )
    body["compare"], body["compare_again_unchanged"] = found, again
    # REAL first (it pays for building the network), FAKE second, then the background's panel.
    embeds = [stage for stage in found["stages"] if stage["stage"] == "embed"]
    rates = [round(stage.get("new", 0) / stage["seconds"], 2) for stage in embeds]
    body["embed_images_per_second"] = {"with_building_the_network": rates[0], "warm": rates[1]}
    body["ratio_to_naive"] = round(rates[1] / body["naive"]["result"]["images_per_second"], 2)
    body["share_of_roof"] = round(rates[1] / body["roof"]["roof_images_per_second"], 3)
    file = machine.save(NAME, about, body, quick=quick)
    print(f"{rates[1]} images/s warm ({rates[0]} cold), {body['ratio_to_naive']}x the naive loop, "
          f"{body['share_of_roof']:.0%} of the roof, peak {found['peak_tree_mib']} MiB: {file}")  # fmt: skip


if __name__ == "__main__":
    main()
