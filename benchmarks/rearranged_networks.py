"""What rearranging a network for a CPU gains: short names as their libraries build them, and as the package runs them.

RANDOM weights, batches of uint8 pixels that lie in memory, a thread a core: networks alone, nothing is read or decoded.
Each way in a process of its own, in turn. `departs`: the largest 1 - cosine between a row and that of float32 as built.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "rearranged_networks"
NAMES = (
    "clip-vit-b-32", "clip-vit-b-16", "siglip2-b-16", "mobileclip2-s0", "dinov2-s-14", "dinov3-s-16", "swin-t",
)  # fmt: skip
"""Those of the short names that differ in more than their size or their weights."""
PRECISIONS = ("fp32", "bf16")
ROUNDS = 2
SECONDS, QUICK_SECONDS = 4.0, 0.5


def write_checkpoint(name: str, file: str) -> dict[str, Any]:
    """The library's own network with the weights it draws, in the published format."""
    import torch
    from safetensors.torch import save_file

    from semsim_pipeline.encoders.network import NetworkEncoder
    from semsim_pipeline.encoders.resolve import resolve_encoder

    encoder = resolve_encoder(name)
    assert isinstance(encoder, NetworkEncoder), name
    torch.manual_seed(0)
    if encoder.recipe.family == "open_clip":
        import open_clip

        state = open_clip.create_model(encoder.recipe.arch).state_dict()
    else:
        import timm

        state = timm.create_model(encoder.recipe.arch, pretrained=False).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, file)
    return {"bytes": Path(file).stat().st_size}


def run(name: str, file: str, precision: str, rearranged: bool, seconds: float, rows: str) -> dict[str, Any]:
    """Images a second of `encode` on all cores. rows: where those of one batch are kept."""
    import numpy as np

    from semsim_pipeline.encoders.network import NetworkEncoder
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.encoders.torch_runtime import NetworkRuntime

    encoder = resolve_encoder(f"{name}/{file}+{precision}")
    assert isinstance(encoder, NetworkEncoder), name
    network = encoder.build(encoder.recipe, Path(file))
    loaded = NetworkRuntime(network, encoder.recipe, name=name, batch_size=encoder.batch_size, rearranged=rearranged)
    side = encoder.recipe.resize.crop[0]
    batch = np.random.default_rng(0).integers(0, 256, (loaded.batch_size, side, side, 3), dtype=np.uint8)
    np.save(rows, loaded.encode(batch)[: encoder.batch_size])
    cores = machine.describe()["cores"]
    done = [0] * cores

    with loaded.lanes() as begin:
        until = time.perf_counter() + seconds

        def work(core: int) -> None:
            begin()
            while time.perf_counter() < until:
                loaded.encode(batch)
                done[core] += len(batch)

        threads = [threading.Thread(target=work, args=(core,)) for core in range(cores)]
        began = time.perf_counter()
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        rate = sum(done) / (time.perf_counter() - began)
    return {"batch": loaded.batch_size, "images_per_second": round(rate, 2)}


def compared(name: str, file: str, folder: Path, *, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A row a precision."""
    import numpy as np

    from semsim_pipeline.encoders.torch_runtime import drift

    found = []
    kept: dict[tuple[str, bool], Path] = {}
    for precision in PRECISIONS:
        ways: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
        for _ in range(rounds):
            for rearranged, rows in ways.items():
                kept[precision, rearranged] = folder / f"{precision}-{rearranged}.npy"
                rows.append(
                    measure.run(
                        f"benchmarks.{NAME}:run",
                        sampler_share=0.01,
                        name=name,
                        file=file,
                        precision=precision,
                        rearranged=rearranged,
                        seconds=seconds,
                        rows=str(kept[precision, rearranged]),
                    )
                )
        rates = {way: [row["result"]["images_per_second"] for row in rows] for way, rows in ways.items()}
        built, ours = (statistics.mean(rates[way]) for way in (False, True))
        exact = np.load(kept["fp32", False])
        row = {
            "name": name,
            "precision": precision,
            "as_built_images_per_second": rates[False],
            "rearranged_images_per_second": rates[True],
            "batch": ways[True][0]["result"]["batch"],
            "ratio": round(ours / built, 2),
            "departs": {
                "as_built": drift(exact, np.load(kept[precision, False])),
                "rearranged": drift(exact, np.load(kept[precision, True])),
            },
            "peak_main_mib": {
                "as_built": max(row["peak_main_mib"] for row in ways[False]),
                "rearranged": max(row["peak_main_mib"] for row in ways[True]),
            },
        }
        print(row, flush=True)
        found.append(row)
    return found


def main() -> None:
    """All names; the file is written after each."""
    quick = machine.arguments(__doc__).quick
    about = machine.describe()
    body: dict[str, Any] = {
        "what": "networks alone with RANDOM weights, images a second on all cores, as built and rearranged",
        "rows": [],
    }
    with tempfile.TemporaryDirectory(prefix="semsim-networks-") as made:
        for name in NAMES[:1] if quick else NAMES:
            file = str(Path(made) / f"{name}.safetensors")
            measure.run(f"benchmarks.{NAME}:write_checkpoint", name=name, file=file)
            rounds, seconds = (1, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
            body["rows"] += compared(name, file, Path(made), rounds=rounds, seconds=seconds)
            Path(file).unlink()
            written = machine.save(NAME, about, body, quick=quick)
    print(written)


if __name__ == "__main__":
    main()
