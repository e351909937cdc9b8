"""Schedules: each comparison's own, as the catalogue says, and every night whatever is behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import dagster as dg

from semsim_pipeline.catalog import Catalog, Comparison
from semsim_pipeline.defs.bulk import OP, rescore
from semsim_pipeline.defs.watching import watching
from semsim_pipeline.fingerprint import digest_of

NIGHTLY = "nightly_reconcile"
NIGHTLY_CRON = "17 3 * * *"
"""Not on the hour: that is when everything else runs."""


def schedules_of(catalog: Catalog) -> list[dg.ScheduleDefinition]:
    """One for each comparison with a `schedule` in the catalogue, running from the start; and the nightly one."""
    names = schedule_names(catalog.comparisons)
    own = [
        _of_comparison(names[each.name], each, each.schedule)
        for each in catalog.comparisons.values()
        if each.schedule is not None
    ]
    return [*own, _nightly()]


def schedule_names(comparisons: Iterable[str]) -> dict[str, str]:
    """Comparison to schedule: Dagster's names have no dash, so two comparisons that differ in one get digits.

    >>> schedule_names(["digit-classes", "fakes"])
    {'digit-classes': 'rescore_digit_classes', 'fakes': 'rescore_fakes'}
    """
    plain = {name: f"rescore_{name.replace('-', '_')}" for name in comparisons}
    counts = Counter(plain.values())
    return {name: each if counts[each] == 1 else f"{each}_{digest_of(name)[:8]}" for name, each in plain.items()}


def _of_comparison(name: str, comparison: Comparison, cron: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=name,
        job=rescore,
        cron_schedule=cron,
        run_config={"ops": {OP: {"config": {"comparison": comparison.name}}}},
        tags={"semsim/started_by": "schedule", "semsim/comparison": comparison.name},
        default_status=dg.DefaultScheduleStatus.RUNNING,  # whoever wrote it into the catalogue wants it to run
        description=f"Brings {comparison.title!r} up to date in one process, as `schedule` in the catalogue says.",
    )


def _nightly() -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=NIGHTLY,
        job=rescore,
        cron_schedule=NIGHTLY_CRON,
        run_config={"ops": {OP: {"config": {"only_stale": True}}}},
        tags={"semsim/started_by": NIGHTLY},
        default_status=watching().schedule,
        description="Looks at every pair of the catalogue as `semsim status` does, and brings those that are stale, "
        "missing or failed up to date in one process: for whatever sensors missed.",
    )
