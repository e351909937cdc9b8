"""Numbers made by peers and closed forms, with who made them; never our own output."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
CASES = ("shift", "null", "dups", "rankdef", "clusters")
IDENTITY = "identity"
"""The reference of `shift` against itself; it has values but no arrays of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenEntry:
    """One stored value: `by` made it, `args` say how, `rel` and `abs` are the tolerance with its `reason`."""

    value: dict[str, float]
    by: str
    args: dict[str, object]
    rel: float
    abs: float
    reason: str


def inputs(case: str) -> tuple[np.ndarray, np.ndarray]:
    """(reference, candidate), float64 [n, d] and [m, d]."""
    with np.load(FOLDER / f"{'shift' if case == IDENTITY else case}.npz") as stored:
        return stored["reference"], stored["reference" if case == IDENTITY else "candidate"]


def class_labels(case: str) -> tuple[np.ndarray, np.ndarray]:
    """(reference, candidate), one whole number a row; `clusters` has them."""
    with np.load(FOLDER / f"{case}.npz") as stored:
        return stored["labels_reference"], stored["labels_candidate"]


def entries(case: str, name: str) -> list[GoldenEntry]:
    """Every stored entry of that name, in the reference's order."""
    stored = json.loads((FOLDER / "values.json").read_text(encoding="utf-8"))
    return [GoldenEntry(**entry) for entry in stored["values"][case][name]]
