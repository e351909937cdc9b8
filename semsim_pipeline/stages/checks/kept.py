"""What a gate found, kept for as long as what it looked at is the same: a thousand unchanged pairs cost a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import Plain, digest_of
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.stages.checks.records import CheckResult, facts_of
from semsim_pipeline.stages.outcome import Stage

CHECKS_VERSION = 1
"""Raised when a gate would find something else, or say it in other words."""


def kept(
    path: Path, stage: Stage, partition: str, of: Sequence[Plain], look: Callable[[], list[CheckResult]]
) -> list[CheckResult]:
    """What is in `path` where it was found for exactly `of`; else what `look` finds, written there.

    Raises what `look` raises; StoreError. Tables are not kept.
    """
    asked = digest_of([CHECKS_VERSION, *of])
    try:
        said = read_json(path)
        if said is not None and said.get("of") == asked:
            return _read(said["found"], stage, partition)
    except (StoreError, KeyError, TypeError):
        pass  # damaged: looked at again and written over
    found = look()
    rows = [
        {
            "name": each.facts.name,
            "passed": each.passed,
            "message": each.message,
            "version": each.version,
            "numbers": dict(each.numbers),
        }
        for each in found
    ]
    write_json(path, {"of": asked, "found": rows})
    return found


def _read(rows: object, stage: Stage, partition: str) -> list[CheckResult]:
    gates = facts_of(stage)
    if not isinstance(rows, list):
        raise TypeError("no list of results")
    return [
        CheckResult(
            facts=gates[row["name"]],
            partition=partition,
            passed=row["passed"],
            message=row["message"],
            version=row["version"],
            numbers=row["numbers"],
        )
        for row in rows
    ]
