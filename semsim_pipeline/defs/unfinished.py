"""Which partitions runs are under way for, those that only wait in the queue included."""

from __future__ import annotations

import dagster as dg

from semsim_pipeline.defs.bulk import JOB
from semsim_pipeline.defs.process_mark import is_gone

PARTITION_TAG = "dagster/partition"
STATUSES = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


class Unfinished:
    """Read once. bulk: whether a run of the bulk job is among them, which may touch every partition."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.bulk = False
        self._partitions: set[tuple[str, str]] = set()
        for run in instance.get_runs(dg.RunsFilter(statuses=list(STATUSES))):
            if run.job_name == JOB:
                self.bulk = self.bulk or not is_gone(run.run_id, run.tags)
            partition = run.tags.get(PARTITION_TAG)
            if partition is not None:
                self._partitions.update((key.to_user_string(), partition) for key in run.asset_selection or ())

    def has(self, asset: str, partition: str) -> bool:
        """Whether a run of this partition is under way."""
        return (asset, partition) in self._partitions
