"""What the bulk path tells Dagster of checks: each result that Dagster does not know yet, tied to what was judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from semsim_pipeline.defs.checks import evaluation_of
from semsim_pipeline.stages.outcome import STAGES, Stage

if TYPE_CHECKING:
    from dagster._core.storage.asset_check_execution_record import AssetCheckPartitionInfo

    from semsim_pipeline.stages.checks import CheckResult

AT_ONCE = 500
"""Materialisations asked for in one query; SQLite takes some thousand values in one."""


class Evaluations:
    """Results held back until the materialisations of their stage are written: Dagster clears the result of a check
    that does not name the latest materialisation of its partition."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self._instance = instance
        self._run_id = run_id
        self._held: dict[Stage, list[CheckResult]] = {}

    def add(self, results: Sequence[CheckResult]) -> None:
        """To be told once their stage is done."""
        for each in results:
            self._held.setdefault(each.facts.stage, []).append(each)

    def of_stages_before(self, stage: Stage) -> Iterator[dg.AssetCheckEvaluation]:
        """What is news of every stage that comes before this one."""
        for before in STAGES[: STAGES.index(stage)]:
            yield from self._news(self._held.pop(before, []))

    def rest(self) -> Iterator[dg.AssetCheckEvaluation]:
        """What is news of the others."""
        for stage in list(self._held):
            yield from self._news(self._held.pop(stage))

    def _news(self, results: Sequence[CheckResult]) -> Iterator[dg.AssetCheckEvaluation]:
        if not results:
            return
        storage = self._instance.event_log_storage
        asset = dg.AssetKey(results[0].facts.stage)
        keys = [dg.AssetCheckKey(asset, name) for name in dict.fromkeys(each.facts.name for each in results)]
        known = {
            (info.check_key.name, info.partition_key): info for info in storage.get_asset_check_partition_info(keys)
        }
        latest = storage.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
        news = [each for each in results if _is_news(each, known.get((each.facts.name, each.partition)))]
        targets = self._targets(asset, sorted({latest[each.partition] for each in news if each.partition in latest}))
        for each in news:
            yield evaluation_of(each, targets.get(latest.get(each.partition, 0)))

    def _targets(self, asset: dg.AssetKey, storage_ids: Sequence[int]) -> dict[int, Target]:
        """The materialisations with these ids, as results point to them."""
        found: dict[int, Target] = {}
        for start in range(0, len(storage_ids), AT_ONCE):
            chunk = storage_ids[start : start + AT_ONCE]
            which = dg.AssetRecordsFilter(asset_key=asset, storage_ids=chunk)
            for record in self._instance.fetch_materializations(which, limit=AT_ONCE).records:
                target = Target(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp)
                found[record.storage_id] = target
        return found


def _is_news(result: CheckResult, known: AssetCheckPartitionInfo | None) -> bool:
    status = Status.SUCCEEDED if result.passed else Status.FAILED
    if known is None or not known.is_current or known.latest_execution_status != status:
        return True
    return bool(result.rows)  # the list of what is behind changes while the check goes on failing
