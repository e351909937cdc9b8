"""The two conditions that Dagster does not have: whether a run would change anything, and whether one is on its way."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, cast

import dagster as dg

from semsim_pipeline.defs.bulk import Recorded
from semsim_pipeline.defs.resources import workspace_now
from semsim_pipeline.defs.unfinished import Unfinished
from semsim_pipeline.errors import SemsimError

if TYPE_CHECKING:
    from semsim_pipeline.stages.behind import Behind
    from semsim_pipeline.stages.outcome import Stage

Context = dg.AutomationContext[dg.AssetKey]
Result = dg.AutomationResult[dg.AssetKey]
Signature = tuple[str | None, ...]

_CURRENT: dict[tuple[Path, str, str], Signature] = {}
"""By home, asset and partition: the code's and the recorded versions, own and upstream, under which it was current; of
comparisons also what was failing."""


class IsBehind(dg.AutomationCondition[dg.AssetKey]):
    """True for partitions that a run would change: the store is behind what is upstream, or Dagster's record is not
    what the store holds. Of a dataset in which one class changed, the pairs of its other classes are not behind."""

    @property
    def name(self) -> str:
        return "is_behind"

    @property
    def description(self) -> str:
        return "A run would make another result (told from the store, nothing is computed)"

    def evaluate(self, context: Context) -> Result:
        subset = context.candidate_subset
        if subset.is_empty:
            return dg.AutomationResult(context=context, true_subset=subset)
        try:
            keys = _behind_of(context, subset.expensively_compute_partition_keys())
        except SemsimError as error:  # a catalogue with a typo must not stop every other asset's evaluation
            context.log.warning(f"Nothing is asked for: {error}")
            keys = set()
        return dg.AutomationResult(context=context, true_subset=subset.compute_intersection_with_partition_keys(keys))


class IsUnsettled(dg.AutomationCondition[dg.AssetKey]):
    """True for partitions with a run under way or in the queue, of their own or right above them; and for all while the
    bulk job runs, which does the same work in one process."""

    @property
    def name(self) -> str:
        return "is_unsettled"

    @property
    def description(self) -> str:
        return "A run of it, or of what it is made of, is under way or waits in the queue"

    def evaluate(self, context: Context) -> Result:
        subset = context.candidate_subset
        if subset.is_empty:
            return dg.AutomationResult(context=context, true_subset=subset)
        unfinished = Unfinished(context.asset_graph_view.instance)
        if not unfinished.bulk:
            stage = _stage(context)
            parents = _behind().parents
            keys = {
                key
                for key in subset.expensively_compute_partition_keys()
                if any(unfinished.has(*each) for each in ((stage, key), *parents(stage, key)))
            }
            subset = subset.compute_intersection_with_partition_keys(keys)
        return dg.AutomationResult(context=context, true_subset=subset)


def _behind_of(context: Context, keys: Collection[str]) -> set[str]:
    from semsim_pipeline.stages.failures import failures_stamp

    stage, behind = _stage(context), _behind()
    recorded = Recorded(context.asset_graph_view.instance)
    code = context.asset_graph.get(context.key).code_version
    # Pages name what cannot be scored, which no version upstream tells.
    failing = failures_stamp(behind.home) if stage in {"similarity_matrix", "report"} else None
    found = set()
    for key in keys:
        versions = (recorded.version(stage, key), *(recorded.version(*each) for each in behind.parents(stage, key)))
        memory = (behind.home, stage, key)
        if _CURRENT.get(memory) == (code, failing, *versions):
            continue
        if _is_behind(behind, stage, key, versions):
            found.add(key)
        elif not behind.waits(stage, key):
            _CURRENT[memory] = (code, failing, *versions)
    return found


def _is_behind(behind: Behind, stage: Stage, key: str, recorded: Signature) -> bool:
    if behind.wants(stage, key):
        return True
    if behind.waits(stage, key) or not behind.knows(stage, key):
        return False
    held = (behind.version(stage, key), *(behind.version(*each) for each in behind.parents(stage, key)))
    return held != recorded


def _stage(context: Context) -> Stage:
    return cast("Stage", context.key.to_user_string())


def _behind() -> Behind:
    from semsim_pipeline.stages.behind import Behind

    return Behind(workspace_now())
