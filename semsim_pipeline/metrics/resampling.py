"""Weights for permutation and split halves: whole units move, drawn by name from one seed.

Every draw is made for one *side* from that side's own content, never from its role or its rows' order. So exchanging
the sides or shuffling the rows changes nothing, and a side's weights (and the kernel sums they need) serve all its
pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.units import Layout
from semsim_pipeline.seeding import generator

SPLITS = 25
MOST_KEPT = 8 << 20
"""Bytes of one side's permutations that are kept for its other pairs; larger ones are cheap beside their sums."""
Weights = NDArray[np.uint8]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PairWeights:
    """Weights of both sides, column by column together: uint8 [n, C] and [m, C]."""

    reference: Weights
    candidate: Weights


def set_code(side: EmbeddedSet) -> str:
    """A short name of a set's content as a multiset; the same for any order of its rows."""
    key = ("set_code",)
    found = side.memo.get(key)
    if not isinstance(found, str):
        import hashlib

        found = hashlib.sha256(np.sort(side.content_codes).tobytes()).hexdigest()[:16]
        side.memo[key] = found
    return found


def content_order(side: EmbeddedSet) -> NDArray[np.intp]:
    """The rows' places, sorted by content: a draw of places in it does not depend on the rows' order."""
    key = ("content_order",)
    found = side.memo.get(key)
    if not isinstance(found, np.ndarray):
        found = np.argsort(side.content_codes, kind="stable")
        side.memo[key] = found
    return found


def permutation_swaps(
    reference: EmbeddedSet, candidate: EmbeddedSet, layout: Layout, seed: int, columns: range
) -> PairWeights:
    """Which rows change sides in each permutation of the labels (1 = goes over), for permutations `columns`.

    One-sided units go over whole, as many from each side; a unit that spans the sides exchanges its two halves.
    Copies of one image on both sides therefore carry no evidence, as they should.
    """
    sizes = sorted([len(layout.only_reference), len(layout.only_candidate)])
    sides = []
    for side, own, twins in (
        (reference, layout.only_reference, layout.reference),
        (candidate, layout.only_candidate, layout.candidate),
    ):
        key = ("swaps", str(seed), str(sizes), str(columns)) if layout.sides_independent else None
        swaps = side.memo.get(key) if key else None
        if not isinstance(swaps, np.ndarray):
            swaps = _side_swaps(set_code(side), own, twins.unit, sizes, seed, columns)
            if key and swaps.nbytes <= MOST_KEPT:
                side.memo[key] = swaps
        sides.append(swaps)
    if not layout.sides_independent:
        _swap_spanning(sides[0], sides[1], layout, seed, columns)
    return PairWeights(reference=sides[0], candidate=sides[1])


def _side_swaps(
    code: str, own: NDArray[np.int64], unit: NDArray[np.int64], sizes: list[int], seed: int, columns: range
) -> Weights:
    """The marks of one side's own units; those of other units stay 0."""
    small, large = sizes
    swaps = np.zeros((len(unit), len(columns)), np.uint8)
    where = np.searchsorted(own, unit)
    mine = np.isin(unit, own)
    for column, number in enumerate(columns):
        # Labels drawn without replacement from the pool: so many units of the larger side fall to the smaller.
        over = int(generator(seed, "exchange", small, large, number).hypergeometric(large, small, small))
        chosen = np.zeros(len(own) + 1, np.uint8)
        chosen[generator(seed, "permutation", code, number).permutation(len(own))[:over]] = 1
        swaps[mine, column] = chosen[where[mine]]
    return swaps


def split_halves(side: EmbeddedSet, unit: NDArray[np.int64], half: int, seed: int) -> Weights:
    """SPLITS times three columns: a random `half` of the units, another `half`, and both together; uint8 [n, 3·SPLITS].

    The third column gives the sum between the halves from symmetric forms alone.
    """
    units, index = np.unique(unit, return_inverse=True)
    out = np.zeros((len(unit), 3 * SPLITS), np.uint8)
    for number in range(SPLITS):
        order = generator(seed, "split", set_code(side), number).permutation(len(units))
        chosen = np.zeros((len(units), 3), np.uint8)
        chosen[order[:half], 0] = chosen[order[half : 2 * half], 1] = chosen[order[: 2 * half], 2] = 1
        out[:, 3 * number : 3 * number + 3] = chosen[index.reshape(-1)]
    return out


def _swap_spanning(reference: Weights, candidate: Weights, layout: Layout, seed: int, columns: range) -> None:
    """Let a unit that spans the sides exchange its two halves, whole, with probability one half.

    Its rows are not independent, so moving them one by one would reject far too often (40 % at α = 0.05 for bursts).
    """
    on_reference = np.isin(layout.reference.unit, layout.spanning)
    on_candidate = np.isin(layout.candidate.unit, layout.spanning)
    at_reference = np.searchsorted(layout.spanning, layout.reference.unit[on_reference])
    at_candidate = np.searchsorted(layout.spanning, layout.candidate.unit[on_candidate])
    for column, number in enumerate(columns):
        rng = generator(seed, "spanning", len(layout.spanning), number)
        exchanged = rng.integers(0, 2, len(layout.spanning)).astype(np.uint8)
        reference[on_reference, column] = exchanged[at_reference]
        candidate[on_candidate, column] = exchanged[at_candidate]
