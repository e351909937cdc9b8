"""A stage that is not run on what a blocking check stopped, whoever asks for it.

Dagster holds a blocking check's successors back within one run; a backfill gives each partition a run of its own and
asks for what stands on a failed check all the same.
"""

from __future__ import annotations

from collections.abc import Callable

from semsim_pipeline.errors import StoreError, WorkError
from semsim_pipeline.stages.checks import check_stage
from semsim_pipeline.stages.checks.records import CheckResult
from semsim_pipeline.stages.outcome import Outcome, Stage
from semsim_pipeline.stages.workspace import Workspace, split_embedding_key


def gated(workspace: Workspace, stage: Stage, partition: str, run: Callable[[Workspace, str], Outcome]) -> Outcome:
    """What `run` gives. Raises WorkError where a blocking check stops what the partition stands on; as `run`."""
    stop = stopped_by(workspace, stage, partition)
    if stop is not None:
        gate = f"the check {stop.facts.name} of {stop.facts.stage} {stop.partition}"
        raise WorkError(f"{stage} of {partition} is not done, because {gate} failed: {stop.message}")
    return run(workspace, partition)


def stopped_by(workspace: Workspace, stage: Stage, partition: str) -> CheckResult | None:
    """The first blocking check that fails on what a partition stands on; what was never made stops nothing here."""
    for below, key in _stands_on(workspace, stage, partition):
        try:
            found = check_stage(workspace, below, key)
        except StoreError:
            continue  # the stage itself says what is missing, or makes it
        stop = next((each for each in found if each.blocks), None)
        if stop is not None:
            return stop
    return None


def _stands_on(workspace: Workspace, stage: Stage, partition: str) -> list[tuple[Stage, str]]:
    if stage == "embeddings":
        return [("dataset_manifest", split_embedding_key(partition)[0])]
    if stage == "pair_metrics" and partition in workspace.catalog.pairs:
        return [("embeddings", key) for key in workspace.catalog.pairs[partition].embeddings]
    return []
