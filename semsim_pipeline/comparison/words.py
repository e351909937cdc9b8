"""Results as words and cells that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.metrics.base import Group, MetricFacts, metric_facts
from semsim_pipeline.metrics.class_table import ClassTable, MatchedClasses
from semsim_pipeline.metrics.verdict import ALPHA, DIFFERENT_YET_ALIKE
from semsim_pipeline.records import MetricValue

CROSSED_SHOWN = 5

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
    if not differs(result):
        return "no evidence of a difference" + (" once all tests count" if found.p_value <= ALPHA else "")
    if result.different_yet_alike:
        return DIFFERENT_YET_ALIKE
    return "the sets differ beyond chance"


def differs(result: Comparison) -> bool:
    """The sets differ beyond chance, every test of the family considered."""
    return result.differs


def p_value_text(result: Comparison) -> str:
    """The p-value with its permutations, and adjusted where it is one of several."""
    found, family = result.similarity, result.family
    if found is None or family is None:
        return ""
    text = f"p = {found.p_value:.3g} ({found.permutations:,} permutations)"
    if family.tests == 1:
        return text
    return f"{text}, {family.benjamini_hochberg:.3g} adjusted over {family.tests:,} tests"


def said_of(facts: MetricFacts, value: MetricValue) -> str:
    """What a row says: the metric's meaning, with what this value leaves out; or why there is none."""
    if value.value is None:
        return f"not computed: {value.reason}"
    said = f"{facts.meaning} Here {value.reason}." if value.reason else facts.meaning
    return f"{said} (of a sample)" if value.note else said


def classes_lines(result: Comparison) -> list[str]:
    """The matching of classes in a line or two; nothing where there is none."""
    table = result.classes
    if table is None:
        return [] if result.classes_reason is None else [f"Classes: not compared: {result.classes_reason}."]
    a, b = len(table.reference_classes), len(table.candidate_classes)
    by = "k-means clusters" if table.columns is None else f"classes by {table.columns[0]!r}"
    floor = "" if table.mean_floor is None else f" (mean floor {table.mean_floor:.3f})"
    least = min(table.matches, key=lambda match: match.similarity)
    lines = [
        f"{a} and {b} {by}, {len(table.matches)} matched: mean similarity {table.mean_similarity:.3f}{floor}; "
        f"least alike: {match_name(least)}, {least.similarity:.3f}."
    ]
    crossed = [match for match in table.matches if not table.clustered and match.reference != match.candidate]
    if crossed:
        shown = ", ".join(match_name(match) for match in crossed[:CROSSED_SHOWN])
        lines.append(f"Matched across names: {shown}{' …' if len(crossed) > CROSSED_SHOWN else ''}.")
    return lines


def classes_markdown(result: Comparison) -> list[str]:
    """The matched classes as one table in Markdown; nothing where there are none."""
    if result.classes is None:
        return []
    head = ["| reference | candidate | similarity | floor | Fréchet |", "|---|---|---|---|---|"]
    rows = [
        f"| {_cell(match.reference)} | {_cell(match.candidate)} | {match.similarity:.4f} "
        f"| {'–' if match.floor is None else f'{match.floor:.4f}'} "
        f"| {'–' if match.frechet_distance is None else number(match.frechet_distance)} |"
        for match in result.classes.matches
    ]
    said = gaussians_line(result.classes)
    return ["\n".join([*head, *rows]), *([] if said is None else [said])]


def gaussians_line(table: ClassTable) -> str | None:
    """Why the column of Fréchet distances of the matched classes has gaps; None where it has none."""
    if table.gaussians_reason is None or all(match.frechet_distance is not None for match in table.matches):
        return None
    return f"No Fréchet distance: {table.gaussians_reason}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def match_name(match: MatchedClasses) -> str:
    """`cat`, or `cat ↔ dog` where the names differ."""
    return match.reference if match.reference == match.candidate else f"{match.reference} ↔ {match.candidate}"


def agreement_lines(result: Comparison) -> list[str]:
    """What the other encoders of one call have to do with this one, a sentence each."""
    return [each.meaning for each in result.agreement]


def agreement_of_all(results: Sequence[Comparison]) -> list[str]:
    """Every two encoders once, a sentence each."""
    said: dict[frozenset[str], str] = {}
    for result in results:
        for each in result.agreement:
            said.setdefault(frozenset((result.encoder, each.other)), each.meaning)
    return list(said.values())


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
