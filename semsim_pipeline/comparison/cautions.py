"""Why a score should not be read as it stands: said before it, wherever it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from semsim_pipeline.comparison.results import Comparison

Kind = Literal["confound", "too_few", "duplicates"]
UNRESOLVED = "unresolved at this n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """message: one sentence for a person. facts: the numbers in it, by name."""

    kind: Kind
    message: str
    facts: Mapping[str, float] = field(default_factory=dict)


def cautions_of(found: Comparison) -> tuple[Caution, ...]:
    """Everything to know before the score: confounds first, then too few images, then images in both sets."""
    return (*_confounds(found), *_too_few(found), *_duplicates(found))


def _confounds(found: Comparison) -> Iterator[Caution]:
    if found.confounds:
        each = [f"{c.feature} ({c.reference} against {c.candidate}, AUC {c.auc:.2f})" for c in found.confounds]
        yield Caution(
            kind="confound",
            message=f"The sides can be told apart without their content, by {', '.join(each)}: a difference may be "
            "one of files, not of meaning; bring both to one size, format and quality to know",
            facts={f"auc {c.feature}": c.auc for c in found.confounds},
        )


def _too_few(found: Comparison) -> Iterator[Caution]:
    unresolved = found.verdict.text == UNRESOLVED
    if found.status not in {"unreliable", "not_computed"} and not unresolved:
        return
    reason = found.verdict.reason or found.reason or "there are too few images"
    needed = found.verdict.images_needed
    yield Caution(
        kind="too_few",
        message=f"Not resolved with {found.reference.n:,} and {found.candidate.n:,} images: {reason}"
        + (f"; about {needed:,} independent images a side would resolve it" if needed else ""),
        facts={} if needed is None else {"images needed": float(needed)},
    )


def _duplicates(found: Comparison) -> Iterator[Caution]:
    if found.reference.name == found.candidate.name:
        return  # a set against itself is asked for on purpose
    said, facts = [], {}
    exact, near = (found.metrics.get(name) for name in ("exact_duplicates", "near_duplicates"))
    if exact is not None and exact.value:
        said.append(f"{exact.value:,.0f} candidate images are in the reference too, byte for byte")
        facts["exact duplicates"] = exact.value
    if near is not None and near.value and near.value > _by_chance(near.null or 0.0):
        expected = f" ({near.null:.0f} expected by chance)" if near.null else ""
        said.append(f"{near.value:,.0f} are nearer to a reference image than the reference's own ever are{expected}")
        facts["near duplicates"] = near.value
    if said:
        yield Caution(kind="duplicates", message="; ".join(said), facts=facts)


def _by_chance(expected: float) -> float:
    """What a count that is Poisson about `expected` stays below but for 4 standard deviations."""
    return expected + 4 * math.sqrt(max(expected, 1.0))
