"""Dagster's launcher of run processes, and the one thing that it lacks: noticing that a process is gone.

With `DefaultRunLauncher`, a run whose process died together with the daemon (power cut, out of memory, kill -9 of
everything) shows as running for ever and keeps its place in the extraction pool.
"""

from __future__ import annotations

import time

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus  # launchers are only spelled in these

from semsim_pipeline.defs.process_mark import is_gone, is_marked

SECONDS_TO_BE_MARKED = 120.0
"""What a process gets from its start to its first line of ours, which marks the run; it imports for a few seconds."""


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Named in `dagster.yaml`; the daemon's run monitoring asks it about every run that is under way."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED where the run's process has ended without a word; the monitor fails the run, which is then retried."""
        if is_gone(run.run_id, run.tags):
            return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone; what it had done is kept")
        if is_marked(run.run_id, run.tags) or self._began_lately(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "no process ever called it its own")

    def _began_lately(self, run: dg.DagsterRun) -> bool:
        record = self._instance.get_run_record_by_id(run.run_id)
        began = None if record is None else record.start_time
        return began is None or time.time() - began < SECONDS_TO_BE_MARKED
