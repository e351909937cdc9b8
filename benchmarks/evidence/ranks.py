"""How well numbers rank accuracy lost: Spearman's ρ with a bootstrap interval, and differences to the headline's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.evidence.scores import ENTRIES

DRAWS = 2_000
Vector = NDArray[np.float64]


def spearman(x: Vector, y: Vector) -> float:
    """NaN where a side is constant."""
    a, b = rankdata(x), rankdata(y)
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 0 else float("nan")


def ranking(rows: list[dict[str, Any]], encoder: str, kind: str) -> dict[str, Any]:
    """Of each entry (and u): ρ between how far it says B is and the accuracy lost, pooled over all pairs and as the
    mean over worlds. Intervals (95 %, percentile) redraw whole shifts of a world, because levels of one shift are not
    independent; `ahead` is the headline's ρ less the entry's, redrawn together."""
    rows = [row for row in rows if encoder in row["scores"]]
    lost = np.array([row["lost"][kind] for row in rows])
    share = np.array([row["share_lost"][kind] for row in rows])
    world = np.array([row["world"] for row in rows])
    clusters = [f"{row['world']} {row['shift']}" for row in rows]
    columns = {entry.name: (-1.0 if entry.higher_is_closer else 1.0) * _column(rows, encoder, entry.name)
               for entry in ENTRIES}  # fmt: skip
    columns["u"] = -_column(rows, encoder, "u")
    draws = _cluster_draws(clusters)
    resampled = {name: np.array([spearman(x[draw], lost[draw]) for draw in draws]) for name, x in columns.items()}
    table = {}
    for name, x in columns.items():
        ahead = resampled["similarity"] - resampled[name]
        by_world = {str(w): spearman(x[world == w], lost[world == w]) for w in dict.fromkeys(world)}
        table[name] = {
            "rho": spearman(x, lost),
            "interval": _interval(resampled[name]),
            "ahead": None if name == "similarity" else {"mean": float(np.nanmean(ahead)), "interval": _interval(ahead)},
            "rho_of_share_lost": spearman(x, share),
            "mean_over_worlds": float(np.nanmean(list(by_world.values()))),
            "by_world": {w: None if np.isnan(rho) else rho for w, rho in by_world.items()},
        }
    return {"pairs": len(rows), "clusters": len(set(clusters)), "entries": table}


def _column(rows: list[dict[str, Any]], encoder: str, name: str) -> Vector:
    return np.array([row["scores"][encoder][name] for row in rows])


def _interval(values: Vector) -> list[float]:
    return [float(x) for x in np.nanquantile(values, (0.025, 0.975))]


def _cluster_draws(clusters: list[str]) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(np.array(clusters) == name) for name in dict.fromkeys(clusters)]
    return [np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))]) for _ in range(DRAWS)]
