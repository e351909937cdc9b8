"""Where the simulation study draws from: a Gaussian mixture (endless) and real embeddings of CIFAKE (a finite pool)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from semsim_pipeline.seeding import generator

Rows = NDArray[np.floating]
DIM, MODES = 32, 10
RARE = 0.05
"""Share of what `dropped` lacks: the mixture's last mode; of CIFAKE a cluster of the embeddings, or the trucks."""
POOL = 10_000
POOL_FILE = machine.RESULTS / "quick" / "simulation_pool.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """draw(rng, case, n, m): a reference of n and a candidate of m rows; `equal`: both of one distribution. `unlike`:
    truly different. `dropped`: the candidate lacks a mode of 5 % (`dropped class`: a class, whether or not the encoder
    sees one in it). `shrunk`: its spread around the mean is 0.9 times. bandwidth: s²."""

    name: str
    bandwidth: float
    draw: Callable[[np.random.Generator, str, int, int], tuple[Rows, Rows]]


def _weights(rare: float = 1 / MODES) -> NDArray[np.float64]:
    return np.append(np.full(MODES - 1, (1 - rare) / (MODES - 1)), rare)


def _modes(case: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the modes on either side."""
    if case == "dropped":
        return _weights(RARE), _weights(0.0)
    return _weights(), _weights()


def _shrunk(rows: Rows, mean: Rows) -> Rows:
    return mean + 0.9 * (rows - mean)


def mixture() -> Population:
    """Ten modes in 32 dimensions, away from the origin as every encoder's rows are; `unlike` is moved by 0.3 a column
    and a fifth wider."""
    centres = 1 + 0.8 * generator(0, "mixture").normal(size=(MODES, DIM))

    def draw(rng: np.random.Generator, case: str, n: int, m: int) -> tuple[Rows, Rows]:
        sides = []
        for size, weights in zip((n, m), _modes(case), strict=True):
            sides.append(centres[rng.choice(MODES, size, p=weights)] + 0.6 * rng.normal(size=(size, DIM)))
        if case == "unlike":
            sides[1] = centres.mean(axis=0) + 1.2 * (sides[1] - centres.mean(axis=0)) + 0.3
        if case == "shrunk":
            sides[1] = _shrunk(sides[1], centres.mean(axis=0))
        return sides[0], sides[1]

    some, _ = draw(generator(0, "mixture", "truth", "equal"), "equal", POOL, POOL)
    return Population(name="mixture", bandwidth=_bandwidth(some), draw=draw)


def cifake() -> Population:
    """CIFAKE through `classical`: `equal` and `shrunk` are of the real images; `unlike` is real against generated."""
    found = np.load(_pool())
    real, fake = found["real"], found["fake"]
    modes = {"dropped": _cluster(real), "dropped class": found["label"] == MODES - 1}

    def draw(rng: np.random.Generator, case: str, n: int, m: int) -> tuple[Rows, Rows]:
        if case == "unlike":
            return real[rng.choice(POOL, n, replace=False)], fake[rng.choice(POOL, m, replace=False)]
        order = rng.permutation(POOL)
        if case in modes:
            rare, common = order[modes[case][order]], order[~modes[case][order]]
            few = int(rng.binomial(n, RARE))
            return real[np.concatenate([rare[:few], common[: n - few]])], real[common[n : n + m]]
        left, right = real[order[:n]], real[order[n : n + m]]
        return left, _shrunk(right, real.mean(axis=0)) if case == "shrunk" else right

    return Population(name="cifake", bandwidth=_bandwidth(real), draw=draw)


@cache
def population(name: str) -> Population:
    """By name."""
    return {"mixture": mixture, "cifake": cifake}[name]()


def _cluster(rows: Rows) -> NDArray[np.bool_]:
    """Which rows are of the one of twenty clusters whose share is nearest to 5 %."""
    from sklearn.cluster import KMeans

    cluster = KMeans(20, n_init=1, random_state=0).fit(rows).labels_
    sizes = np.bincount(cluster)
    return np.asarray(cluster == int(np.argmin(np.abs(sizes - RARE * len(rows)))))


def _bandwidth(rows: Rows) -> float:
    from semsim_pipeline.arrays import unit_rows
    from semsim_pipeline.metrics.kernel_sums import median_squared_distance

    return median_squared_distance(unit_rows(rows), generator(0, "bandwidth")) / 4


def _pool() -> Path:
    """The embeddings, made once (minutes) and kept beside the quick results."""
    if POOL_FILE.is_file():
        return POOL_FILE
    from tempfile import TemporaryDirectory

    from semsim_pipeline.comparison.selected import select_all
    from semsim_pipeline.comparison.sets import open_sets
    from semsim_pipeline.datasets.cifake import CLASSES
    from semsim_pipeline.datasets.resolve import open_view
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.run import embed_view

    encoder = resolve_encoder("classical")
    with TemporaryDirectory() as folder:
        home, views = Path(folder), {}
        for name in ("REAL", "FAKE"):
            # Some images are there twice; a few more than asked for, and copies left out.
            view = open_view(f"cifake:{machine.cifake()}[label={name},limit={POOL + 500}]")
            views[name] = select_all(name, view.source, embed_view(view, encoder, home), home)
        sets = open_sets(home, views)
        kept = {
            name: np.sort(np.unique(side.content_codes, return_index=True)[1])[:POOL] for name, side in sets.items()
        }
        classes = [list(CLASSES).index(each) for each in views["REAL"].rows["label.class"].to_list()]
        POOL_FILE.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            POOL_FILE,
            real=sets["REAL"].rows[kept["REAL"]],
            fake=sets["FAKE"].rows[kept["FAKE"]],
            label=np.array(classes)[kept["REAL"]],
        )
    return POOL_FILE
