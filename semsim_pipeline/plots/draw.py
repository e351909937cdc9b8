"""All pictures of a pair: every plot plans, each source is opened once, every plot draws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.comparison.thumbnails import PictureSide, thumbnails_and_lost
from semsim_pipeline.errors import StoreError
from semsim_pipeline.plots.base import PLOTS, Album, PairInput, Picture


def draw_pair(pair: PairInput, seed: int, *, strict: bool = False) -> tuple[Picture, ...]:
    """Every registered plot that has something to show of a pair, in the plots' order.

    seed: of every draw (which images, where the map begins). The same input gives the same bytes on one machine.
    strict: an image that is no longer what was embedded is a StoreError, not a grey tile: for pictures that are kept.
    Memory: beside the embeddings, their unit rows and one tile; the map's sample.
    """
    from threadpoolctl import threadpool_limits

    # One thread: on matrices this small BLAS and OpenMP threads mostly wait for each other (twice the CPU time), and
    # the map's sums would depend on how many there are.
    with threadpool_limits(limits=1):
        plots = [plot for plot in sorted(PLOTS, key=lambda plot: plot.order) if plot.applies(pair)]
        plans = [plot.plan(pair, seed) for plot in plots]
        album = Album(
            reference=_images(pair.reference, [row for plan in plans for row in plan.wanted.reference], strict=strict),
            candidate=_images(pair.candidate, [row for plan in plans for row in plan.wanted.candidate], strict=strict),
        )
        return tuple(plan.draw(album) for plan in plans)


def _images(side: PictureSide, rows: list[int], *, strict: bool) -> Mapping[int, NDArray[np.uint8]]:
    distinct = sorted(set(rows))
    images, lost = thumbnails_and_lost(side.selected, distinct)
    if strict and lost:
        raise StoreError(
            f"{lost} of {len(distinct)} images of {side.selected.name} to show are not what was embedded any more: "
            "bring the dataset up to date (`dataset_manifest`, or `semsim rescore`) and draw again."
        )
    return dict(zip(distinct, images, strict=True))
