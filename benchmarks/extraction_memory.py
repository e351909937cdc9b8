"""Does memory grow with the number of images? `embed_view` beside the load-everything way on the same images.

Two load-everything ways: every image as a float32 224 px array (what a CLIP transform hands over, stacked), and every
image as uint8 at its own 32 px (the kindest case there is). Both then keep every image's features in a list and make
the whole cosine matrix of one half against the other. Arrays are allocated once, without the second copy that
stacking a list makes, so the naive figures are low rather than high. RLIMIT_AS guards the machine.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "extraction_memory"
SIZES, QUICK_SIZES = (5_000, 20_000, 50_000, 100_000), (1_000, 3_000)
PIXELS_224, QUICK_PIXELS_224 = (2_000, 5_000, 10_000, 20_000), (500,)
PIXELS_32, QUICK_PIXELS_32 = (5_000, 20_000), (1_000,)
GUARD_GIB = 12.0


def streamed(archive: str, n: int, workers: int) -> dict[str, Any]:
    """The package's way, in a fresh home."""
    from semsim_pipeline.datasets.resolve import open_view
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.records import ExtractOptions
    from semsim_pipeline.extract.run import embed_view

    stages = measure.Stages()
    with tempfile.TemporaryDirectory(prefix="semsim-home-") as home:
        view = open_view(f"cifake:{archive}[limit={n},seed=0]")
        done = embed_view(view, resolve_encoder("classical"), Path(home), ExtractOptions(workers=workers), stages)
        return {
            "seen": done.seen,
            "embedded": done.embedded,
            "new": done.new,
            "failed": done.failed,
            "embed_images_per_second": round(done.images_per_second, 1),
            "stages": stages.rows,
        }


def load_everything(archive: str, n: int, pixels: int) -> dict[str, Any]:
    """All images decoded into one array, all features in a list, the cosine matrix of its two halves."""
    import numpy as np
    from PIL import Image
    from sklearn.metrics.pairwise import cosine_similarity

    from semsim_pipeline.encoders.resolve import resolve_encoder

    encoder = resolve_encoder("classical").load()
    dtype = np.float32 if pixels == 224 else np.uint8
    images = np.empty((n, pixels, pixels, 3), dtype)
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith(".jpg")]
        for row, name in enumerate(names[:: len(names) // n][:n]):
            image = Image.open(io.BytesIO(file.read(name))).convert("RGB").resize((pixels, pixels))
            images[row] = np.asarray(image) / 255 if dtype is np.float32 else np.asarray(image)
    features = []
    for image in images:
        pixels8 = (image * 255).round().astype(np.uint8) if dtype is np.float32 else image
        features.append(encoder.encode(encoder.preprocess(pixels8)[None])[0])
    table = np.stack(features)
    cosines = cosine_similarity(table[: n // 2], table[n // 2 :])
    return {"mean_cosine": float(cosines.mean())}


def growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Last size less first, by each way of measuring, and the tree's spread over all sizes: none of them is left out.

    The tree's PSS is sampled, so its peak moves with what the samples hit; the high-water marks of single processes
    miss nothing.
    """
    tree = [row["peak_tree_mib"] for row in rows]
    return {
        "tree_pss": round(tree[-1] - tree[0], 1),
        "tree_pss_most_less_least": round(max(tree) - min(tree), 1),
        "main_high_water": round(rows[-1]["peak_main_mib"] - rows[0]["peak_main_mib"], 1),
        "largest_child_high_water": round(rows[-1]["peak_child_mib"] - rows[0]["peak_child_mib"], 1),
    }


def main() -> None:
    """All sizes; the file is written after each."""
    quick, archive = machine.arguments(__doc__).quick, str(machine.cifake())
    about, rows, naive = machine.describe(), [], []
    body: dict[str, Any] = {
        "what": "classical encoder on CIFAKE train, a fresh home each, a fair sample of n images",
        "target": "growth from 5k to 100k images below 30 MB",
        "guard_gib": GUARD_GIB,
        "streamed": rows,
        "load_everything": naive,
    }
    sizes = QUICK_SIZES if quick else SIZES
    for n, workers in [*((n, 1) for n in sizes), (sizes[-1], 2)]:
        row = measure.run("benchmarks.extraction_memory:streamed", archive=archive, n=n, workers=workers)
        rows.append({"n": n, "workers": workers, **row})
        print(f"streamed n={n}, {workers} workers: {row['peak_tree_mib']} MiB, {row['seconds']} s", flush=True)
        body["growth_mib"] = growth([row for row in rows if row["workers"] == 1])
        machine.save(NAME, about, body, quick=quick)
    small, large = (QUICK_PIXELS_32, QUICK_PIXELS_224) if quick else (PIXELS_32, PIXELS_224)
    for pixels, sizes in ((32, small), (224, large)):
        for n in sizes:
            row = measure.run(
                "benchmarks.extraction_memory:load_everything",
                address_limit_gib=GUARD_GIB, archive=archive, n=n, pixels=pixels,
            )  # fmt: skip
            naive.append({"n": n, "pixels": pixels, "dtype": "float32" if pixels == 224 else "uint8", **row})
            said = "out of memory" if row["out_of_memory"] else f"{row['peak_tree_mib']} MiB"
            print(f"load everything at {pixels} px n={n}: {said}, {row['seconds']} s", flush=True)
            machine.save(NAME, about, body, quick=quick)
            if row["out_of_memory"]:
                break
    body["in_words"] = (
        "By their formulas at 100,000 images the load-everything way would need 60.2 GB for float32 224 px images "
        "(n * 224 * 224 * 3 * 4), or 10.0 GB for the float32 cosine matrix of one half against the other "
        "(n/2 * n/2 * 4) beside small uint8 images; these are computed, not measured."
    )
    machine.save(NAME, about, body, quick=quick)


if __name__ == "__main__":
    main()
