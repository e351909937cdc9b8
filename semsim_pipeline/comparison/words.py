"""Results as words and cells that the terminal and the page share."""

from __future__ import annotations

from typing import get_args

from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.metrics.base import Group, MetricFacts, metric_facts
from semsim_pipeline.metrics.verdict import ALPHA
from semsim_pipeline.records import MetricValue

GROUPS: tuple[Group, ...] = get_args(Group)


def ordered_metrics(result: Comparison) -> list[tuple[MetricFacts, MetricValue]]:
    """The score card's rows, from where the sets are to how they overlap."""
    facts = metric_facts()
    names = sorted(result.metrics, key=lambda name: (GROUPS.index(facts[name].group), name))
    return [(facts[name], result.metrics[name]) for name in names]


def evidence(result: Comparison) -> str:
    """What the permutation test says, without contradicting the verdict: a tiny difference can be certain."""
    found = result.similarity
    if found is None:
        return "not tested"
    if found.p_value > ALPHA:
        return "no evidence of a difference"
    if result.verdict.text == "indistinguishable":
        return "a difference can be measured at this n, but it is too small to matter on this scale"
    return "the sets differ beyond chance"


def said_of(facts: MetricFacts, value: MetricValue) -> str:
    """What a row says: the metric's meaning, with what this value leaves out; or why there is none."""
    if value.value is None:
        return f"not computed: {value.reason}"
    return f"{facts.meaning} Here {value.reason}." if value.reason else facts.meaning


def number(value: float) -> str:
    """Four significant digits, never fewer than a score needs.

    >>> number(0.98765), number(1234.5), number(0.000012), number(3)
    ('0.9877', '1234', '1.2e-05', '3')
    """
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if 0.001 <= abs(value) < 1:
        return f"{value:.4f}"
    return f"{value:.4g}"


def interval_text(value: MetricValue) -> str:
    """`low … high`, or nothing."""
    return "" if value.interval is None else f"{number(value.interval[0])} … {number(value.interval[1])}"
