"""Does memory grow while a network embeds? ViT-B/32 with RANDOM weights on CIFAKE, at float32 and at bfloat16.

`--arch ViT-S-32` runs a tower of a quarter of the work, for the growth to 100,000 images in minutes; `--layers 1` cuts
it to its first block: activations come one block after the other, so the allocators meet the same sizes.

`embed_view` in a fresh home for each row, through the package's real loader. Speed and memory do not depend on the
weights; the rows themselves mean nothing. Resident memory is sampled all along, so that flatness over one run can be
seen as well as the peaks of runs of different sizes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import machine, measure
from benchmarks.clip_random_weights import ARCH

NAME = "network_memory"
SIZES = {"fp32": (5_000, 20_000), "bf16": (5_000, 20_000, 100_000)}
QUICK_SIZES = {"fp32": (64, 128), "bf16": (64, 128)}
MOST_SAMPLES = 200
SAMPLE_SECONDS, QUICK_SAMPLE_SECONDS = 2.0, 0.25
MB = 1e6


class Timeline(measure.Stages):
    """A `Progress` beside which a thread notes [seconds, images done, resident MiB] every few seconds."""

    def __init__(self, every: float) -> None:
        super().__init__()
        self.samples: list[list[float]] = []
        self._every, self._began = every, time.perf_counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.wait(self._every):
            self.note()

    def note(self) -> None:
        """One sample, now."""
        stage = self.rows[-1] if self.rows else {}
        done = int(stage.get("done", 0)) if stage.get("stage") == "embed" else 0
        self.samples.append([round(time.perf_counter() - self._began, 2), done, round(measure.status_mib("VmRSS"), 1)])

    def close(self) -> list[list[float]]:
        """Stop; the samples, thinned evenly to `MOST_SAMPLES`, the last among them."""
        self._stop.set()
        self._thread.join()
        self.note()
        step = -(-len(self.samples) // MOST_SAMPLES)
        return self.samples[::-1][::step][::-1]


def write_checkpoint(file: str, arch: str, layers: int | None) -> dict[str, Any]:
    """The whole CLIP with random weights; in a process of its own, like everything here that imports torch.

    layers: the image tower's first so many blocks; None for all.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    from benchmarks import clip_random_weights

    written = clip_random_weights.write_checkpoint(file, arch)
    if layers is None:
        return written
    with safe_open(file, framework="pt") as whole:
        kept = {name: whole.get_tensor(name) for name in whole.keys() if _block(name) < layers}  # noqa: SIM118
    save_file(kept, file)
    return {"bytes": Path(file).stat().st_size}


def _block(name: str) -> int:
    """The number of the block of the image tower that a parameter belongs to; 0 where it belongs to none."""
    return int(name.split(".")[3]) if name.startswith("visual.transformer.resblocks.") else 0


def cut_tower(layers: int) -> None:
    """Have the package build image towers of so many blocks, in this process."""
    from semsim_pipeline.encoders import openclip

    whole = openclip._arch_config

    def cut(arch: str) -> dict[str, Any]:
        config = whole(arch)
        return {**config, "vision_cfg": {**config["vision_cfg"], "layers": layers}}

    openclip._arch_config = cut


def embed(archive: str, encoder: str, n: int, every: float, layers: int | None = None) -> dict[str, Any]:
    """One run in a fresh home. encoder: its full name."""
    if layers is not None:
        cut_tower(layers)
    from semsim_pipeline.datasets.resolve import open_view
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.run import embed_view

    timeline = Timeline(every)
    with tempfile.TemporaryDirectory(prefix="semsim-home-") as home:
        view = open_view(f"cifake:{archive}[limit={n},seed=0]")
        done = embed_view(view, resolve_encoder(encoder), Path(home), None, timeline)
        samples = timeline.close()
    return {
        "seen": done.seen,
        "embedded": done.embedded,
        "failed": done.failed,
        "images_per_second": round(done.images_per_second, 2),
        "resident": samples,
        "stages": timeline.rows,
    }


def flatness(samples: list[list[float]], n: int) -> dict[str, float] | None:
    """Resident MiB in the run's second quarter and in its last: medians, and the last less the second.

    The first quarter is left out: libraries fill their caches, and the first part is written. None where a run is too
    short to have samples in both.
    """
    second = [size for _, done, size in samples if 0.25 * n <= done < 0.5 * n]
    last = [size for _, done, size in samples if 0.75 * n <= done]
    if not second or not last:
        return None
    before, after = statistics.median(second), statistics.median(last)
    return {"second_quarter": round(before, 1), "last_quarter": round(after, 1), "growth": round(after - before, 1)}


def growth(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By precision: each size's peak less that of the size before it, and the largest size's less the smallest's."""
    found = {}
    for precision in dict.fromkeys(row["precision"] for row in rows):
        mine = sorted((row for row in rows if row["precision"] == precision), key=lambda row: row["n"])
        steps = {f"{a['n']}_to_{b['n']}": round(b["peak_main_mib"] - a["peak_main_mib"], 1) for a, b in pairwise(mine)}
        found[precision] = {**steps, "largest_less_smallest": round(sum(steps.values()), 1)}
    return found


def draw(found: dict[str, Any], file: Path) -> None:
    """Resident memory over the images done: one line a run, the target above."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from benchmarks import plot  # chooses the drawing backend

    mpl.rcParams["svg.hashsalt"] = "semsim"
    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for row in found["runs"]:
        samples = row["result"]["resident"]
        colour = plot.DARK if row["precision"] == "fp32" else plot.LIGHT
        label = f"{row['precision']}, {row['n']:,} images, {row['result']['images_per_second']:.0f}/s"
        line = [(done, size) for _, done, size in samples if done]
        axes.plot([done for done, _ in line], [size for _, size in line], "-", color=colour, lw=1.2, alpha=0.8)
        axes.plot(row["n"], row["peak_main_mib"], "o", color=colour, ms=4, label=label)
    axes.axhline(found["target_peak_mib"], color="black", lw=0.8, ls="--", label="target: 1.2 GB")
    axes.set(xlabel="images embedded", ylabel="resident memory, MiB", ylim=(0, None))
    blocks = f", {found['layers']} of its blocks" if found["layers"] else ""
    axes.set_title(f"embed_view, {found['arch']}{blocks}: resident memory (dot: its peak)", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    plot._write(figure, file)


def arguments() -> argparse.Namespace:
    """`--quick` as everywhere, and the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes; writes under results/quick/")
    parser.add_argument("--arch", default=ARCH, help=f"open_clip's name of an architecture (default: {ARCH})")
    parser.add_argument("--layers", type=int, help="cut the image tower to its first blocks (default: whole)")
    for precision, sizes in SIZES.items():
        words = f"numbers of images, none to leave it out (default: {' '.join(map(str, sizes))})"
        parser.add_argument(f"--{precision}", type=int, nargs="*", metavar="N", help=words)
    return parser.parse_args()


def main() -> None:
    """All sizes, each in a fresh process and home; the file is written after each."""
    asked, archive = arguments(), str(machine.cifake())
    defaults = QUICK_SIZES if asked.quick else SIZES
    name = NAME if asked.arch == ARCH else f"{NAME}_{asked.arch.lower().replace('-', '_')}"
    if asked.layers is not None:
        name += f"_{asked.layers}_of_its_blocks"
    every = QUICK_SAMPLE_SECONDS if asked.quick else SAMPLE_SECONDS
    about = machine.describe()
    runs: list[dict[str, Any]] = []
    body: dict[str, Any] = {
        "arch": asked.arch,
        "layers": asked.layers,
        "what": f"{asked.arch} with RANDOM weights on CIFAKE train, a fresh home each, a fair sample of n images",
        "targets": {"peak_main_mb": 1200, "growth_mb": 30},
        "target_peak_mib": round(1200 * MB / measure.MIB, 1),
        "resident_columns": ["seconds", "images done", "resident MiB"],
        "runs": runs,
    }
    with tempfile.TemporaryDirectory(prefix="semsim-clip-") as folder:
        checkpoint = str(Path(folder) / "random.safetensors")
        written = measure.run("benchmarks.network_memory:write_checkpoint", file=checkpoint, arch=asked.arch,
                              layers=asked.layers)  # fmt: skip
        body["checkpoint"] = written["result"]
        file = machine.save(name, about, body, quick=asked.quick)
        for precision, usual in defaults.items():
            chosen = getattr(asked, precision)
            for n in usual if chosen is None else chosen:
                row = measure.run(
                    "benchmarks.network_memory:embed",
                    archive=archive, encoder=f"open_clip:{asked.arch}/{checkpoint}+{precision}", n=n, every=every,
                    layers=asked.layers,
                )  # fmt: skip
                peak_mb = round(row["peak_main_mib"] * measure.MIB / MB)
                flat = flatness(row["result"]["resident"], n)
                runs.append({"n": n, "precision": precision, "peak_main_mb": peak_mb, "flatness_mib": flat, **row})
                body["growth_mib"] = growth(runs)
                file = machine.save(name, about, body, quick=asked.quick)
                print(f"{precision} n={n}: peak {row['peak_main_mib']} MiB ({peak_mb} MB), "
                      f"{row['result']['images_per_second']} images/s, {row['seconds']} s, flatness {flat}",
                      flush=True)  # fmt: skip
    draw(body, file.with_suffix(".svg"))


if __name__ == "__main__":
    main()
