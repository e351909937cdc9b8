"""Passes over a pair's kernel: one for all the sets of weights that are asked for at once, kept by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.blocks import TileWatch
from semsim_pipeline.metrics.kernel_sums import KernelSums, WeightedRows, kernel_sums
from semsim_pipeline.metrics.resampling import PairWeights, Weights
from semsim_pipeline.metrics.similarity_spread import Means
from semsim_pipeline.metrics.units import Layout, SideUnits
from semsim_pipeline.records import Background


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineWatch:
    """Who sees the tiles of cosines within the reference, across, and within the candidate.

    A side whose sums were kept from another pair is not passed over, and its watcher sees nothing.
    """

    reference: TileWatch | None = None
    across: TileWatch | None = None
    candidate: TileWatch | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Wanted:
    """Weights of one side, made when they are needed. key: names them, so that their sums serve every pair that uses
    the same; None where they depend on the other side."""

    key: tuple[str, ...] | None
    weights: Callable[[], Weights]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PairSums:
    """The three passes over a pair, with the weights they were made with."""

    weights: PairWeights
    aa: KernelSums
    ab: KernelSums
    bb: KernelSums

    def point_means(self, layout: Layout) -> Means:
        """The three means with every row counted once."""
        once = PairWeights(
            reference=np.ones((len(self.aa.rows), 1), np.uint8), candidate=np.ones((len(self.bb.rows), 1), np.uint8)
        )
        totals = [np.array([sums.total]) for sums in (self.aa, self.ab, self.bb)]
        return Means.of(layout, once, totals[0], totals[1], totals[2])


def pair_sums(
    pair: Pair,
    background: Background,
    layout: Layout,
    columns: Sequence[tuple[str, PairWeights]],
    *,
    halves: tuple[Sequence[Wanted], Sequence[Wanted]] = ((), ()),
    watch: CosineWatch | None = None,
) -> list[PairSums]:
    """The sums of a pair for several sets of weights, each with a name for its purpose, in one pass.

    halves: more weights of the reference and of the candidate alone, whose sums are then kept (`sums_within`).
    """
    watch = watch or CosineWatch()
    together = [np.concatenate([getattr(w, side) for _, w in columns], axis=1) for side in ("reference", "candidate")]
    across = kernel_sums(
        WeightedRows(unit=pair.reference.unit, twins=layout.reference, weights=together[0]),
        WeightedRows(unit=pair.candidate.unit, twins=layout.candidate, weights=together[1]),
        background.bandwidth,
        watch=watch.across,
    )

    def within(side: EmbeddedSet, twins: SideUnits, name: str, more: Sequence[Wanted]) -> list[KernelSums]:
        wanted = [
            Wanted(
                key=(purpose, str(pair.seed)) if layout.sides_independent else None,
                weights=lambda w=w: getattr(w, name),  # type: ignore[misc]
            )
            for purpose, w in columns
        ]
        return sums_within(side, twins, background, [*wanted, *more], watch=getattr(watch, name))

    aa = within(pair.reference, layout.reference, "reference", halves[0])
    bb = within(pair.candidate, layout.candidate, "candidate", halves[1])
    ab = _split(across, [w.reference.shape[1] for _, w in columns])
    return [
        PairSums(weights=w, aa=own, ab=cross, bb=other)
        for (_, w), own, cross, other in zip(columns, aa, ab, bb, strict=False)
    ]


def sums_within(
    side: EmbeddedSet,
    twins: SideUnits,
    background: Background,
    wanted: Sequence[Wanted],
    *,
    watch: TileWatch | None = None,
) -> list[KernelSums]:
    """Sums within one side for each set of weights; those that were not kept are made in one pass.

    Which pairs of one side count does not depend on the other side, so any layout's `twins` of it give the same.
    """
    keys = [None if each.key is None else ("kernel_sums", repr(background.bandwidth), *each.key) for each in wanted]
    found = [side.memo.get(key) if key else None for key in keys]
    missing = [place for place, each in enumerate(found) if not isinstance(each, KernelSums)]
    if missing:
        weights = [wanted[place].weights() for place in missing]
        rows = WeightedRows(unit=side.unit, twins=twins, weights=np.concatenate(weights, axis=1))
        sums = kernel_sums(rows, rows, background.bandwidth, watch=watch)
        for place, part in zip(missing, _split(sums, [w.shape[1] for w in weights]), strict=True):
            found[place] = part
            key = keys[place]
            if key:
                side.memo[key] = part
    return [each for each in found if isinstance(each, KernelSums)]


def _split(sums: KernelSums, widths: Sequence[int]) -> list[KernelSums]:
    """The same sums with the forms of each set of weights alone."""
    ends = np.cumsum(widths)[:-1]
    return [replace(sums, forms=forms) for forms in np.split(sums.forms, ends)]
