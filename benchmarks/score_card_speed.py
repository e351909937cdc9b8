"""The score card's numbers beside the packages that people use, equal values asserted: CPU-seconds and peak memory.

Peak memory is above the data. Every configuration runs in its own process, after a small warm-up that pays imports.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine, measure

NAME = "score_card_speed"
D = 512
SIZES, QUICK_SIZES = (2_000, 5_000, 10_000), (500, 1_000)
WIDTHS, QUICK_WIDTHS = (512, 2048), (64,)
FRECHET_ROWS = 10_000
WARM_ROWS = 200
Sides = tuple[NDArray[np.float32], NDArray[np.float32]]


def sides(n: int, d: int) -> Sides:
    """Two float32 sets of correlated columns with distinct rows and a shift between them; seeded."""
    rng = np.random.default_rng(0)
    spectrum = (1 / np.sqrt(1 + np.arange(d))).astype(np.float32)
    mixing = np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32)
    tables = [(rng.standard_normal((n, d), dtype=np.float32) * spectrum) @ mixing for _ in range(2)]
    tables[1] += np.float32(0.02)
    return tables[0], tables[1]


# --- ours ----------------------------------------------------------------------------------------------------------


def our_prdc(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.prdc import precision_recall_density_coverage

    found = precision_recall_density_coverage(EmbeddedSet("a", a), EmbeddedSet("b", b))
    return [found.precision, found.recall, found.density, found.coverage]


def our_kid(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.kid import kid

    return [kid(EmbeddedSet("a", a), EmbeddedSet("b", b))]


def our_frechet(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.frechet import frechet_distance

    return [frechet_distance(EmbeddedSet("a", a), EmbeddedSet("b", b))]


def our_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.cosine import mean_cosine

    return [mean_cosine(EmbeddedSet("a", a), EmbeddedSet("b", b))]


# --- peers ---------------------------------------------------------------------------------------------------------


def prdc_package(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    from prdc import compute_prdc

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        found = compute_prdc(a, b, nearest_k=5)
    return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]


def torch_fidelity_all_rows(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    """One subset of all rows, in float64: the number that ours is."""
    return _torch_fidelity(a.astype(np.float64), b.astype(np.float64), subsets=1, size=len(a))


def torch_fidelity_subsets(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    """Its default: the mean over 100 subsets of 1,000."""
    return _torch_fidelity(a, b, subsets=100, size=min(1000, len(a)))


def _torch_fidelity(a: NDArray[Any], b: NDArray[Any], *, subsets: int, size: int) -> list[float]:
    import torch
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    found = kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=subsets, kid_subset_size=size, rng_seed=0, verbose=False
    )
    return [float(found[KEY_METRIC_KID_MEAN])]


def scipy_sqrtm(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    """FID's usual code: float64 covariances, `sqrtm` of their product, its real part."""
    from scipy.linalg import sqrtm

    wide = [side.astype(np.float64) for side in (a, b)]
    gap = wide[0].mean(axis=0) - wide[1].mean(axis=0)
    s, t = (np.cov(side, rowvar=False) for side in wide)
    return [float(gap @ gap + np.trace(s) + np.trace(t) - 2 * np.trace(sqrtm(s @ t).real))]


def sklearn_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    from sklearn.metrics.pairwise import cosine_similarity

    return [float(cosine_similarity(a, b).mean(dtype=np.float64))]


CONTESTS: dict[str, tuple[str, dict[str, float | None]]] = {
    "prdc": ("our_prdc", {"prdc_package": 1e-12}),
    "kid": ("our_kid", {"torch_fidelity_all_rows": 1e-6, "torch_fidelity_subsets": None}),
    "frechet": ("our_frechet", {"scipy_sqrtm": 1e-8}),
    "cosine": ("our_cosine", {"sklearn_cosine": 1e-6}),
}
"""Family to our function, and its peers with the largest difference allowed (None: an estimate, values differ)."""


def solo(function: str, n: int, d: int) -> dict[str, Any]:
    """One function on one size: value, seconds, CPU-seconds, peak above the data."""
    action = globals()[function]
    a, b = sides(n, d)
    action(a[:WARM_ROWS], b[:WARM_ROWS])
    with measure.above() as row:
        value = action(a, b)
    return {"value": value, **row}


def card(n: int, d: int) -> dict[str, Any]:
    """The whole score card with the headline, family by family in registry order, on a made-up background."""
    from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, Pair
    from semsim_pipeline.metrics.score_card import score_card
    from semsim_pipeline.records import Background

    a, b = sides(n, d)
    background = Background(id="benchmark", bandwidth=0.5, source="made up", kappa=0.02, mean=np.zeros(d))
    score_card(
        Pair(reference=EmbeddedSet("a", a[:50]), candidate=EmbeddedSet("b", b[:50]), background=background)
    )  # pays imports
    pair = Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b), background=background)
    families, missing = {}, {}
    with measure.above() as total:
        for family in METRICS:
            cpu, began = measure.cpu_seconds(), time.perf_counter()
            values = score_card(pair, [family.name])
            families[family.name] = {
                "seconds": round(time.perf_counter() - began, 3),
                "cpu_seconds": round(measure.cpu_seconds() - cpu, 3),
            }
            missing |= {name: row.reason for name, row in values.items() if row.status == "not_computed"}
    return {"families": families, "not_computed": missing, "total": total}


def main() -> None:
    """All contests, then the whole card."""
    quick = machine.arguments(__doc__).quick
    about = machine.describe()
    rows: list[dict[str, Any]] = []
    body: dict[str, Any] = {
        "what": "score card functions beside peers; float32 rows, peak memory above the data, all cores",
        "targets": {
            "prdc at 10k": "6x less CPU, 50x less memory",
            "frechet d=2048": "4x faster",
            "card at 10k": "30 CPU-s, 300 MB above the data",
        },
        "contests": rows,
    }
    sizes, widths = (QUICK_SIZES, QUICK_WIDTHS) if quick else (SIZES, WIDTHS)
    for name, (ours, peers) in CONTESTS.items():
        shapes = [(sizes[-1], d) for d in widths] if name == "frechet" else [(n, D) for n in sizes]
        for n, d in shapes:
            rows.append(contest(name, ours, peers, (n, d)))
            machine.save(NAME, about, body, quick=quick)
    body["score_card"] = []
    for n in sizes:
        found = measure.run("benchmarks.score_card_speed:card", n=n, d=D)
        body["score_card"].append({"n": n, "d": D, **found["result"], "others_cores": found["others_cores"]})
        print(f"score card n={n}: {found['result']['total']}")
        for family, spent in found["result"]["families"].items():
            print(f"    {family:20} {spent['cpu_seconds']:8.2f} CPU-s {spent['seconds']:8.2f} s")
        machine.save(NAME, about, body, quick=quick)


def contest(name: str, ours: str, peers: dict[str, float | None], shape: tuple[int, int]) -> dict[str, Any]:
    """Ours and the peers on one shape; raises where a value differs by more than is allowed."""
    n, d = shape
    mine = _run(ours, n, d)
    row: dict[str, Any] = {"family": name, "n": n, "d": d, "ours": mine, "peers": {}}
    for peer, allowed in peers.items():
        theirs = _run(peer, n, d)
        gap = max(abs(x - y) for x, y in zip(mine["value"], theirs["value"], strict=True))
        if allowed is not None and not gap <= allowed * max(1.0, abs(theirs["value"][0])):
            raise AssertionError(f"{name} n={n} d={d}: {mine['value']} against {peer} {theirs['value']}")
        row["peers"][peer] = {
            **theirs,
            "largest_difference": gap,
            "equal_asserted_within": allowed,
            "cpu_ratio": round(theirs["cpu_seconds"] / max(mine["cpu_seconds"], 1e-4), 2),
            "time_ratio": round(theirs["seconds"] / max(mine["seconds"], 1e-4), 2),
            "memory_ratio": round(theirs["peak_above_mib"] / max(mine["peak_above_mib"], 0.1), 2),
        }
        told = {key: row["peers"][peer][key] for key in ("cpu_ratio", "time_ratio", "memory_ratio")}
        ours_told = f"{mine['cpu_seconds']} CPU-s, {mine['peak_above_mib']} MiB"
        print(f"{name} n={n} d={d}: {ours_told}; {peer} {told}", flush=True)
    return row


def _run(function: str, n: int, d: int) -> dict[str, Any]:
    found = measure.run("benchmarks.score_card_speed:solo", function=function, n=n, d=d)
    return {**found["result"], "others_cores": found["others_cores"]}


if __name__ == "__main__":
    main()
