"""Does `mini` understand more than `classical` and than a random network of its own shape? On images it has not seen.

10 nearest neighbours, classes that a second copy never saw, the order of the published class pairs, REAL against FAKE,
digits, images a second and memory. Train the second copy first, and name its weights:

    ARCHIVE=../shared/data/cifake-train.zip
    python -m semsim_pipeline.training.mini $ARCHIVE --out runs/without --without cat,truck --cycles 1
    python -m benchmarks.mini_encoder --without runs/without
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, measure
from benchmarks.evidence.encoders import Embedder
from benchmarks.evidence.images import cifake, digits
from benchmarks.evidence.mini import PUBLISHED, Rows, compared, of_unseen, unseen_by_mini
from benchmarks.evidence.scores import headline_numbers
from semsim_pipeline.datasets.cifake import CLASSES
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.training import mini
from semsim_pipeline.training.images import Divided
from semsim_pipeline.training.neighbours import leave_one_out

NAME, TRAINING = "mini_encoder", "mini_training"
PAIRED = 500
"""Held-out images of each class in a pair of classes."""
EMBEDDED = 50_000
"""Images of the measured extraction."""


def extract(archive: str, encoder: str, limit: int) -> dict[str, Any]:
    """A sample of REAL images from the archive to Parquet, as `semsim embed` does it."""
    from semsim_pipeline.datasets.resolve import open_view
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.run import embed_view

    with tempfile.TemporaryDirectory(prefix="semsim-mini-") as home:
        view = open_view(f"cifake:{archive}[label=REAL,limit={limit}]")
        done = embed_view(view, resolve_encoder(encoder), Path(home))
        return {"embedded": done.embedded, "images_per_second": round(done.images_per_second, 1)}


def encode(encoder: str, n: int) -> dict[str, Any]:
    """The encoder alone on prepared images as an extraction runs it: a thread a core, each with its own batches."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import nullcontext

    from semsim_pipeline.encoders.base import Parallel
    from semsim_pipeline.encoders.resolve import resolve_encoder

    chosen = resolve_encoder(encoder)
    loaded = chosen.load()
    side = chosen.facts.input_size or 32
    batch = np.random.default_rng(0).integers(0, 256, (chosen.batch_size, side, side, 3), dtype=np.uint8)
    parallel = isinstance(loaded, Parallel)
    threads = len(os.sched_getaffinity(0)) if parallel else 1
    each = n // len(batch) // threads

    def work() -> None:
        for _ in range(each):
            loaded.encode(batch)

    with loaded.lanes() if isinstance(loaded, Parallel) else nullcontext(lambda: None) as begin:  # noqa: SIM117
        with ThreadPoolExecutor(threads, initializer=begin) as lanes:
            for warm in [lanes.submit(loaded.encode, batch) for _ in range(2 * threads)]:
                warm.result()
            began, cpu = time.perf_counter(), time.process_time()
            for lane in [lanes.submit(work) for _ in range(threads)]:
                lane.result()
            seconds, used = time.perf_counter() - began, time.process_time() - cpu
    done = each * threads * len(batch)
    return {
        "threads": threads,
        "images_per_second": round(done / seconds, 1),
        "images_per_cpu_second": round(done / used, 1),
    }


def class_pairs(encoder: Embedder, rows: Rows, divided: Divided) -> list[dict[str, Any]]:
    """All 45 pairs of held-out classes: the headline, and the mean cosine that the published numbers are."""
    sides = {name: EmbeddedSet(name, rows[divided.held_out.classes == k][:PAIRED]) for k, name in enumerate(CLASSES)}
    unit = {name: side.rows / np.linalg.norm(side.rows, axis=1, keepdims=True) for name, side in sides.items()}
    return [
        {
            "a": a,
            "b": b,
            **headline_numbers(sides[a], sides[b], encoder.background),
            "mean_cosine": float(unit[a].mean(axis=0) @ unit[b].mean(axis=0)),
        }
        for a, b in combinations(CLASSES, 2)
    ]


def published_order(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """The five published pairs as this encoder has them, and Spearman's correlation with the published values."""
    from scipy.stats import spearmanr

    found = {frozenset((row["a"], row["b"])): row for row in pairs}
    mine = [found[frozenset(names)] for names in PUBLISHED]
    theirs = list(PUBLISHED.values())
    return {
        "pairs": [
            {"pair": "-".join(names), "published": value, "similarity": row["similarity"], "interval": row["interval"],
             "mean_cosine": row["mean_cosine"]}
            for (names, value), row in zip(PUBLISHED.items(), mine, strict=True)
        ],
        "spearman": {
            key: float(spearmanr([row[key] for row in mine], theirs).statistic) for key in ("similarity", "mean_cosine")
        },
    }  # fmt: skip


def real_and_fake(encoder: Embedder, rows: Rows, divided: Divided, fake: Rows) -> list[dict[str, Any]]:
    """For each class: one half of the held-out REAL images against the other half, and against as many FAKE ones."""
    out = []
    half = mini.HELD_OUT // 2
    for number, name in enumerate(CLASSES):
        mine = rows[divided.held_out.classes == number]
        generated = fake[number * half : (number + 1) * half]
        left = EmbeddedSet("REAL", mine[:half])
        out.append({
            "class": name,
            "real_real": headline_numbers(left, EmbeddedSet("REAL", mine[half : 2 * half]), encoder.background),
            "real_fake": headline_numbers(left, EmbeddedSet("FAKE", generated), encoder.background),
        })  # fmt: skip
    return out


def throughput(name: str, archive: Path) -> dict[str, Any]:
    """End to end in a process of its own with its peak memory, and the encoder alone."""
    whole = measure.run("benchmarks.mini_encoder:extract", archive=str(archive), encoder=name, limit=EMBEDDED)
    alone = measure.run("benchmarks.mini_encoder:encode", encoder=name, n=20_000)
    return {
        "end_to_end": {
            **whole["result"],
            "cpu_seconds": whole["cpu_seconds"],
            "seconds_with_start": whole["seconds"],
            "peak_tree_mib": whole["peak_tree_mib"],
            "others_cores": whole["others_cores"],
        },
        "encoder_alone": {**alone["result"], "others_cores": alone["others_cores"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shipped", type=Path, help="the folder of its training, whose report is kept beside")
    parser.add_argument("--without", type=Path, help="the folder of the second copy's training")
    parser.add_argument("--fresh", action="store_true", help="measure again what an earlier run has measured")
    chosen = parser.parse_args()
    about = machine.describe()
    archive = machine.cifake()
    _keep_reports(chosen.shipped, chosen.without)
    divided = mini.real_images(str(archive))
    _check(divided, unseen_by_mini(archive).images)
    fake = cifake(archive, "FAKE", 0, mini.HELD_OUT // 2).images
    written = digits("digits")
    body: dict[str, Any] = {
        "held_out": {"images": len(divided.held_out), "digest": divided.held_out.digest()},
        "encoders": {} if chosen.fresh else _earlier(),
    }
    without = None if chosen.without is None else chosen.without / mini.WEIGHTS
    for name, encoder in compared(divided, without).items():
        if body["encoders"].get(name, {}).get("background") == encoder.background.id:
            continue  # its id changes with the weights
        rows = encoder.embed(divided.held_out.images)
        pairs = class_pairs(encoder, rows, divided)
        body["encoders"][name] = {
            "weights": encoder.weights,
            "background": encoder.background.id,
            "neighbours": leave_one_out(rows, divided.held_out.classes),
            "unseen_classes": of_unseen(rows, divided.held_out.classes),
            "published": published_order(pairs),
            "class_pairs": pairs,
            "real_and_fake": real_and_fake(encoder, rows, divided, encoder.embed(fake)),
            "digits": leave_one_out(encoder.embed(written.images), written.classes),
        }
        print(f"{name}: {body['encoders'][name]['neighbours']}", flush=True)
        machine.save(NAME, about, body, quick=False)
    body["throughput"] = {name: throughput(name, archive) for name in ("mini", "classical")}
    print(machine.save(NAME, about, body, quick=False))


def _earlier() -> dict[str, Any]:
    path = machine.RESULTS / f"{NAME}.json"
    return machine.load(NAME)["encoders"] if path.is_file() else {}


def _keep_reports(shipped: Path | None, without: Path | None) -> None:
    """The reports of the trainings, beside the results."""
    for folder, suffix in ((shipped, ""), (without, "_without_" + "_".join(mini.UNSEEN))):
        if folder is not None:
            report = json.loads((folder / mini.REPORT).read_text(encoding="utf-8"))
            text = json.dumps({"benchmark": TRAINING, **report}, indent=1)
            (machine.RESULTS / f"{TRAINING}{suffix}.json").write_text(text + "\n", encoding="utf-8")
    if shipped is not None:
        from semsim_pipeline.encoders.mini import WEIGHTS

        if (shipped / mini.WEIGHTS).read_bytes() != WEIGHTS.read_bytes():
            shutil.copyfile(shipped / mini.WEIGHTS, WEIGHTS)
            print(f"{WEIGHTS} is new: measure its background again.")


def _check(divided: Divided, unseen: Any) -> None:
    """The two ways to the held-out images give the same ones."""
    mine = {image.tobytes() for image in divided.held_out.images}
    if mine != {image.tobytes() for image in unseen}:
        raise SystemExit("The held-out images are not those that the rule selects.")


if __name__ == "__main__":
    main()
