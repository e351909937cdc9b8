"""Quality gates: plain functions over what the stages wrote, whoever asks (Dagster, `semsim rescore`, `verify`).

Light to import: Dagster's code location lists the gates, and what they look with is loaded by the first look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semsim_pipeline.stages.checks.records import CHECKS, CheckFacts, CheckResult, facts_of
from semsim_pipeline.stages.outcome import Stage

if TYPE_CHECKING:
    from semsim_pipeline.stages.workspace import Workspace


__all__ = ["CHECKS", "CheckFacts", "CheckResult", "check_stage", "facts_of"]


def check_stage(workspace: Workspace, stage: Stage, partition: str) -> list[CheckResult]:
    """All gates of one partition of a stage; empty where the stage has none.

    Raises UnknownNameError; StoreError where the stage has no result there yet.
    """
    from semsim_pipeline.stages.checks.data import check_dataset, check_embeddings
    from semsim_pipeline.stages.checks.pairs import check_pair
    from semsim_pipeline.stages.checks.standing import check_comparison

    checks = {
        "dataset_manifest": check_dataset,
        "embeddings": check_embeddings,
        "pair_metrics": check_pair,
        "report": check_comparison,
    }
    return checks[stage](workspace, partition) if stage in checks else []
