"""The standing gate of a comparison: which of its pairs have no score for what is there now, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from semsim_pipeline.stages.checks.records import CheckResult, facts_of
from semsim_pipeline.stages.outcome import Row
from semsim_pipeline.stages.status import PairStatus, status_of
from semsim_pipeline.stages.workspace import Workspace, known

MOST_ROWS = 200
MOST_NAMED = 3
GRAVEST = ("failed", "missing", "stale")


def check_comparison(workspace: Workspace, name: str, broken: Mapping[str, str] | None = None) -> list[CheckResult]:
    """The gate of `report`: looks at the sources as they are now and computes nothing, as `semsim status` does.

    broken: pairs that a run which has just ended left behind, with its reason; then nothing is looked at anew, and
    every other pair counts as current. Raises UnknownNameError, StoreError.
    """
    comparison = known(workspace.catalog.comparisons, "comparison", name)
    if broken is None:
        pairs = {key: workspace.catalog.pairs[key] for key in comparison.pairs}
        states = status_of(replace(workspace, catalog=replace(workspace.catalog, pairs=pairs)))
    else:
        states = {key: PairStatus(state="failed", why=why) for key, why in broken.items() if key in comparison.labels}
    behind = {key: each for key, each in states.items() if each.state != "fresh"}
    ordered = sorted(behind, key=lambda key: GRAVEST.index(behind[key].state))
    rows: list[Row] = [{"pair": key, "state": behind[key].state, "why": behind[key].why} for key in ordered[:MOST_ROWS]]
    numbers = {state: sum(each.state == state for each in behind.values()) for state in GRAVEST}
    return [
        CheckResult(
            facts=facts_of("report")["all_pairs_current"],
            partition=name,
            passed=not behind,
            message=_message(len(comparison.pairs), numbers, [(key, behind[key].why) for key in ordered]),
            numbers={"pairs": len(comparison.pairs), **numbers},
            rows=rows,
        )
    ]


def _message(pairs: int, numbers: Mapping[str, int], behind: list[tuple[str, str]]) -> str:
    if not behind:
        return f"All {pairs:,} pairs are current."
    counts = ", ".join(f"{count:,} {state}" for state, count in numbers.items() if count)
    named = "; ".join(f"{key}: {why.rstrip('.')}" for key, why in behind[:MOST_NAMED])
    more = f"; and {len(behind) - MOST_NAMED:,} more" if len(behind) > MOST_NAMED else ""
    return f"Of {pairs:,} pairs {counts}. {named}{more}."
