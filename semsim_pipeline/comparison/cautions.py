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

TWINS_BY_CHANCE = 0
"""Twins by perceptual hash that two sets without a common picture have: of 2.5 billion pairs of a real and a generated
CIFAKE image not one is as near as 24 of 256 bits. So the first twin is worth a look (of pictures of a few pixels, too:
they may be alike without being copies, which only a look can tell)."""


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
        said.append(f"{_candidates(exact.value)} in the reference too, byte for byte")
        facts["exact duplicates"] = exact.value
    by_hash, by_embedding = (0.0 if near is None else near.detail.get(way, 0.0) for way in ("by_hash", "by_embedding"))
    if by_hash > TWINS_BY_CHANCE:
        said.append(
            f"{_candidates(by_hash)} as like a reference image, by perceptual hash, as a copy that was resized or "
            "compressed again"
        )
        facts["near duplicates by hash"] = by_hash
    expected = 0.0 if near is None else near.null or 0.0
    if by_embedding > _by_chance(expected):
        said.append(
            f"{_candidates(by_embedding)} nearer to a reference image in the embedding than 99.9 % of the reference's "
            f"own are to their nearest (about {expected:,.0f} expected by chance)"
        )
        facts["near duplicates by embedding"] = by_embedding
    if said:
        yield Caution(kind="duplicates", message="; ".join(said), facts=facts)


def _candidates(count: float) -> str:
    return f"{count:,.0f} candidate {'image is' if count == 1 else 'images are'}"


def _by_chance(expected: float) -> float:
    """What a count by embedding stays below but for 4 standard deviations: it is Poisson about `expected`, the 0.1 % of
    images that lie beyond the reference's own 0.1 % quantile."""
    return expected + 4 * math.sqrt(max(expected, 1.0))
