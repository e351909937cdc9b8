"""What runs by itself after a change: each asset's condition, and the sensor that evaluates them.

A change upstream (`data_version_changed`, never mere activity) brings a partition into question, and it stays there
until a run is asked for. So an update that lands while a run is in progress asks again; a failing partition is tried
once for each change, not for ever; and what a bulk run or a person did meanwhile leaves nothing to ask for.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import dagster as dg

from semsim_pipeline.defs.conditions import IsBehind, IsUnsettled
from semsim_pipeline.defs.watching import watching

AC = dg.AutomationCondition
Condition = dg.AutomationCondition[dg.AssetKey]
SENSOR = "automation"


def conditions() -> Mapping[str, Condition]:
    """Asset to condition. Manifests have none: their sources have sensors."""
    whole, each = _of_comparisons(), _of_partitions()
    return {
        "embeddings": each,
        "pair_metrics": each,
        "pair_plots": each,
        "similarity_matrix": whole,
        "report": whole,
    }


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions where this code runs: Dagster's own process knows only the conditions it ships."""
    watch = watching()
    with warnings.catch_warnings():
        # The parameter is called beta; it is what conditions of one's own need. The major version is bounded.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.AutomationConditionSensorDefinition(
            SENSOR,
            target=dg.AssetSelection.all(),
            default_status=watch.sensor,
            minimum_interval_seconds=watch.seconds,
            use_user_code_server=True,
            emit_backfills=False,  # one partition a run, each with its own data version
            run_tags={"semsim/started_by": SENSOR},
            description="Runs what is behind after a dataset, an encoder or the code changed: one partition a run, "
            "stage after stage. Switch it on together with the sensors of your datasets' kinds; for thousands of pairs "
            "at once the job `rescore` is faster.",
        )


def _of_partitions() -> Condition:
    """Of embeddings, scores and pictures: nothing is made of what is missing or failed a blocking check."""
    blocked = AC.any_deps_match(AC.any_checks_match(AC.check_failed(), blocking_only=True))
    return (_in_question(_changed()) & ~AC.any_deps_missing() & ~blocked & _settled_and_behind()).with_label(
        "inputs_changed"
    )


def _of_comparisons() -> Condition:
    """Of matrices and pages: one pair that is missing or failing leaves the others on them, and they say that it is.

    So that they can, a failure up to three stages above brings them into question, and so does its end.
    """
    failed = AC.execution_failed()
    turned = failed.newly_true() | (~failed).newly_true()
    above = AC.any_deps_match(turned | AC.any_deps_match(turned | AC.any_deps_match(turned)))
    return (_in_question(_changed() | above) & _settled_and_behind()).with_label("scores_changed")


def _changed() -> Condition:
    return (
        AC.initial_evaluation()
        | AC.missing().newly_true()
        | AC.any_deps_match(AC.data_version_changed())
        | AC.code_version_changed()
    )


def _in_question(trigger: Condition) -> Condition:
    # What was asked for shows one tick later. A change that comes between the two must win over it: the run may have
    # read its inputs before.
    return trigger.since(AC.newly_requested() & ~trigger)


def _settled_and_behind() -> Condition:
    return ~AC.in_progress() & ~AC.any_deps_in_progress() & ~IsUnsettled() & IsBehind()
