"""The quality gates as Dagster's asset checks, partitioned as their assets are.

One op for an asset's checks, apart from the asset's own: it reads what the stage wrote, so it can be run by itself from
the UI, rides along with every materialisation and backfill, and adds one step to a run, however many checks there are.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of what it decorates as objects.

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)

from semsim_pipeline.defs.partitions import Partitions
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.errors import SemsimError
from semsim_pipeline.stages.checks.records import CHECKS, CheckFacts
from semsim_pipeline.stages.outcome import STAGES, Stage

if TYPE_CHECKING:
    from semsim_pipeline.stages.checks import CheckResult


def checks_of(partitions: Partitions) -> list[dg.AssetChecksDefinition]:
    """The checks of every asset that has some."""
    keys: dict[Stage, dg.StaticPartitionsDefinition] = {
        "dataset_manifest": partitions.datasets,
        "embeddings": partitions.embeddings,
        "pair_metrics": partitions.pairs,
        "report": partitions.comparisons,
    }
    return [_checks_of(stage, keys[stage]) for stage in STAGES if stage in keys]


def specs_of(stage: Stage, partitions: dg.StaticPartitionsDefinition) -> list[dg.AssetCheckSpec]:
    """What Dagster knows of a stage's checks before it runs them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitioned checks are in preview; DAGSTER.md: they work
        return [
            dg.AssetCheckSpec(
                facts.name,
                asset=stage,
                description=facts.description,
                blocking=facts.blocking,
                partitions_def=partitions,
            )
            for facts in CHECKS
            if facts.stage == stage
        ]


def _checks_of(stage: Stage, partitions: dg.StaticPartitionsDefinition) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{stage}_checks",
        specs=specs_of(stage, partitions),
        can_subset=True,
        description=f"The quality gates of {stage}, from what it wrote.",
    )
    def checks(context: dg.AssetCheckExecutionContext, workspace: SemsimWorkspace) -> Iterator[dg.AssetCheckResult]:
        from semsim_pipeline.stages.alerts import send_alerts
        from semsim_pipeline.stages.checks import check_stage

        try:
            where = workspace.open(context.log)
            found = check_stage(where, stage, context.partition_key)
        except (SemsimError, OSError) as error:
            raise dg.Failure(description=str(error), allow_retries=not isinstance(error, SemsimError)) from error
        wanted = {key.name for key in context.selected_asset_check_keys}
        chosen = [each for each in found if each.facts.name in wanted]
        say(context.log, chosen)
        problem = send_alerts(where, chosen)
        if problem is not None:
            context.log.warning(problem)
        for each in chosen:
            yield dg.AssetCheckResult(
                asset_key=stage,
                check_name=each.facts.name,
                passed=each.passed,
                severity=severity_of(each.facts),
                description=each.message,
                metadata=metadata_of(each),
            )

    return checks


def evaluation_of(found: "CheckResult", target: Target | None) -> dg.AssetCheckEvaluation:
    """The same record for a partition that the bulk path looked at, inside its one run.

    target: the materialisation that was judged; without it Dagster takes the result for one of an older version.
    """
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(found.facts.stage),
        check_name=found.facts.name,
        passed=found.passed,
        severity=severity_of(found.facts),
        description=found.message,
        metadata=metadata_of(found),
        blocking=found.facts.blocking,
        partition=found.partition,
        target_materialization_data=target,
    )


def say(log: dg.DagsterLogManager, results: Sequence["CheckResult"]) -> None:
    """A log line for each check that failed: an error where it stops what follows, a warning else."""
    for each in results:
        if not each.passed:
            (log.error if each.blocks else log.warning)(each.line)


def severity_of(facts: CheckFacts) -> dg.AssetCheckSeverity:
    """As Dagster calls it."""
    return dg.AssetCheckSeverity.ERROR if facts.severity == "ERROR" else dg.AssetCheckSeverity.WARN


def metadata_of(found: "CheckResult") -> dict[str, dg.MetadataValue]:
    """Numbers, then the table."""
    from semsim_pipeline.defs.results import table

    shown: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.int(number) if isinstance(number, int) else dg.MetadataValue.float(number)
        for name, number in found.numbers.items()
    }
    return {**shown, "table": table(found.rows)} if found.rows else shown
