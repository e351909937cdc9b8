"""The score card's numbers beside the packages that people use, equal values asserted: CPU-seconds and peak memory.

Peak memory is above the data. Every configuration runs in two processes of its own, after a small warm-up that pays
imports: with one thread, whose CPU-seconds are work (numpy's idle threads spin, and would count), and with all cores
for the wall time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine, measure

NAME = "score_card_speed"
D = 512
SIZES, QUICK_SIZES = (2_000, 5_000, 10_000), (500, 1_000)
WIDTHS, QUICK_WIDTHS = (512, 2048), (64,)
FRECHET_ROWS = 10_000
WARM_ROWS, WARM_WIDTH = 200, 64
"""More rows than columns: with fewer, Fréchet's other path would be warmed."""

ONE_THREAD: dict[str, Any] = {
    "environment": {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    "one_core": True,
}
"""For `measure.run`: no library starts threads, and those that tiles are made in (`metrics.blocks`) share the core."""
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


def product_alone(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    """The three matrix products that PRDC cannot do without, in tiles: its roof."""
    from semsim_pipeline.metrics.blocks import inner_product_tiles

    last = 0.0
    for left, right, upper in ((a, a, True), (b, b, True), (a, b, False)):
        for _, _, tile in inner_product_tiles(left, right, 1024, upper=upper):
            last = float(tile[0, 0])
    return [last]


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


def our_frechet_step(a: Any, b: Any) -> list[float]:
    """The distance of two fitted Gaussians, which each set keeps: what a pair costs once its sets are known."""
    from semsim_pipeline.metrics.gaussians import parts_between

    return [parts_between(a, b).total]


def sqrtm_step(a: Any, b: Any) -> list[float]:
    from scipy.linalg import sqrtm

    (m, s), (n, t) = a, b
    return [float((m - n) @ (m - n) + np.trace(s) + np.trace(t) - 2 * np.trace(sqrtm(s @ t).real))]


def fitted(side: NDArray[np.float32]) -> Any:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.gaussians import gaussian_of

    return gaussian_of(EmbeddedSet("side", side))


def moments(side: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance in float64, as FID's usual code has them."""
    wide = side.astype(np.float64)
    return wide.mean(axis=0), np.cov(wide, rowvar=False)


BEFORE: dict[str, Callable[[NDArray[np.float32]], Any]] = {"our_frechet_step": fitted, "sqrtm_step": moments}
"""What is done to each side before the clock starts."""

CONTESTS: dict[str, tuple[str, dict[str, float | None]]] = {
    "prdc": ("our_prdc", {"prdc_package": 1e-12}),
    "kid": ("our_kid", {"torch_fidelity_all_rows": 1e-6, "torch_fidelity_subsets": None}),
    "frechet": ("our_frechet", {"scipy_sqrtm": 1e-8}),
    "frechet of known moments": ("our_frechet_step", {"sqrtm_step": 1e-8}),
    "cosine": ("our_cosine", {"sklearn_cosine": 1e-6}),
}
"""Family to our function, and its peers with the largest difference allowed (None: an estimate, values differ)."""


def solo(function: str, n: int, d: int) -> dict[str, Any]:
    """One function on one size: value, seconds, CPU-seconds, peak above the data."""
    action, before = globals()[function], BEFORE.get(function, lambda side: side)
    a, b = sides(n, d)
    action(*(before(side[:WARM_ROWS, :WARM_WIDTH]) for side in (a, b)))
    known = [before(side) for side in (a, b)]
    with measure.above() as row:
        value = action(*known)
    return {"value": value, **row}


def card(n: int, d: int, families: list[str] | None = None) -> dict[str, Any]:
    """The whole score card, headline and p-value included, in one call as a run makes it; or only some families."""
    from threadpoolctl import threadpool_limits

    from semsim_pipeline.metrics.base import EmbeddedSet, Pair
    from semsim_pipeline.metrics.score_card import score_card
    from semsim_pipeline.records import Background

    a, b = sides(n, d)
    background = Background(id="benchmark", bandwidth=0.5, source="made up", kappa=0.02, mean=np.zeros(d))

    def pair(rows: int) -> Pair:
        return Pair(reference=EmbeddedSet("a", a[:rows]), candidate=EmbeddedSet("b", b[:rows]), background=background)

    # As `comparison.assess` does: one thread for each product, several products at once.
    with threadpool_limits(limits=1, user_api="blas"):
        score_card(pair(WARM_ROWS), families)
        with measure.above() as total:
            values = score_card(pair(n), families)
    missing = {name: row.reason for name, row in values.items() if row.status == "not_computed"}
    return {"not_computed": missing, "total": total}


def main() -> None:
    """All contests, then the whole card."""
    from semsim_pipeline.metrics.base import METRICS

    quick = machine.arguments(__doc__).quick
    about = machine.describe()
    rows: list[dict[str, Any]] = []
    body: dict[str, Any] = {
        "what": "score card functions beside peers; float32 rows, peak memory above the data; cpu_ratio and memory: "
        "one thread, time_ratio: all cores",
        "targets": {
            "prdc at 10k": "6x less CPU, 50x less memory, 80 % of its products",
            "frechet of known moments, d=2048": "4x faster",
            "card at 10k": "30 CPU-s, 300 MB above the data",
        },
        "contests": rows,
    }
    sizes, widths = (QUICK_SIZES, QUICK_WIDTHS) if quick else (SIZES, WIDTHS)
    for name, (ours, peers) in CONTESTS.items():
        shapes = [(sizes[-1], d) for d in widths] if name.startswith("frechet") else [(n, D) for n in sizes]
        for n, d in shapes:
            rows.append(contest(name, ours, peers, (n, d)))
            machine.save(NAME, about, body, quick=quick)
    body["score_card"] = []
    for n in sizes:
        found = {threads: _card(n, None, threads) for threads in ("one_thread", "all_cores")}
        body["score_card"].append({"n": n, "d": D, **found})
        print(f"score card n={n}: {found['one_thread']['total']}; all cores {found['all_cores']['total']}", flush=True)
        machine.save(NAME, about, body, quick=quick)
    body["families_alone"] = {"n": sizes[-1], "d": D}
    for family in METRICS:
        body["families_alone"][family.name] = spent = _card(sizes[-1], [family.name], "one_thread")["total"]
        print(f"    {family.name:20} {spent['cpu_seconds']:8.2f} CPU-s {spent['peak_above_mib']:8.1f} MiB", flush=True)
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
            "time_ratio": round(theirs["seconds_all_cores"] / max(mine["seconds_all_cores"], 1e-4), 2),
            "memory_ratio": round(theirs["peak_above_mib"] / max(mine["peak_above_mib"], 1.0), 2),
        }
        told = {key: row["peers"][peer][key] for key in ("cpu_ratio", "time_ratio", "memory_ratio")}
        ours_told = f"{mine['cpu_seconds']} CPU-s, {mine['peak_above_mib']} MiB"
        print(f"{name} n={n} d={d}: {ours_told}; {peer} {told}", flush=True)
    if name == "prdc":
        roof = _run("product_alone", n, d)
        row["products_alone"] = roof
        row["share_of_products"] = round(roof["cpu_seconds"] / mine["cpu_seconds"], 3)
        print(f"{name} n={n} d={d}: its products alone {roof['cpu_seconds']} CPU-s, {row['share_of_products']:.0%}")
    return row


def _run(function: str, n: int, d: int) -> dict[str, Any]:
    """CPU-seconds and memory of one thread, and `seconds_all_cores` of a second process."""
    one = measure.run("benchmarks.score_card_speed:solo", **ONE_THREAD, function=function, n=n, d=d)
    free = measure.run("benchmarks.score_card_speed:solo", function=function, n=n, d=d)
    others = max(one["others_cores"], free["others_cores"])
    return {**one["result"], "seconds_all_cores": free["result"]["seconds"], "others_cores": others}


def _card(n: int, families: list[str] | None, threads: str) -> dict[str, Any]:
    how = ONE_THREAD if threads == "one_thread" else {}
    found = measure.run("benchmarks.score_card_speed:card", **how, n=n, d=D, families=families)
    return {**found["result"], "others_cores": found["others_cores"]}


if __name__ == "__main__":
    main()
