"""The bulk job run in this very process, its events recorded as if the UI had started it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from semsim_pipeline.defs.bulk import OP, rescore
from semsim_pipeline.defs.instance import fail_dead_runs, instance_of
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.defs.watch import Failed, watched_by
from semsim_pipeline.errors import WorkError
from semsim_pipeline.progress import Progress

if TYPE_CHECKING:
    from semsim_pipeline.stages.checks import CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored:
    """What a run did. current: partitions that are up to date. computed: those that were not before. warned:
    failed checks that stop nothing. untold: why news of them did not reach the webhook."""

    run_id: str
    current: int
    computed: int
    failures: tuple[Failed, ...]
    warned: tuple[CheckResult, ...] = ()
    untold: str | None = None


def rescore_in_process(
    home: Path, progress: Progress, comparison: str | None = None, tags: dict[str, str] | None = None
) -> Rescored:
    """Bring the catalogue of `home` up to date, recorded in its Dagster instance.

    Raises: what opening the catalogue or the plan raises; KeyboardInterrupt; WorkError where the run broke off. A
    partition that fails is a line of the result.
    """
    logging.getLogger("dagster").setLevel(logging.CRITICAL)  # the events hold what went wrong; the terminal shows ours
    config: dict[str, object] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if comparison is not None:
        config["ops"] = {OP: {"config": {"comparison": comparison}}}
    with instance_of(home) as instance, watched_by(progress) as seen:
        fail_dead_runs(instance)
        run = rescore.execute_in_process(
            run_config=config,
            instance=instance,
            resources={"workspace": SemsimWorkspace()},
            raise_on_error=False,
            # Whoever started it sees how it ends: Dagster's daemon must not start it again behind their back.
            tags={"dagster/max_retries": "0", **(tags or {})},
        )
        if isinstance(seen.error, dg.DagsterExecutionInterruptedError) or _interrupted(run):
            raise KeyboardInterrupt from seen.error
        if seen.error is not None:
            raise seen.error
        if not run.success and not seen.failures:
            raise WorkError(f"The run {run.run_id} broke off; `semsim ui` shows why. What was done before it is kept.")
        return Rescored(
            run_id=run.run_id,
            current=seen.current,
            computed=seen.computed,
            failures=tuple(seen.failures),
            warned=tuple(seen.warned),
            untold=seen.untold,
        )


def _interrupted(run: dg.ExecuteInProcessResult) -> bool:
    """Whether Ctrl-C came while Dagster wrote an event, not in our own code."""
    failed = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    name = dg.DagsterExecutionInterruptedError.__name__
    return any(data.error is not None and data.error.cls_name == name for data in failed)
