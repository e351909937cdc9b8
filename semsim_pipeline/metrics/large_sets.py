"""What is compared pair by pair on very large sets: a seeded sample of each side, and a note that says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from semsim_pipeline.metrics.base import EmbeddedSet, MetricFamily, Pair
from semsim_pipeline.metrics.resampling import content_order, set_code
from semsim_pipeline.records import MetricValue
from semsim_pipeline.seeding import generator

MOST_EXACT = 50_000
"""Images a side up to which all pairs are compared. Time grows with the square of it and memory with it: 50,000 by
50,000 takes minutes, 200,000 by 200,000 would take an hour to move no interval by a visible amount."""

ALL_PAIRS = frozenset({"blocks", "neighbours"})


def for_pairs(pair: Pair) -> Pair:
    """The pair itself, or one of samples of MOST_EXACT images where a side has more; the same object for each call.

    Drawn without replacement by content and seed, so that the rows' order decides nothing; groups and contents stay
    known. Every value on it is that of so many images a side, its interval included.
    Memory: MOST_EXACT·d·itemsize a sampled side, kept with the side for its other pairs.
    """
    most = MOST_EXACT
    if max(len(pair.reference), len(pair.candidate)) <= most:
        return pair
    key = ("large_sets", str(most))
    found = pair.memo.get(key)
    if not isinstance(found, Pair):
        sides = [_sampled(side, most, pair.seed) for side in (pair.reference, pair.candidate)]
        found = replace(pair, reference=sides[0], candidate=sides[1])
        pair.memo[key] = found
    return found


def compares_all_pairs(family: MetricFamily) -> bool:
    """Whether a family's cost grows with n·m."""
    return any(facts.cost in ALL_PAIRS for facts in family.facts)


def with_note(value: MetricValue, pair: Pair, used: Pair) -> MetricValue:
    """The value, which says how many images it is of where that is not all of them."""
    if used is pair or value.status != "ok":
        return value
    counts = " and ".join(
        f"{len(part):,} of the {len(side):,} {word} images"
        for word, side, part in (
            ("reference", pair.reference, used.reference),
            ("candidate", pair.candidate, used.candidate),
        )
        if part is not side
    )
    return replace(
        value,
        note=f"from a seeded sample: {counts}; all pairs of images are compared up to {MOST_EXACT:,} a side",
        detail={
            **value.detail,
            "rows_reference": float(len(used.reference)),
            "rows_candidate": float(len(used.candidate)),
        },
    )


def _sampled(side: EmbeddedSet, most: int, seed: int) -> EmbeddedSet:
    if len(side) <= most:
        return side
    key = ("large_sets", str(most), str(seed))
    found = side.memo.get(key)
    if not isinstance(found, EmbeddedSet):
        rng = generator(seed, "large set", set_code(side), most)
        found = side.take(np.sort(content_order(side)[rng.choice(len(side), most, replace=False)]))
        side.memo[key] = found
    return found
