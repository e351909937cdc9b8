"""Precision and recall at equal sizes, and coverage beside what equal distributions would show at these sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from semsim_pipeline.metrics.base import (
    DEFAULT_WORKING_MEMORY,
    METRICS,
    EmbeddedSet,
    MetricFacts,
    MetricFamily,
    Pair,
)
from semsim_pipeline.metrics.prdc import DEFAULT_K, coverage_null, share_inside, support_of
from semsim_pipeline.metrics.relabelled import SupportFloor, beside, support_floor
from semsim_pipeline.metrics.resampling import content_order, set_code
from semsim_pipeline.metrics.unit_pairs import nearly_independent
from semsim_pipeline.records import MetricValue, not_computed
from semsim_pipeline.seeding import generator

MOST_DRAWS = 10
CHEAP_PAIRS = 100_000
"""Pairs of images below which draws cost less than a few milliseconds, so that small sets get more of them."""


def thinned(side: EmbeddedSet, size: int, seed: int, draw: int) -> EmbeddedSet:
    """`size` of a set's images, drawn without replacement by content and seed, rows in their order.

    Memory: size·d·itemsize bytes.
    """
    chosen = generator(seed, "thinned", set_code(side), size, draw).choice(len(side), size, replace=False)
    return EmbeddedSet(side.name, side.rows[np.sort(content_order(side)[chosen])])


def draws_for(larger: int, smaller: int) -> int:
    """How many thinned draws to average: as many as cost what all rows cost, at least 1, at most 10.

    >>> draws_for(10_000, 9_000), draws_for(10_000, 2_000), draws_for(200, 180)
    (1, 10, 2)
    """
    all_rows = larger * larger / 2 + smaller * smaller / 2 + larger * smaller
    return max(1, min(MOST_DRAWS, int(max(all_rows, CHEAP_PAIRS) / (1.5 * smaller * smaller))))


def matched_share(
    smaller: EmbeddedSet,
    larger: EmbeddedSet,
    *,
    k: int = DEFAULT_K,
    seed: int = 0,
    working_memory: int = DEFAULT_WORKING_MEMORY,
) -> float:
    """Share of the smaller set inside the balls of the larger one thinned to its size, in [0, 1]; mean over draws.

    Balls grow as their set is thinned: a larger set has smaller balls, and with it precision and recall move against
    each other though nothing but a size changed. Draws: see `draws_for`.
    Raises and memory: as `share_inside`, with size·d·itemsize more for the thinned rows.
    """
    shares = [
        share_inside(smaller, thinned(larger, len(smaller), seed, draw), k=k, working_memory=working_memory)
        for draw in range(draws_for(len(larger), len(smaller)))
    ]
    return float(np.mean(shares))


def precision_recall_matched(pair: Pair, *, k: int = DEFAULT_K) -> tuple[float, float]:
    """(precision, recall) with the larger side thinned to the smaller one's size; both in [0, 1].

    Only the one whose balls are around the larger side needs draws. In the other the larger side is merely averaged
    over, and its mean over all ways to thin it is the value on all rows, which is returned. Equal sizes: precision
    and recall exactly. Copies count as images, as there; a group is not kept together.
    Raises: TooFewSamplesError with fewer than k + 1 images on a side. Source: Kynkäänniemi 2019 uses equal sizes.
    Checked against: plain loops over the same draws, prdc 0.2 at equal sizes (equal).
    """
    a, b, full = pair.reference, pair.candidate, support_of(pair)
    if len(a) > len(b):
        share = matched_share(b, a, k=k, seed=pair.seed, working_memory=pair.working_memory)
        return share, full.recall
    if len(b) > len(a):
        share = matched_share(a, b, k=k, seed=pair.seed, working_memory=pair.working_memory)
        return full.precision, share
    return full.precision, full.recall


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """All three at k = 5. coverage_over_null: coverage ÷ what equal distributions show, so 1 expected for those."""
    precision, recall = precision_recall_matched(pair)
    small, large = sorted([len(pair.reference), len(pair.candidate)])
    draws = draws_for(large, small) if large > small else 0
    detail = {"size": float(small), "draws": float(draws)}
    floor = support_floor(pair)
    return {
        "precision_matched": beside(floor, MetricValue(value=precision, detail=detail), floor.matched, (small, small)),
        "recall_matched": beside(floor, MetricValue(value=recall, detail=detail), floor.matched, (small, small)),
        "coverage_over_null": _over_null(pair, floor),
    }


def _over_null(pair: Pair, floor: SupportFloor) -> MetricValue:
    """Coverage over `coverage_null`; over the measured floor where images come in groups or copies, which fill their
    own balls. Not computed where equal sets of such images cover nothing."""
    sizes = (len(pair.reference), len(pair.candidate))
    if nearly_independent(pair):
        null = coverage_null(*sizes)
        return MetricValue(value=support_of(pair).coverage / null, null=1.0, detail={"coverage_null": null})
    if not floor.coverage:
        return not_computed(
            "undefined: images come in groups or copies that fill their own balls, so that equal sets cover nothing "
            "of each other either"
        )
    row = MetricValue(value=support_of(pair).coverage / floor.coverage, detail={"coverage_null": floor.coverage})
    return beside(floor, row, 1.0, sizes)


def _matched_facts(name: str, meaning: str) -> MetricFacts:
    return MetricFacts(
        name=name,
        group="support",
        cost="subsample",
        symmetric=False,
        higher_is_closer=True,
        range=(0.0, 1.0),
        at_identity=1.0,
        # Draws are by content: a rotation makes other bits, and other draws.
        rotation_invariant=False,
        min_samples=DEFAULT_K + 1,
        meaning=meaning,
        source="Kynkäänniemi 2019, sizes matched",
    )


METRICS.add(
    "prdc_matched",
    MetricFamily(
        name="prdc_matched",
        facts=(
            _matched_facts(
                "precision_matched", "Precision with both sides cut to one size, which alone would move it."
            ),
            _matched_facts("recall_matched", "Recall with both sides cut to one size, which alone would move it."),
            MetricFacts(
                name="coverage_over_null",
                group="support",
                cost="neighbours",
                symmetric=False,
                higher_is_closer=True,
                range=(0.0, np.inf),
                at_identity=None,
                rotation_invariant=True,
                min_samples=DEFAULT_K + 1,
                meaning="Coverage over what one distribution shows at these sizes; 1 expected, less where parts lack.",
                source="Naeem 2020, Lemma 2",
            ),
        ),
        compute=compute,
    ),
)
