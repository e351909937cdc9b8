"""The answer of one comparison, and its JSON (schema 1): what scripts and pages rely on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from semsim_pipeline.comparison.cautions import Caution, cautions_of
from semsim_pipeline.comparison.classes_json import Json, classes_json
from semsim_pipeline.comparison.confounds import Confound
from semsim_pipeline.comparison.encoder_pairs import EncoderPair, pair_json
from semsim_pipeline.metrics.class_table import ClassTable
from semsim_pipeline.metrics.similarity import Ceiling, Similarity
from semsim_pipeline.metrics.verdict import ALPHA, DIFFERENT_YET_ALIKE, INDISTINGUISHABLE_WORD, Verdict
from semsim_pipeline.records import Background, MetricValue

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSummary:
    """name: the view as asked for. n: images scored, the manifest's rows that have an embedding. failed: its others."""

    name: str
    n: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustedP:
    """A p-value among others: adjusted over `tests` of them, never below the raw one; see `metrics.multiplicity`."""

    benjamini_hochberg: float
    holm: float
    tests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One pair under one encoder.

    similarity is None exactly where it could not be computed, with `reason`. metrics: the score card without the
    headline. background: None where not even a bandwidth could be found. classes: the table of classes and their
    matching, None where there are no labels, where only some metrics were asked for, or where it could not be made,
    then with `classes_reason`. agreement: with the other encoders of one call, on each side's images. adjusted_p: among
    the pairs or encoders that it is shown with; None for a score alone, which is a family of one. confounds: facts of
    the files that separate the sides, known where there are files.
    """

    encoder: str
    encoder_fingerprint: str
    background: Background | None
    seed: int
    version: str
    reference: SideSummary
    candidate: SideSummary
    overlap: int
    similarity: Similarity | None
    verdict: Verdict
    reason: str | None
    metrics: Mapping[str, MetricValue]
    classes: ClassTable | None = None
    classes_reason: str | None = None
    agreement: tuple[EncoderPair, ...] = ()
    adjusted_p: AdjustedP | None = None
    confounds: tuple[Confound, ...] = ()

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """Why the score should not be read as it stands, the gravest first."""
        return cautions_of(self)

    @property
    def family(self) -> AdjustedP | None:
        """The adjusted p-value; of a score alone, the raw one. None where nothing was tested."""
        if self.adjusted_p is not None or self.similarity is None:
            return self.adjusted_p
        p_value = self.similarity.p_value
        return AdjustedP(benjamini_hochberg=p_value, holm=p_value, tests=1)

    @property
    def differs(self) -> bool:
        """The sets differ beyond chance, every test of the family considered."""
        return self.family is not None and self.family.benjamini_hochberg <= ALPHA

    @property
    def different_yet_alike(self) -> bool:
        """The verdict is *indistinguishable* although the sets differ beyond chance."""
        return self.differs and self.verdict.text == INDISTINGUISHABLE_WORD

    @property
    def value(self) -> float | None:
        """The headline in [0, 1]; None where it is unreliable or could not be computed."""
        return None if self.similarity is None else self.similarity.value

    @property
    def status(self) -> str:
        """`ok`, `uncalibrated`, `unreliable` or `not_computed`."""
        return "not_computed" if self.similarity is None else self.similarity.status

    def to_json(self) -> dict[str, Json]:
        """Plain values only; never NaN or infinity."""
        return {
            "schema": SCHEMA,
            "encoder": self.encoder,
            "encoder_fingerprint": self.encoder_fingerprint,
            "background": _background(self.background),
            "seed": self.seed,
            "versions": {"semsim": self.version},
            "reference": {"name": self.reference.name, "n": self.reference.n, "failed": self.reference.failed},
            "candidate": {"name": self.candidate.name, "n": self.candidate.n, "failed": self.candidate.failed},
            "overlap": self.overlap,
            "similarity": self._headline(),
            "metrics": {name: _metric(value) for name, value in self.metrics.items()},
            **classes_json(self.classes, self.classes_reason),
            **({"warnings": [_caution(each) for each in self.cautions]} if self.cautions else {}),
            **({"agreement": [pair_json(each) for each in self.agreement]} if self.agreement else {}),
        }

    def _headline(self) -> dict[str, Json]:
        found = self.similarity
        if found is None:
            nothing: Json = {"value": None, "interval": None}
            return {
                "value": None,
                "raw": None,
                "interval": None,
                "floor": None,
                "ceiling": {"reference": nothing, "candidate": nothing},
                "p_value": None,
                "p_adjusted": None,
                "verdict": self.verdict.text,
                "status": "not_computed",
                "reason": self.reason,
            }
        reason = found.reason or self.verdict.reason or (DIFFERENT_YET_ALIKE if self.different_yet_alike else None)
        return {
            "value": found.value,
            "raw": found.raw,
            "interval": _interval(found.interval),
            "floor": found.floor,
            "ceiling": {
                "reference": _ceiling(found.ceiling_reference),
                "candidate": _ceiling(found.ceiling_candidate),
            },
            "p_value": found.p_value,
            "p_adjusted": _adjusted(self.family),
            "verdict": self.verdict.text,
            "status": found.status,
            **({} if found.sampled is None else {"sampled": _sampled(found.sampled)}),
            **({} if reason is None else {"reason": reason}),
            **({} if self.verdict.images_needed is None else {"images_needed": self.verdict.images_needed}),
        }


def _caution(caution: Caution) -> Json:
    return {"kind": caution.kind, "message": f"{caution.message}.", "facts": dict(caution.facts)}


def _sampled(images: tuple[int, int]) -> Json:
    return {"reference": images[0], "candidate": images[1]}


def _background(background: Background | None) -> Json:
    if background is None:
        return None
    return {"id": background.id, "bandwidth": background.bandwidth, "source": background.source}


def _adjusted(found: AdjustedP | None) -> Json:
    if found is None:
        return None
    return {"benjamini_hochberg": found.benjamini_hochberg, "holm": found.holm, "tests": found.tests}


def _ceiling(ceiling: Ceiling) -> Json:
    return {"value": ceiling.value, "interval": _interval(ceiling.interval)}


def _interval(interval: tuple[float, float] | None) -> Json:
    if interval is None or not all(math.isfinite(end) for end in interval):
        return None
    return list(interval)


def _metric(value: MetricValue) -> Json:
    if value.status == "not_computed":
        return {"value": None, "status": value.status, "reason": value.reason}
    row: dict[str, Json] = {
        "value": value.value,
        "interval": _interval(value.interval),
        "null": value.null,
        "status": value.status,
    }
    if value.reason:
        row["reason"] = value.reason
    if value.detail:
        row["detail"] = {name: number for name, number in value.detail.items() if math.isfinite(number)}
    if value.note:
        row["note"] = value.note
    return row
