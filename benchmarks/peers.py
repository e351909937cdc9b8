"""How time and memory grow: our functions beside the packages that people use, on the same arrays, in one run.

Goes on where it stopped on the same machine and commit.

Every point is a process of its own with one thread (CPU-seconds and peak memory above the data; with more, idle ones
spin and would count), after a warm-up that pays imports. A package that would need more memory than MOST_GIB, or longer
than MOST_SECONDS by its own growth so far, is not run there, and the result says what it would have needed; one that is
not installed is named once.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine, measure, score_card_speed
from benchmarks.score_card_speed import moments, sides

NAME = "peers"
SIZES, QUICK_SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000), (300, 600)
WIDTHS, QUICK_WIDTHS = (512, 2048), (64,)
MOST_GIB, MOST_SECONDS = 8.0, 150.0
PROJECTIONS = 512
SINGULAR = 1e-5
"""What the root of a product of two singular covariances (fewer rows than columns) may be off by, as sqrtm takes it."""
Rows = NDArray[np.float32]
Values = list[float]


# --- ours that score_card_speed has not ------------------------------------------------------------------------------


def our_sliced(a: Rows, b: Rows) -> Values:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.sliced_wasserstein import sliced_wasserstein

    return [sliced_wasserstein(EmbeddedSet("a", a), EmbeddedSet("b", b))[0]]


def our_vendi(a: Rows, b: Rows) -> Values:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.vendi import vendi

    return [vendi(EmbeddedSet(name, rows)) for name, rows in (("a", a), ("b", b))]


def our_energy(a: Rows, b: Rows) -> Values:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.energy_distance import energy_distance

    return [energy_distance(EmbeddedSet("a", a), EmbeddedSet("b", b)).value]


def our_kid_subsets(a: Rows, b: Rows) -> Values:
    from semsim_pipeline.metrics.base import EmbeddedSet
    from semsim_pipeline.metrics.kid_subsets import kid_subsets

    return [kid_subsets(EmbeddedSet("a", a), EmbeddedSet("b", b), subset_size=min(1000, len(a))).mean]


# --- peers -----------------------------------------------------------------------------------------------------------


def clean_fid_kid(a: Rows, b: Rows) -> Values:
    """Its KID: 100 subsets of 1,000."""
    from cleanfid.fid import kernel_distance

    np.random.seed(0)  # noqa: NPY002 - it draws from the global state
    return [float(kernel_distance(a, b, num_subsets=100, max_subset_size=min(1000, len(a))))]


def torchmetrics_kid(a: Rows, b: Rows) -> Values:
    """Its `poly_mmd` on all rows, in float64."""
    import torch
    from torchmetrics.image.kid import poly_mmd

    return [float(poly_mmd(torch.from_numpy(a.astype(np.float64)), torch.from_numpy(b.astype(np.float64))))]


def clean_fid_frechet(a: Rows, b: Rows) -> Values:
    from cleanfid.fid import frechet_distance

    (m, s), (n, t) = (moments(side) for side in (a, b))
    return [float(frechet_distance(m, s, n, t))]


def torchmetrics_frechet(a: Rows, b: Rows) -> Values:
    import torch
    from torchmetrics.image.fid import _compute_fid

    (m, s), (n, t) = (map(torch.from_numpy, moments(side)) for side in (a, b))
    return [float(_compute_fid(m, s, n, t))]


def torch_fidelity_frechet(a: Rows, b: Rows) -> Values:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    (m, s), (n, t) = (moments(side) for side in (a, b))
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        found = fid_statistics_to_metric({"mu": m, "sigma": s}, {"mu": n, "sigma": t}, False)
    return [float(found[KEY_METRIC_FID])]


def pot_sliced(a: Rows, b: Rows) -> Values:
    import ot

    return [float(ot.sliced_wasserstein_distance(a, b, n_projections=PROJECTIONS, seed=0))]


def vendi_score_package(a: Rows, b: Rows) -> Values:
    """Its n × n form, as its page shows it."""
    from vendi_score import vendi

    return [float(vendi.score_X(side.astype(np.float64), normalize=True)) for side in (a, b)]


def vendi_score_dual(a: Rows, b: Rows) -> Values:
    from vendi_score import vendi

    return [float(vendi.score_dual(side.astype(np.float64), normalize=True)) for side in (a, b)]


def scipy_energy(a: Rows, b: Rows) -> Values:
    """Means of three `cdist` matrices."""
    from scipy.spatial.distance import cdist

    ab, aa, bb = (float(cdist(x, y).mean()) for x, y in ((a, b), (a, a), (b, b)))
    return [2 * ab - aa - bb]


# --- contests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peer:
    """package: what must be installed. gib: memory above the data that n rows of width d take, by formula.

    allowed: largest relative difference from ours; None where it is another estimate (subsets, other draws).
    """

    package: str
    gib: Callable[[int, int], float]
    allowed: float | None


def _square(matrices: float) -> Callable[[int, int], float]:
    """So many n × n float64 matrices at once."""
    return lambda n, _d: matrices * n * n * 8 / 2**30


def _wide(copies: float) -> Callable[[int, int], float]:
    return lambda n, d: (copies * n * d * 8 + 6 * d * d * 8) / 2**30


@dataclass(frozen=True, slots=True)
class Contest:
    """ours: a function here or in score_card_speed. quadratic: its time grows with n², else with n."""

    ours: str
    peers: dict[str, Peer] = field(default_factory=dict)
    quadratic: bool = True


CONTESTS = {
    # The package keeps its distances in float32: at 20,000 images it counts one neighbour fewer than float64 does.
    "prdc": Contest("our_prdc", {"prdc_package": Peer("prdc", _square(1.7), 5e-5)}),
    "prdc's products": Contest("product_alone"),
    "kid, all rows": Contest(
        "our_kid",
        {
            "torch_fidelity_all_rows": Peer("torch_fidelity", _square(4), 1e-6),
            "torchmetrics_kid": Peer("torchmetrics", _square(5), 1e-6),
        },
    ),
    "kid, 100 subsets": Contest(
        "our_kid_subsets",
        {
            "torch_fidelity_subsets": Peer("torch_fidelity", _wide(2), None),
            "clean_fid_kid": Peer("cleanfid", _wide(2), None),
        },
    ),
    "frechet": Contest(
        "our_frechet",
        {
            "scipy_sqrtm": Peer("scipy", _wide(2), 1e-8),
            "clean_fid_frechet": Peer("cleanfid", _wide(2), 1e-6),
            "torch_fidelity_frechet": Peer("torch_fidelity", _wide(2), 1e-6),
            "torchmetrics_frechet": Peer("torchmetrics", _wide(2), 1e-6),
        },
        quadratic=False,
    ),
    "mean cosine": Contest("our_cosine", {"sklearn_cosine": Peer("sklearn", _square(0.5), 1e-6)}),
    "energy distance": Contest("our_energy", {"scipy_energy": Peer("scipy", _square(1), 1e-5)}),
    "sliced wasserstein": Contest("our_sliced", {"pot_sliced": Peer("ot", _wide(3), None)}, quadratic=False),
    "vendi": Contest(
        "our_vendi",
        {
            "vendi_score_package": Peer("vendi_score", _square(3), 1e-6),
            "vendi_score_dual": Peer("vendi_score", _wide(2), 1e-6),
        },
        quadratic=False,
    ),
}


def solo(function: str, n: int, d: int) -> dict[str, Any]:
    """One function on one size, in this process."""
    action: Callable[[Rows, Rows], Values] = globals().get(function) or getattr(score_card_speed, function)
    a, b = sides(n, d)
    action(*(side[: score_card_speed.WARM_ROWS, : score_card_speed.WARM_WIDTH] for side in (a, b)))
    with measure.above() as row:
        value = action(a, b)
    return {"value": value, **row}


def point(function: str, n: int, d: int) -> dict[str, Any]:
    """The same in a fresh process."""
    found = measure.run("benchmarks.peers:solo", **score_card_speed.ONE_THREAD, function=function, n=n, d=d)
    if found["out_of_memory"]:
        return {"n": n, "d": d, "not_run": "it ran out of memory"}
    row = {"n": n, "d": d, **found["result"], "others_cores": found["others_cores"]}
    print(f"  {function} n={n} d={d}: {row['cpu_seconds']} CPU-s, {row['peak_above_mib']} MiB", flush=True)
    return row


def line(function: str, peer: Peer | None, sizes: tuple[int, ...], d: int, *, quadratic: bool) -> list[dict[str, Any]]:
    """A function over growing n; it stops where the next size would be too large or too slow, and says so."""
    rows: list[dict[str, Any]] = []
    if peer is not None and importlib.util.find_spec(peer.package) is None:
        print(f"  {function}: {peer.package} is not installed (uv sync --group benchmarks)")
        return [{"n": sizes[0], "d": d, "not_run": f"{peer.package} is not installed"}]
    for n in sizes:
        needed = peer.gib(n, d) if peer else 0.0
        last = next((row for row in reversed(rows) if "cpu_seconds" in row), None)
        time = last["cpu_seconds"] * (n / last["n"]) ** (2 if quadratic else 1) if last else 0.0
        if needed > MOST_GIB:
            rows.append({"n": n, "d": d, "not_run": f"would need {needed:.0f} GB"})
        elif time > MOST_SECONDS:
            rows.append({"n": n, "d": d, "not_run": f"would take about {time:.0f} CPU-s"})
        else:
            rows.append(point(function, n, d))
    return rows


def check(name: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], allowed: float | None) -> None:
    """Adds our ratios to a peer's rows; raises where a value differs by more than is allowed."""
    known = {row["n"]: row for row in ours if "value" in row}
    for row in theirs:
        mine = known.get(row["n"])
        if mine is None or "value" not in row:
            continue
        both = list(zip(mine["value"], row["value"], strict=True))
        least = SINGULAR if name == "frechet" and row["n"] < row["d"] else 0.0
        gap = max(abs(x - y) / max(abs(x), abs(y), 1e-300) for x, y in both)
        # A KID near 0 has few digits of its own.
        if allowed is not None and any(abs(x - y) > max(allowed, least) * abs(y) + 1e-8 for x, y in both):
            raise AssertionError(f"{name} n={row['n']} d={row['d']}: {mine['value']} against {row['value']}")
        row["relative_difference"] = gap
        row["cpu_ratio"] = round(row["cpu_seconds"] / max(mine["cpu_seconds"], 1e-4), 2)
        row["memory_ratio"] = round(row["peak_above_mib"] / max(mine["peak_above_mib"], 1.0), 2)


def _kept(about: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    """The contests of an earlier run on this machine and commit."""
    try:
        found = machine.load(NAME, quick=quick)
    except FileNotFoundError:
        return {}
    same = all(found["machine"][key] == about[key] for key in ("cpu", "cores", "commit", "versions"))
    contests: dict[str, Any] = found["contests"]
    return contests if same else {}


def main() -> None:
    """Every contest over n, at each width."""
    quick = machine.arguments(__doc__).quick
    about = machine.describe()
    sizes, widths = (QUICK_SIZES, QUICK_WIDTHS) if quick else (SIZES, WIDTHS)
    body: dict[str, Any] = {
        "what": "growth with n; float32 rows, CPU-seconds and peak memory above the data, each point its own process",
        "limits": {"gib": MOST_GIB, "cpu_seconds": MOST_SECONDS},
        "contests": _kept(about, quick=quick),
    }
    for d in widths:
        for name, contest in CONTESTS.items():
            if set(body["contests"].get(f"{name} d={d}", {"peers": [""]})["peers"]) == set(contest.peers):
                continue
            print(f"{name}, d = {d}", flush=True)
            ours = line(contest.ours, None, sizes, d, quadratic=contest.quadratic)
            found: dict[str, Any] = {"ours": ours, "peers": {}}
            body["contests"][f"{name} d={d}"] = found
            for function, peer in contest.peers.items():
                theirs = line(function, peer, sizes, d, quadratic=contest.quadratic)
                check(name, ours, theirs, peer.allowed)
                found["peers"][function] = theirs
                machine.save(NAME, about, body, quick=quick)
    print(machine.save(NAME, about, body, quick=quick))


if __name__ == "__main__":
    main()
