"""What a picture is, and what a plot of a pair gets. To add a plot: one file here that adds itself to `PLOTS`.

A plot is drawn in two steps, so that each source is opened once for all the plots of a pair: first it plans (all
numbers, and which images it wants to show), then it draws with those images at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.thumbnails import THUMBNAIL_SIDE, PictureSide
from semsim_pipeline.registry import Registry

PLOTS_VERSION = 2
"""Raised with every change after which a picture of the same scores would look different."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One finished picture. caption: what it shows and how it was made, with n and seed. alt: for those who cannot
    see it. png: the file; width and height in its own pixels."""

    name: str
    title: str
    caption: str
    alt: str
    png: bytes = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairInput:
    """A scored pair and the rows behind its score."""

    comparison: Comparison
    reference: PictureSide
    candidate: PictureSide


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Rows whose images a plot shows, by side."""

    reference: tuple[int, ...] = ()
    candidate: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """The images at hand by side and row: RGB uint8 [96, 96, 3]."""

    reference: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)
    candidate: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)

    def of(self, side: str, row: int, size: int = THUMBNAIL_SIDE) -> NDArray[np.uint8]:
        """An image of a side (`reference` or `candidate`), [size, size, 3]."""
        image = (self.reference if side == "reference" else self.candidate)[row]
        if size == len(image):
            return image
        from PIL import Image

        return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX), dtype=np.uint8)


class Plan(Protocol):
    """A plot whose numbers are known."""

    @property
    def wanted(self) -> Wanted:
        """The images that `draw` will ask the album for."""

    def draw(self, album: Album) -> Picture:
        """The picture; the same bytes for the same plan and album on one machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlot:
    """A registered plot of a pair. order: its place among a pair's pictures. plan: (pair, seed) to a plan.
    applies: whether it has anything to show of a pair; else it is left out."""

    name: str
    order: int
    summary: str
    plan: Callable[[PairInput, int], Plan]
    applies: Callable[[PairInput], bool] = lambda _pair: True


PLOTS: Registry[PairPlot] = Registry("plot", "semsim_pipeline.plots")
