"""Dagster's entry point: the graph over the catalogue as it is now. Loading it reads no image and imports no torch."""

from __future__ import annotations

import dagster as dg

from semsim_pipeline.catalog import standing
from semsim_pipeline.defs.assets import assets_of
from semsim_pipeline.defs.automation import automation_sensor
from semsim_pipeline.defs.bulk import rescore
from semsim_pipeline.defs.checks import checks_of
from semsim_pipeline.defs.partitions import partitions_of
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.defs.schedules import schedules_of
from semsim_pipeline.defs.sensors import change_sensors
from semsim_pipeline.heap import keep_arrow_in_the_heap
from semsim_pipeline.home import semsim_home

keep_arrow_in_the_heap()
_standing = standing(semsim_home())
_partitions = partitions_of(_standing.catalog, _standing.removed)
defs = dg.Definitions(
    assets=assets_of(_partitions),
    asset_checks=checks_of(_partitions),
    jobs=[rescore],
    schedules=schedules_of(_standing.catalog),
    sensors=[automation_sensor(), *change_sensors()],
    resources={"workspace": SemsimWorkspace()},
    executor=dg.in_process_executor,
)
"""One process a run: a process for each step costs ten seconds and more of imports."""
