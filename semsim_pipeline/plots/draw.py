"""All pictures of a pair: every plot plans, each source is opened once, every plot draws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.comparison.thumbnails import PictureSide, thumbnails
from semsim_pipeline.plots.base import PLOTS, Album, PairInput, Picture


def draw_pair(pair: PairInput, seed: int) -> tuple[Picture, ...]:
    """Every registered plot of a pair, in the plots' order.

    seed: of every draw (which images, where the map begins). The same input gives the same bytes on one machine.
    Memory: beside the embeddings, their unit rows and one tile; the map's sample.
    """
    from threadpoolctl import threadpool_limits

    # One thread: on matrices this small BLAS and OpenMP threads mostly wait for each other (twice the CPU time), and
    # the map's sums would depend on how many there are.
    with threadpool_limits(limits=1):
        plans = [plot.plan(pair, seed) for plot in sorted(PLOTS, key=lambda plot: plot.order)]
        album = Album(
            reference=_images(pair.reference, [row for plan in plans for row in plan.wanted.reference]),
            candidate=_images(pair.candidate, [row for plan in plans for row in plan.wanted.candidate]),
        )
        return tuple(plan.draw(album) for plan in plans)


def _images(side: PictureSide, rows: list[int]) -> Mapping[int, NDArray[np.uint8]]:
    distinct = sorted(set(rows))
    return dict(zip(distinct, thumbnails(side.selected, distinct), strict=True))
