"""One pass over the tiles of a pair for all the metrics that look at the same distances or kernels.

A pass is almost all matrix product; what a metric then looks for in a tile costs a tenth of it. So before a score card
asks its families one by one, the passes that several of them need are made here once, and what they find is left where
each family looks first. A value does not depend on which others were asked for: alone, a family makes the same tiles.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from semsim_pipeline.arrays import TILE_ROWS
from semsim_pipeline.errors import InvalidEmbeddingsError, TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics import cmmd
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.blocks import tile_rows
from semsim_pipeline.metrics.clouds import Watcher, watch_cross
from semsim_pipeline.metrics.energy_distance import keep_cross, keep_within, total_over
from semsim_pipeline.metrics.kernel_passes import CosineWatch
from semsim_pipeline.metrics.kid_subsets import subsets_of
from semsim_pipeline.metrics.near_duplicates import FEWEST_DISTINCT
from semsim_pipeline.metrics.neighbors import cross_both_ways, own_known, own_neighbours
from semsim_pipeline.metrics.prdc import DEFAULT_K, OVERLAP, SupportTally
from semsim_pipeline.metrics.proximity import DEFAULT_K as MIXING_K
from semsim_pipeline.metrics.similarity import similarity_of

SUPPORT = frozenset({"prdc", "prdc_matched"})
LISTS = frozenset({"proximity", "near_duplicates"})
ENERGY = "energy_distance"
DISTANCES = SUPPORT | LISTS | {ENERGY}
COSINES = frozenset({"similarity", "cmmd"})
CUBES = frozenset({"kid", "kid_subsets"})


def share_passes(pair: Pair, families: Collection[str]) -> None:
    """Make the passes that at least two of the families need; nothing is returned, the sets and the pair keep it.

    What a family would refuse (too few images, no spread) is left to it, so that it can say so.
    Memory: as the dearest of the families.
    """
    asked = frozenset(families)
    for share, concerned in ((_share_distances, DISTANCES), (_share_cosines, COSINES), (_share_cubes, CUBES)):
        if len(asked & concerned) > 1 or asked & {"proximity"} & concerned:
            # Each family that is concerned meets the same refusal again, and reports it.
            with suppress(TooFewSamplesError, UndefinedMetricError, InvalidEmbeddingsError):
                share(pair, asked)


def _share_distances(pair: Pair, families: frozenset[str]) -> None:
    reference, candidate = pair.reference, pair.candidate
    fewest = min(len(reference), len(candidate))
    support = bool(families & SUPPORT) and fewest > DEFAULT_K
    lists = "proximity" in families and fewest > 1
    lists = lists or ("near_duplicates" in families and len(reference) >= FEWEST_DISTINCT)
    energy = ENERGY in families and fewest > 1
    if energy and (support or lists):
        for side in (reference, candidate):
            _own_pass(side, pair.working_memory)
    elif support and "proximity" in families:
        # Balls alone would make a cheaper pass of their own.
        for side in (reference, candidate):
            own_neighbours(side, MIXING_K, working_memory=pair.working_memory)
    # Mixing alone already looks both ways.
    if support + lists + energy > 1 or "proximity" in families:
        _cross_pass(pair, support=support, lists=lists, energy=energy)


def _own_pass(side: EmbeddedSet, working_memory: int) -> None:
    """Neighbours and distances within one set."""
    if own_known(side, MIXING_K):
        return
    total = total_over(side, side)
    own_neighbours(side, MIXING_K, working_memory=working_memory, watchers=[total.see])
    keep_within(side, total.total())


def _cross_pass(pair: Pair, *, support: bool, lists: bool, energy: bool) -> None:
    """Neighbours both ways, balls and distances between the two sets."""
    reference, candidate = pair.reference, pair.candidate
    tally = SupportTally(reference, candidate, working_memory=pair.working_memory) if support else None
    total = total_over(reference, candidate) if energy else None
    # Distances overwrite the tile: they come last.
    watchers: list[Watcher] = [each.see for each in (tally, total) if each is not None]
    if lists:
        cross_both_ways(reference, candidate, MIXING_K, watchers=watchers, working_memory=pair.working_memory)
    else:
        watch_cross(reference, candidate, watchers, tile=tile_rows(pair.working_memory))
    if tally is not None:
        pair.memo[OVERLAP] = tally.overlap()
    if total is not None:
        keep_cross(reference, candidate, total.total())


def _share_cosines(pair: Pair, _families: frozenset[str]) -> None:
    """The headline's first pass, whose cosines CMMD looks at too."""
    reference, candidate = pair.reference, pair.candidate
    # On tiles of another size CMMD alone would add in another order.
    if tile_rows(pair.working_memory) != TILE_ROWS:
        return
    centre = cmmd.centre_of(reference, candidate)
    within = [cmmd.RemainderTotal(centre, own=True) for _ in range(2)]
    across = cmmd.RemainderTotal(centre, own=False)
    similarity_of(pair, watch=CosineWatch(reference=within[0].see, across=across.see, candidate=within[1].see))
    for side, seen in zip((reference, candidate), within, strict=True):
        if (total := seen.total()) is not None:
            cmmd.keep_within(side, centre, total)
    if (total := across.total()) is not None:
        cmmd.keep_cross(reference, candidate, centre, total)


def _share_cubes(pair: Pair, _families: frozenset[str]) -> None:
    """KID's subsets, whose kernels on all rows KID adds up."""
    subsets_of(pair)
