"""What a quality gate is, what it found, and the list of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from semsim_pipeline.stages.outcome import Row, Stage

Severity = Literal["ERROR", "WARN"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFacts:
    """One gate. blocking: what stands on a partition that fails it is not done. alert: a failure is news for whoever
    listens (the webhook)."""

    stage: Stage
    name: str
    description: str
    severity: Severity = "WARN"
    blocking: bool = False
    alert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a gate found on one partition. message: one sentence, also where it passed. version: of what was looked at.

    numbers: measured values. rows: a table, such as the pairs that failed.
    """

    facts: CheckFacts
    partition: str
    passed: bool
    message: str
    version: str = ""
    numbers: Mapping[str, float | int] = field(default_factory=dict)
    rows: Sequence[Row] = ()

    @property
    def blocks(self) -> bool:
        """Whether nothing may be built on this partition."""
        return self.facts.blocking and not self.passed

    @property
    def line(self) -> str:
        """For a log or a terminal: which gate of what, and what it found."""
        return f"{self.facts.name} of {self.facts.stage} {self.partition}: {self.message}"


CHECKS: tuple[CheckFacts, ...] = (
    CheckFacts(
        stage="dataset_manifest",
        name="not_empty",
        severity="ERROR",
        blocking=True,
        description="There are images, and at least one can be opened.",
    ),
    CheckFacts(
        stage="dataset_manifest",
        name="images_readable",
        severity="ERROR",
        blocking=True,
        description="The share of images that cannot be opened is within `thresholds.failed_images` (usually 5 %): "
        "of the comparisons that use the dataset, the most patient one's.",
    ),
    CheckFacts(
        stage="dataset_manifest",
        name="images_kept",
        description="At least half of the images of the scan before are still there.",
    ),
    CheckFacts(
        stage="dataset_manifest",
        name="classes_present",
        description="Every class that the catalogue or the source declares has an image.",
    ),
    CheckFacts(
        stage="embeddings",
        name="parts_whole",
        severity="ERROR",
        blocking=True,
        description="Every part that the set's manifest names is there, readable, as long and as wide as it says.",
    ),
    CheckFacts(
        stage="embeddings",
        name="all_accounted",
        severity="ERROR",
        blocking=True,
        description="Seen = embedded + failed, counted anew from the manifest and the parts.",
    ),
    CheckFacts(
        stage="embeddings",
        name="vectors_sound",
        severity="ERROR",
        blocking=True,
        description="No embedding of this dataset holds NaN or infinity, or is all zeros.",
    ),
    CheckFacts(
        stage="embeddings",
        name="images_embedded",
        severity="ERROR",
        blocking=True,
        description="The share of images without an embedding is within `thresholds.failed_images`, as above.",
    ),
    CheckFacts(
        stage="pair_metrics",
        name="no_confound",
        description="Size, shape, format or compression of the files does not separate the sides by itself. Read this "
        "before the score.",
    ),
    CheckFacts(
        stage="pair_metrics",
        name="enough_images",
        description="There are enough independent images for a verdict.",
    ),
    CheckFacts(
        stage="pair_metrics",
        name="no_duplicates_across",
        description="No image is in both sets, byte for byte or nearly so (a set against itself is left out).",
    ),
    CheckFacts(
        stage="pair_metrics",
        name="images_scored",
        description="On each side the share of images that are not scored is within `thresholds.failed_images`: of the "
        "comparisons that name the pair, the strictest one's.",
    ),
    CheckFacts(
        stage="pair_metrics",
        name="score_steady",
        alert=True,
        description="The score lies where the one before lets it: within the two 95 % intervals' half-widths, in "
        "quadrature. Scores of another encoder, background, seed or metric code are not held against each other.",
    ),
    CheckFacts(
        stage="pair_metrics",
        name="above_threshold",
        severity="ERROR",
        alert=True,
        description="The score is at least `thresholds.similarity` of every comparison that names the pair.",
    ),
    CheckFacts(
        stage="report",
        name="all_pairs_current",
        severity="ERROR",
        description="No pair of the comparison is failed, stale or missing. Run it at any time: it looks at the "
        "sources as they are now and computes nothing.",
    ),
)
"""In the order in which data flows, and for each stage in the order in which to read them."""


def facts_of(stage: Stage) -> dict[str, CheckFacts]:
    """A stage's gates by name."""
    return {facts.name: facts for facts in CHECKS if facts.stage == stage}
