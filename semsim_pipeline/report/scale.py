"""The score on its scale as inline SVG: floor, bands, interval, ceilings. Colours come from the page's own style."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semsim_pipeline.metrics.verdict import BANDS

if TYPE_CHECKING:
    from semsim_pipeline.comparison.results import Comparison

WIDTH = 720
LEFT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something on the scale. x in SVG units; label in words."""

    x: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A stretch of the scale between two values of S. step: 0 (worst) … 4 (best), for the page's shades."""

    x: float
    width: float
    step: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Everything that the template draws."""

    score: Mark
    low: float
    high: float
    floor: Mark | None
    ceilings: tuple[Mark, ...]
    bands: tuple[Band, ...]
    width: int = WIDTH


def scale_of(result: Comparison) -> Scale | None:
    """Where everything lies; None where there is no headline to draw."""
    found = result.similarity
    if found is None or not math.isfinite(found.raw):
        return None
    floor = found.floor if found.floor is not None and 0 <= found.floor < 1 else None
    finite = all(math.isfinite(end) for end in found.interval)
    ceilings = ((found.ceiling_reference, "reference"), (found.ceiling_candidate, "candidate"))
    return Scale(
        score=Mark(x=place(found.raw), label=f"{found.raw if found.value is None else found.value:.3f}"),
        low=place(found.interval[0] if finite else found.raw),
        high=place(found.interval[1] if finite else found.raw),
        floor=None if floor is None else Mark(x=place(floor), label=f"floor {floor:.3f}"),
        ceilings=tuple(
            Mark(x=place(c.value), label=f"halves of the {side}: {c.value:.3f}")
            for c, side in ceilings
            if c.value is not None
        ),
        bands=() if floor is None else tuple(_bands(floor)),
    )


def place(value: float) -> float:
    """A value of S in SVG units; outside 0 … 1 at the ends, because S exceeds 1 by noise only."""
    return round(LEFT + min(1.0, max(0.0, value)) * (WIDTH - 2 * LEFT), 1)


def _bands(floor: float) -> list[Band]:
    """BANDS are in u = (S - floor) / (1 - floor); below the floor everything is unrelated."""
    edges = [floor + max(bound, 0.0) * (1 - floor) if math.isfinite(bound) else 0.0 for bound, _ in BANDS]
    out = []
    upper = 1.0
    for step, ((_, name), lower) in enumerate(zip(BANDS, edges, strict=True)):
        out.append(Band(x=place(lower), width=place(upper) - place(lower), step=len(BANDS) - 1 - step, name=name))
        upper = lower
    return out
