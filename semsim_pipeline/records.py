"""The frozen records that cross the doors between folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Status = Literal["ok", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRef:
    """One image as its source lists it, before a byte of it was read.

    path: unique within the source, `/` between its parts, whatever the machine.
    labels: column name to value (`label`; `label` and `class` for CIFAKE). group: images never counted as independent.
    size: bytes, where known without reading. stamp: changes when the content may have (mtime in ns, CRC, …); None
    where the source has none, then content is hashed again each time. locator: the source's own way to the bytes
    (an offset, a row number).
    """

    path: str
    labels: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    size: int | None = None
    stamp: str | None = None
    locator: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What an image's first bytes say: size in pixels, format as Pillow names it (`JPEG`, `PNG`, …; `array`)."""

    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What unrelated images look like to one encoder; without it a kernel score has no scale.

    id: short digest; part of every score's version. bandwidth: s² = ¼ · median squared distance of unit rows.
    kappa: mean of exp(-‖x-y‖²/s²) over images of different categories, None where there was no panel.
    mean: float64 [d], the mean unit row of the panel, None where there was no panel.
    source: the panel's name, or how the bandwidth was found. calibrated: measured on a panel by this encoder.
    """

    id: str
    bandwidth: float
    source: str
    kappa: float | None = None
    mean: NDArray[np.float64] | None = None
    calibrated: bool = True

    def __post_init__(self) -> None:
        if not (np.isfinite(self.bandwidth) and self.bandwidth > 0):
            raise ValueError(f"a background's bandwidth must be positive; found {self.bandwidth}")
        if self.calibrated and self.kappa is None:
            raise ValueError("a calibrated background has a kappa")


MetricStatus = Literal["ok", "not_computed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """One row of a score card. `value` is None exactly where `status` is `not_computed`.

    reason: in words, why there is no value; beside a value, what it leaves out (rare).

    interval: 95 %, on the metric's own scale. null: what two samples of one distribution would show at these sizes.
    note: what a reader must know of how it was computed (a sample of very large sets), None where all rows were used.
    detail: numbers that explain the value (such as the two sides of a mixing share); names are stable.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    null: float | None = None
    status: MetricStatus = "ok"
    reason: str | None = None
    detail: Mapping[str, float] = field(default_factory=dict)
    note: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.status == "not_computed"):
            raise ValueError(f"value {self.value} does not agree with status {self.status}")
        if self.status == "not_computed" and not self.reason:
            raise ValueError("a row that was not computed gives its reason")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"a metric's value is a finite number; found {self.value}")


def not_computed(reason: str) -> MetricValue:
    """The row for a metric that has no value here; never a flattering number for missing data."""
    return MetricValue(value=None, status="not_computed", reason=reason)
