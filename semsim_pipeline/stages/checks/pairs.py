"""Gates of a pair's score: what to know before reading it, whether it moved, and whether it is high enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from semsim_pipeline.catalog import Comparison
from semsim_pipeline.comparison.cautions import Caution, Kind
from semsim_pipeline.comparison.results import Comparison as Score
from semsim_pipeline.comparison.score_store import StoredScore, find_result, result_file
from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import Plain
from semsim_pipeline.json_file import read_json
from semsim_pipeline.stages.checks.kept import kept
from semsim_pipeline.stages.checks.records import CheckFacts, CheckResult, facts_of
from semsim_pipeline.stages.score_store import current_score, pair_file
from semsim_pipeline.stages.workspace import Workspace, known

CAUTIONS: dict[str, tuple[Kind, str]] = {
    "no_confound": ("confound", "The files' size, shape, format and compression do not separate the sides"),
    "enough_images": ("too_few", "{n} and {m} images are enough for the verdict {verdict!r}"),
    "no_duplicates_across": ("duplicates", "No image is known to be in both sets"),
}
"""The gates that repeat a caution of the score, and what they say where there is none."""

SAME = ("metric code", "encoder", "background", "seed")
"""The inputs of a score that are no data: where one of them differs, a score moved for another reason than its data."""


def check_pair(workspace: Workspace, key: str) -> list[CheckResult]:
    """The gates of `pair_metrics` for a pair's valid score. Raises UnknownNameError; StoreError where it has none.

    The same score under the same thresholds, after the same one, is looked at once (`pipeline/checks`).
    """
    pair = known(workspace.catalog.pairs, "pair", key)
    named = [workspace.catalog.comparisons[name] for name in pair.comparisons]
    current, before = _versions(workspace.home, key)
    if current is None or not result_file(workspace.home, current).is_file():
        return _looked_at(workspace, key, named)  # which says what is missing
    limits: list[Plain] = [[c.name, c.thresholds.similarity, c.thresholds.failed_images] for c in named]
    path = workspace.home / "pipeline" / "checks" / f"{key}.json"
    of: list[Plain] = [current, before, limits]
    return kept(path, "pair_metrics", key, of, lambda: _looked_at(workspace, key, named))


def _looked_at(workspace: Workspace, key: str, named: list[Comparison]) -> list[CheckResult]:
    stored = current_score(workspace.home, key)
    if stored is None:
        raise StoreError(f"{key} is not scored yet: materialise `pair_metrics` of it, or run `semsim rescore`.")
    gates = facts_of("pair_metrics")
    at = (key, stored.version)
    return [
        *(_caution(gates[name], at, stored.comparison, *CAUTIONS[name]) for name in CAUTIONS),
        _scored(gates["images_scored"], at, stored.comparison, named),
        _steady(gates["score_steady"], at, stored, previous_score(workspace.home, key)),
        _above(gates["above_threshold"], at, stored.comparison, named),
    ]


def previous_score(home: Path, key: str) -> StoredScore | None:
    """The score that was valid before the current one; None where there was none, or its result has gone.

    Raises StoreError where the pair's file is damaged.
    """
    _, before = _versions(home, key)
    return None if before is None else find_result(home, before)


def _versions(home: Path, key: str) -> tuple[str | None, str | None]:
    """The pair's valid score and the one before it."""
    pointer: Mapping[str, object] = read_json(pair_file(home, key)) or {}
    current, past = pointer.get("current"), pointer.get("history")
    versions = [str(each["version"]) for each in (past if isinstance(past, list) else []) if "version" in each]
    # The last entry is the current one. By place, not by time: a clock may have been set back.
    before = next((version for version in reversed(versions) if version != current), None)
    return None if current is None else str(current), before


def _result(
    facts: CheckFacts,
    at: tuple[str, str],
    *,
    passed: bool,
    message: str,
    numbers: Mapping[str, float | int] | None = None,
) -> CheckResult:
    partition, version = at
    return CheckResult(
        facts=facts, partition=partition, version=version, passed=passed, message=f"{message}.", numbers=numbers or {}
    )


def _caution(facts: CheckFacts, at: tuple[str, str], score: Score, kind: Kind, otherwise: str) -> CheckResult:
    found: Caution | None = next((each for each in score.cautions if each.kind == kind), None)
    if found is not None:
        return _result(facts, at, passed=False, message=found.message, numbers=found.facts)
    n, m = f"{score.reference.n:,}", f"{score.candidate.n:,}"
    return _result(facts, at, passed=True, message=otherwise.format(n=n, m=m, verdict=score.verdict.text))


def _scored(facts: CheckFacts, at: tuple[str, str], score: Score, named: list[Comparison]) -> CheckResult:
    most = min((comparison.thresholds.failed_images for comparison in named), default=1.0)
    sides = {"reference": score.reference, "candidate": score.candidate}
    shares = {name: side.failed / max(1, side.n + side.failed) for name, side in sides.items()}
    said = ", ".join(f"{share:.1%} of the {name}" for name, share in shares.items())
    passed = max(shares.values()) <= most
    return _result(
        facts,
        at,
        passed=passed,
        message=f"Not scored: {said}; up to {most:.1%} may be",
        numbers={**{f"share_{name}": share for name, share in shares.items()}, "allowed": most},
    )


def _steady(facts: CheckFacts, at: tuple[str, str], stored: StoredScore, before: StoredScore | None) -> CheckResult:
    if before is None:
        return _result(facts, at, passed=True, message="This is the first score; there is nothing to compare it with")
    other = [name for name in SAME if stored.inputs.get(name) != before.inputs.get(name)]
    if other:
        return _result(
            facts, at, passed=True, message=f"Not compared with the score before: {', '.join(other)} changed"
        )
    now, then = stored.comparison, before.comparison
    widths = [_half_width(score) for score in (now, then)]
    if now.similarity is None or then.similarity is None or None in widths:
        reason = "a score without an interval cannot be compared"
        return _result(facts, at, passed=True, message=f"Not compared with the score before: {reason}")
    moved = now.similarity.raw - then.similarity.raw
    allowed = math.hypot(*(width or 0.0 for width in widths))
    return _result(
        facts,
        at,
        passed=abs(moved) <= allowed,
        message=f"{then.similarity.raw:.3f} ({before.scored_at}) → {now.similarity.raw:.3f} ({moved:+.3f}); the two "
        f"95 % intervals allow {allowed:.3f}",
        numbers={"moved": moved, "allowed": allowed, "before": then.similarity.raw, "similarity": now.similarity.raw},
    )


def _half_width(score: Score) -> float | None:
    if score.similarity is None:
        return None
    low, high = score.similarity.interval
    width = (high - low) / 2
    return width if math.isfinite(width) else None


def _above(facts: CheckFacts, at: tuple[str, str], score: Score, named: list[Comparison]) -> CheckResult:
    wanted = [(c.thresholds.similarity, c.name) for c in named if c.thresholds.similarity is not None]
    if not wanted:
        return _result(facts, at, passed=True, message="No comparison sets a threshold for this pair")
    least, name = max(wanted)
    if score.value is None:
        reason = score.reason or score.verdict.reason or "no value"
        message = f"There is no score to hold against the threshold {least:g} of {name}: {reason}"
        return _result(facts, at, passed=False, message=message, numbers={"threshold": least})
    passed = score.value >= least
    return _result(
        facts,
        at,
        passed=passed,
        message=f"{score.value:.3f} is {'at least' if passed else 'below'} the threshold {least:g} of {name}",
        numbers={"similarity": score.value, "threshold": least},
    )
