"""Scores on disk by what they depend on: `scores/results/<version>.json`. The same question is never scored twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.stored import from_record, to_record
from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.metrics.score_card import SCORE_VERSION
from semsim_pipeline.records import Background

if TYPE_CHECKING:
    from semsim_pipeline.comparison.assess import EncoderIdentity
    from semsim_pipeline.comparison.selected import SelectedView

SCHEMA = 1
VERSION_DIGITS = 32
"""Of a version in the names of files: those of scores, pictures and matrices."""

Inputs = Mapping[str, str | int | None]
"""What a score depends on: a name for people, and a value that differs where the score may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScore:
    """One version of a score. scored_at: UTC, ISO 8601, when it was computed. seconds: that it took."""

    version: str
    scored_at: str
    seconds: float
    comparison: Comparison
    inputs: Inputs = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How a pair is scored, beside its rows. metrics: None for the whole card. clusters: match them without labels."""

    seed: int
    permutations: int
    metrics: Sequence[str] | None = None
    clusters: bool = False


def score_inputs(
    reference: SelectedView, candidate: SelectedView, encoder: EncoderIdentity, scoring: Scoring
) -> Inputs:
    """Everything that a comparison's record depends on, by name: the sides with their rows in order, the encoder with
    its set and background, seed, permutations, the metrics asked for, and the version of the metrics' code."""
    return {
        "metric code": SCORE_VERSION,
        "reference": f"{reference.name} ({reference.n} images, {reference.version()})",
        "candidate": f"{candidate.name} ({candidate.n} images, {candidate.version()})",
        "encoder": f"{encoder.name} ({encoder.fingerprint})",
        "background": None if encoder.background is None else encoder.background.id,
        "seed": scoring.seed,
        "permutations": scoring.permutations,
        "clusters": int(scoring.clusters),
        "metrics": None if scoring.metrics is None else ",".join(sorted(set(scoring.metrics))),
    }


def score_version(inputs: Inputs) -> str:
    """SHA-256 in hex of a score's inputs."""
    return digest_of(dict(inputs))


def result_file(home: Path, version: str) -> Path:
    """Where one version is."""
    return home / "scores" / "results" / version[:2] / f"{version[:VERSION_DIGITS]}.json"


def find_result(home: Path, version: str, background: Background | None = None) -> StoredScore | None:
    """The score for exactly these inputs; None where it has to be computed (a damaged file counts as none).

    background: the one in use, to be put back whole: the file holds its id and numbers, not its mean row.
    """
    try:
        found = read_json(result_file(home, version))
        if found is None or found.get("schema") != SCHEMA or found.get("version") != version:
            return None
        record = found["record"]
        if not isinstance(record, Mapping):
            return None
        return StoredScore(
            version=version,
            scored_at=str(found["scored_at"]),
            seconds=float(str(found["seconds"])),
            comparison=_with_background(from_record(record), background),
            inputs=_inputs(found.get("inputs")),
        )
    except (StoreError, KeyError, ValueError):
        return None


def _with_background(found: Comparison, background: Background | None) -> Comparison:
    if background is None or found.background is None or found.background.id != background.id:
        return found
    headline = None if found.similarity is None else replace(found.similarity, background=background)
    return replace(found, background=background, similarity=headline)


def _inputs(found: object) -> Inputs:
    kept = found.items() if isinstance(found, Mapping) else ()
    return {str(name): value if isinstance(value, int | None) else str(value) for name, value in kept}


def keep_result(home: Path, inputs: Inputs, comparison: Comparison, seconds: float) -> StoredScore:
    """Keep a score. Raises StoreError."""
    version = score_version(inputs)
    stored = StoredScore(
        version=version,
        inputs=inputs,
        scored_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        comparison=comparison,
    )
    write_json(
        result_file(home, version),
        {
            "schema": SCHEMA,
            "version": version,
            "scored_at": stored.scored_at,
            "seconds": stored.seconds,
            "inputs": dict(inputs),
            "result": comparison.to_json(),
            "record": to_record(comparison),
        },
    )
    return stored
