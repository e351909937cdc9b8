"""Does a score fall steadily as a shift grows, and does it stay at 1 for equal sets at any n?

Three tables: thirteen graded shifts of REAL images (rank correlation with the level, ours and the peers); samples of
one distribution at n = 50 to 5,000 and ratios 1:1 to 1:20; the error of random Fourier features, which the package
does not use.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from benchmarks import machine
from benchmarks.evidence.encoders import embedder
from benchmarks.evidence.images import SHIFTS, SIDE, cifake, digits, noise_images
from benchmarks.evidence.scores import ENTRIES, NAMES, all_entries, headline_numbers
from benchmarks.evidence.worlds import ImageWorld, N
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.frechet import frechet_distance
from semsim_pipeline.metrics.kid import kid
from semsim_pipeline.metrics.prdc import precision_recall_density_coverage
from semsim_pipeline.metrics.verdict import INDISTINGUISHABLE
from semsim_pipeline.seeding import generator

NAME = "controlled_shifts"
ENCODERS = ("classical", "conv")
MIXED = (0.1, 0.25, 0.5, 0.75, 1.0)
DROPPED = (1, 3, 5, 7, 9)
SPREADS = (0.9, 0.75, 0.6, 0.4, 0.2)
SIZES = ((50, 50, 60), (100, 100, 40), (200, 200, 30), (500, 500, 20), (1000, 1000, 10), (2000, 2000, 5),
         (5000, 5000, 3), (50, 1000, 60), (100, 200, 40), (100, 500, 40), (100, 1000, 40), (100, 2000, 40),
         (250, 5000, 10))  # fmt: skip
"""n, m, repeats."""
FEATURES = (2_048, 8_192)
FEATURE_SEEDS = 5


def graded(world: ImageWorld) -> Iterator[tuple[str, list[EmbeddedSet]]]:
    """Each shift: the candidate at level 0 and at five levels, always from the same images where that can be."""
    per_class = N // 10
    held = world.real.each(per_class, per_class)
    plain = world.embedded(held.images)
    for shift in SHIFTS.values():
        yield shift.name, [plain, *(world.embedded(shift(held.images, level)) for level in shift.levels)]
    fake = world.embedded(cifake(machine.cifake(), "FAKE", 0, per_class).images)
    order = generator(0, "mixture").permutation(N)
    yield "mixture with FAKE", [plain, *(_mixed(plain, fake, order[: round(share * N)]) for share in MIXED)]
    yield "dropped classes", [plain, *(_dropped(world, count) for count in DROPPED)]
    middle = plain.rows.mean(axis=0)
    yield "spread of rows", [plain, *(EmbeddedSet("b", middle + share * (plain.rows - middle)) for share in SPREADS)]


def _mixed(plain: EmbeddedSet, other: EmbeddedSet, rows: NDArray[np.int64]) -> EmbeddedSet:
    mixed = plain.rows.copy()
    mixed[rows] = other.rows[rows]
    return EmbeddedSet("b", mixed)


def _dropped(world: ImageWorld, count: int) -> EmbeddedSet:
    """N images of the first 10 - count classes in a seeded order."""
    kept = generator(0, "dropped").permutation(10)[: 10 - count]
    share = -(-N // len(kept))
    rows = [np.flatnonzero(world.real.classes == number)[100 : 100 + share] for number in kept]
    return EmbeddedSet("b", world.rows[np.concatenate(rows)[:N]])


def monotone(world: ImageWorld) -> list[dict[str, Any]]:
    """For each shift and entry: values at levels 0 to 5, Spearman's ρ with the level (1 = farther with every level)."""
    reference = world.embedded(world.real.each(0, N // 10).images)
    table = []
    for name, candidates in graded(world):
        found = [all_entries(reference, candidate, world.embedder.background) for candidate in candidates]
        row: dict[str, Any] = {"shift": name, "u": [one["u"] for one in found], "entries": {}}
        for entry in ENTRIES:
            values = [float(one[entry.name]) for one in found]
            away = [-value if entry.higher_is_closer else value for value in values]
            steps = np.diff(away)
            constant = np.ptp(away) == 0
            row["entries"][entry.name] = {
                "values": values,
                "rho": 0.0 if constant else float(spearmanr(range(len(away)), away).statistic),
                "every_step": bool((steps > 0).all()),
            }
        table.append(row)
        said = ", ".join(f"{key} {row['entries'][key]['rho']:.2f}" for key in NAMES)
        print(f"{world.embedder.name}, {name}: {said}", flush=True)
    return table


def equal_sets(world: ImageWorld) -> list[dict[str, Any]]:
    """Means over repeats with their standard errors; FID, KID and coverage beside (our values, equal to the peers')."""
    table = []
    for n, m, repeats in SIZES:
        found: dict[str, list[float]] = {"similarity": [], "fid": [], "kid": [], "coverage": []}
        inside = top = claimed = 0
        for repeat in range(repeats):
            a, b = world.sizes(n, m, f"equal {n} {m} {repeat}")
            ours = headline_numbers(a, b, world.embedder.background)
            floor = ours["floor"]
            inside += ours["interval"][0] <= 1 <= ours["interval"][1]
            top += ours["u"] >= INDISTINGUISHABLE
            claimed += (ours["interval"][0] - floor) / (1 - floor) >= INDISTINGUISHABLE
            found["similarity"].append(ours["similarity"])
            found["fid"].append(frechet_distance(a, b))
            found["kid"].append(kid(a, b))
            found["coverage"].append(precision_recall_density_coverage(a, b).coverage)
        table.append({
            "n": n,
            "m": m,
            "repeats": repeats,
            "intervals_that_hold_1": inside,
                "u_in_the_top_band": top,
                "interval_in_the_top_band": claimed,
            **{key: {"mean": float(np.mean(x)), "error": float(np.std(x, ddof=1) / np.sqrt(repeats))}
               for key, x in found.items()},
        })  # fmt: skip
        print(n, m, table[-1]["similarity"], flush=True)
    return table


def unrelated_sets(world: ImageWorld) -> dict[str, list[float]]:
    """u of sets that have nothing to do with each other: all 210 pairs of the panel's photographs (50 crops each; the
    floor was measured on them, so their mean is no test, their spread is), and three pairs from elsewhere."""
    from semsim_pipeline.datasets.panel_1 import Panel

    panel = Panel()
    crops: dict[str, list[NDArray[np.uint8]]] = {}
    with panel.open() as reader:
        for item in panel.items():
            image = Image.fromarray(np.asarray(reader.read(item)))
            crops.setdefault(item.labels["label"], []).append(
                np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            )
    sets = [world.embedded(np.stack(images)) for images in crops.values()]
    background = world.embedder.background
    real, written = world.embedded(world.real.each(0, N // 10).images), world.embedded(digits("digits").images[:N])
    noise = world.embedded(noise_images(N, "unrelated"))
    elsewhere = [(real, written), (real, noise), (written, noise)]
    return {
        "panel": [headline_numbers(a, b, background)["u"] for a, b in combinations(sets, 2)],
        "photographs_digits_noise": [headline_numbers(a, b, background)["u"] for a, b in elsewhere],
    }


def fourier_similarity(a: NDArray[Any], b: NDArray[Any], bandwidth: float, features: int, seed: int) -> float:
    """S of unit rows from `features` random Fourier features (Rahimi & Recht 2007), own pairs taken off exactly."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(0, np.sqrt(2 / bandwidth), (a.shape[1], features // 2))
    means = []
    for rows in (a, b):
        phases = rows @ waves
        means.append(np.concatenate([np.cos(phases).mean(axis=0), np.sin(phases).mean(axis=0)]))
    scale = 2 / features
    own = [(len(rows) * scale * float(mean @ mean) - 1) / (len(rows) - 1)
           for rows, mean in zip((a, b), means, strict=True)]  # fmt: skip
    return float(2 * scale * float(means[0] @ means[1]) / sum(own))


def fourier_errors(world: ImageWorld) -> list[dict[str, Any]]:
    """Largest and root mean square |S by features - S exact| over pairs of REAL classes and five seeds."""
    pairs = [("cat", "dog"), ("deer", "dog"), ("airplane", "ship"), ("frog", "ship"), ("automobile", "truck")]
    exact, table = {}, []
    for left, right in pairs:
        sides = [EmbeddedSet(name, world.rows_of(name, 0, N)) for name in (left, right)]
        exact[left, right] = (headline_numbers(sides[0], sides[1], world.embedder.background)["similarity"], sides)
    for features in FEATURES:
        errors = [
            fourier_similarity(sides[0].unit.astype(np.float64), sides[1].unit.astype(np.float64),
                               world.embedder.background.bandwidth, features, seed) - value
            for value, sides in exact.values() for seed in range(FEATURE_SEEDS)
        ]  # fmt: skip
        table.append({
            "features": features,
            "pairs": len(pairs),
            "seeds": FEATURE_SEEDS,
            "root_mean_square": float(np.sqrt(np.mean(np.square(errors)))),
            "largest": float(np.abs(errors).max()),
        })  # fmt: skip
    return table


def main() -> None:
    """Encoder by encoder; a stop keeps what is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", default=",".join(ENCODERS), help="comma-separated; the first does all three")
    names = parser.parse_args().encoders.split(",")
    about = machine.describe()
    body: dict[str, Any] = {"shifts": {name: list(s.levels) for name, s in SHIFTS.items()}, "encoders": {}}
    body["shifts"] |= {"mixture with FAKE": MIXED, "dropped classes": DROPPED, "spread of rows": SPREADS}
    for number, name in enumerate(names):
        world = ImageWorld(embedder(name))
        found = body["encoders"][name] = {"weights": world.embedder.weights}
        if number == 0:
            found["fourier"] = fourier_errors(world)
            found["unrelated"] = unrelated_sets(world)
            found["equal_sets"] = equal_sets(world)
            machine.save(NAME, about, body, quick=False)
        found["monotone"] = monotone(world)
        machine.save(NAME, about, body, quick=False)


if __name__ == "__main__":
    main()
