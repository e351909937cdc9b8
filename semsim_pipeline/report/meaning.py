"""How a metric is computed and what it cannot say, in words made from its facts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from semsim_pipeline.comparison.words import GROUPS, number
from semsim_pipeline.metrics.base import Cost, MetricFacts, metric_facts

METHODS: dict[Cost, str] = {
    "one pass": "One pass over the embeddings.",
    "blocks": "All pairs of images, block by block.",
    "neighbours": "Exact nearest neighbours among all images.",
    "subsample": "On a seeded sample of the images.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A metric for people."""

    facts: MetricFacts
    method: str
    limits: str


def meanings(names: Iterable[str]) -> list[Meaning]:
    """Those of the named metrics that are registered, in a score card's order, the headline first."""
    known = metric_facts()
    facts = sorted(
        (known[name] for name in set(names) if name in known), key=lambda each: (GROUPS.index(each.group), each.name)
    )
    return [Meaning(facts=each, method=METHODS[each.cost], limits=limits_of(each)) for each in facts]


def limits_of(facts: MetricFacts) -> str:
    """Range, direction, fewest images, and what makes it hard to read."""
    low, high = facts.range
    bounds = {
        (True, True): f"Between {number(low) if math.isfinite(low) else low} and "
        f"{number(high) if math.isfinite(high) else high}",
        (True, False): f"At least {number(low) if math.isfinite(low) else low}",
        (False, True): f"At most {number(high) if math.isfinite(high) else high}",
        (False, False): "Any number",
    }[math.isfinite(low), math.isfinite(high)]
    closer = {True: "; higher is closer", False: "; lower is closer", None: ""}[facts.higher_is_closer]
    said = [f"{bounds}{closer}; needs {facts.min_samples:,} image{'s' if facts.min_samples != 1 else ''} a side."]
    if facts.min_reference > facts.min_samples:
        said.append(f"Needs {facts.min_reference:,} images in the reference.")
    if not facts.symmetric:
        said.append("Not the same with the sides exchanged.")
    if facts.at_identity is None:
        said.append("What equal sets show depends on n: read it beside “if equal”.")
    if facts.no_null:
        said.append(f"Without “if equal”: {facts.no_null}.")
    if "background" in facts.needs:
        said.append("Needs the encoder's background.")
    return " ".join(said)
