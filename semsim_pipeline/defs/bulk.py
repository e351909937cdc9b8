"""The job `rescore`: every stale partition in one process and one run, each with its own data version and metadata."""

# No `from __future__ import annotations` here: Dagster reads the annotations of what it decorates as objects.

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from semsim_pipeline.defs.checks import say
from semsim_pipeline.defs.evaluations import Evaluations
from semsim_pipeline.defs.resources import LoggedProgress, SemsimWorkspace
from semsim_pipeline.defs.results import DATA_VERSION_TAG, event_of
from semsim_pipeline.defs.watch import Failed, Watch, watch
from semsim_pipeline.errors import SemsimError

if TYPE_CHECKING:
    from semsim_pipeline.stages.bulk import Plan
    from semsim_pipeline.stages.outcome import Failure, Outcome
    from semsim_pipeline.stages.workspace import Workspace

JOB = "rescore"
OP = "bring_up_to_date"
Event = dg.AssetMaterialization | dg.AssetCheckEvaluation


class RescoreConfig(dg.Config):
    """What to bring up to date."""

    comparison: str | None = Field(default=None, description="One comparison of the catalogue; all where it is empty.")
    only_stale: bool = Field(
        default=False,
        description="Look first, as `semsim status` does, and take only the pairs that are stale, missing or failed.",
    )


# In no pool: a terminal that was closed over a run would hold its place for ever, and the store's own locks keep two
# extractions of one encoder apart as it is.
@dg.op(name=OP, out=dg.Out(dg.Nothing))
def bring_up_to_date(
    context: dg.OpExecutionContext, config: RescoreConfig, workspace: SemsimWorkspace
) -> Iterator[Event]:
    """Scan, embed, score, draw and report whatever changed; an event for each partition that this made current, and for
    each check that says something new. Events are written as they come: what a kill interrupts is known."""
    from semsim_pipeline.stages.alerts import send_alerts
    from semsim_pipeline.stages.bulk import bring_up_to_date as bulk
    from semsim_pipeline.stages.outcome import Outcome

    tally = watch() or Watch(LoggedProgress(context.log))
    try:
        where = workspace.open(context.log)
        recorded = Recorded(context.instance)
        work = _work(where, config, recorded)
        context.log.info(f"{len(work.pairs)} pairs to look after.")
    except SemsimError as error:
        tally.error = error
        raise dg.Failure(description=str(error), allow_retries=False) from error
    evaluations = Evaluations(context.instance, context.run_id)
    try:
        for found in bulk(where, work):
            yield from evaluations.of_stages_before(found.stage)
            evaluations.add(found.checks)
            _tally(context.log, tally, found)
            if isinstance(found, Outcome) and recorded.version(found.stage, found.partition) != found.version:
                yield event_of(found)
        yield from evaluations.rest()
        tally.untold = send_alerts(where, tally.warned)
    except GeneratorExit:
        raise  # Dagster stopped listening: whatever broke the run off, it knows why
    except BaseException as error:  # Ctrl-C or a fault of ours: Dagster makes a failed run of it and tells no caller
        tally.error = error
        raise
    if tally.untold is not None:
        context.log.warning(tally.untold)
    context.log.info(
        f"{tally.current} partitions are current, {tally.computed} were computed, {len(tally.failures)} failed."
    )
    if tally.failures:
        lines = [f"{len(tally.failures)} partitions failed.", *(each.line for each in tally.failures)]
        raise dg.Failure(description="\n".join(lines), allow_retries=False)


def _tally(log: dg.DagsterLogManager, tally: Watch, found: "Outcome | Failure") -> None:
    from semsim_pipeline.stages.outcome import Outcome

    if isinstance(found, Outcome):
        tally.current += 1
        tally.computed += found.computed
    else:
        line = f"{found.stage} of {found.partition}: {found.reason}"
        tally.failures.append(Failed(found.stage, line, found.upstream))
        log.error(line)
    say(log, found.checks)
    tally.failures += [Failed(found.stage, f"check {check.line}") for check in found.checks if check.blocks]
    tally.warned += [check for check in found.checks if not check.passed and not check.blocks]


def _work(where: "Workspace", config: RescoreConfig, recorded: "Recorded") -> "Plan":
    from semsim_pipeline.stages.bulk import plan

    chosen = None if config.comparison is None else [config.comparison]
    work = plan(where, chosen)
    if not config.only_stale:
        return work
    from semsim_pipeline.stages.behind import Behind
    from semsim_pipeline.stages.status import status_of

    states, behind = status_of(where), Behind(where)

    def is_stale(key: str) -> bool:
        drawn, scored = (behind.version(stage, key) for stage in ("pair_plots", "pair_metrics"))
        known = scored == recorded.version("pair_metrics", key) and drawn == recorded.version("pair_plots", key)
        return states[key].state != "fresh" or drawn is None or not known

    return plan(where, chosen, {key for key in work.pairs if is_stale(key)})


class Recorded:
    """The data versions that Dagster knows, read once an asset."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._by_asset: dict[str, dict[str, str]] = {}

    def version(self, asset: str, partition: str) -> str | None:
        """Of the latest materialisation, None where there is none."""
        if asset not in self._by_asset:
            self._by_asset[asset] = dict(self._read(asset))
        return self._by_asset[asset].get(partition)

    def _read(self, asset: str) -> Iterator[tuple[str, str]]:
        tags = self._instance.event_log_storage.get_latest_tags_by_partition(
            dg.AssetKey(asset), dg.DagsterEventType.ASSET_MATERIALIZATION, tag_keys=[DATA_VERSION_TAG]
        )
        for partition, found in tags.items():
            yield partition, found.get(DATA_VERSION_TAG, "")


@dg.job(name=JOB, executor_def=dg.in_process_executor, description="Bring every stale pair up to date in one process.")
def rescore() -> None:
    """See `bring_up_to_date`."""
    bring_up_to_date()
