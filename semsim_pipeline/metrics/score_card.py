"""The score card: every metric of a pair, or the named ones; what cannot be computed is a row with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from semsim_pipeline.errors import (
    InvalidEmbeddingsError,
    TooFewSamplesError,
    UndefinedMetricError,
    UnknownNameError,
    did_you_mean,
)
from semsim_pipeline.metrics.base import METRICS, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.large_sets import compares_all_pairs, for_pairs, with_note
from semsim_pipeline.metrics.shared_passes import share_passes
from semsim_pipeline.records import MetricValue, not_computed

SCORE_VERSION = 9
"""Raised with every change of what a score says (a value, a caution beside it): stored scores of another version are
computed again."""


def select(names: Sequence[str] | None) -> list[tuple[MetricFamily, tuple[MetricFacts, ...]]]:
    """Families in registry order with the facts asked for; a family's name stands for all its metrics.

    Where a metric and its family share a name (`kid`), the family is meant. None means everything.
    Raises UnknownNameError with the nearest known name.
    """
    families = list(METRICS)
    if names is None:
        return [(family, family.facts) for family in families]
    known = {family.name for family in families} | {facts.name for family in families for facts in family.facts}
    for name in names:
        if name not in known:
            raise UnknownNameError(did_you_mean("metric", name, known))
    asked = frozenset(names)
    chosen = [
        (family, tuple(f for f in family.facts if family.name in asked or f.name in asked)) for family in families
    ]
    return [(family, facts) for family, facts in chosen if facts]


def too_few(facts: MetricFacts, pair: Pair) -> str | None:
    """Why a metric cannot be computed for want of images, or None where it can."""
    short = [
        f"{word} has {len(side)}"
        for word, side in (("reference", pair.reference), ("candidate", pair.candidate))
        if len(side) < facts.min_samples
    ]
    if not short:
        return None
    plural = "image" if facts.min_samples == 1 else "images"
    return f"needs at least {facts.min_samples} {plural} a side; {' and '.join(short)}"


def score_card(pair: Pair, families: Sequence[str] | None = None) -> dict[str, MetricValue]:
    """Metric name to value, in registry order; `families` holds family or metric names, None means all.

    A metric that has too few images, no value on these rows, or rows it cannot use becomes a `not_computed` row with
    the reason; any other error is a fault and is raised.
    Above 50,000 images a side what compares all pairs does so on a seeded sample, and its `note` says so.
    Raises: UnknownNameError before any work. Memory: that of the dearest family.
    """
    card: dict[str, MetricValue] = {}
    chosen = select(families)
    share_passes(for_pairs(pair), [family.name for family, _ in chosen])
    for family, wanted in chosen:
        card.update(_rows(family, wanted, pair))
    return card


def _rows(family: MetricFamily, wanted: Sequence[MetricFacts], pair: Pair) -> dict[str, MetricValue]:
    reasons = {facts.name: too_few(facts, pair) for facts in wanted}
    if all(reasons.values()):
        return {name: not_computed(reason) for name, reason in reasons.items() if reason}
    try:
        used = for_pairs(pair) if compares_all_pairs(family) else pair
        values = {name: with_note(value, pair, used) for name, value in family.compute(used).items()}
    except (TooFewSamplesError, UndefinedMetricError, InvalidEmbeddingsError) as refusal:
        return {facts.name: not_computed(reasons[facts.name] or str(refusal)) for facts in wanted}
    return {name: values[name] if reason is None else not_computed(reason) for name, reason in reasons.items()}
