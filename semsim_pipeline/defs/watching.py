"""Whether sensors run from the start, and how often: what `semsim ui --watch` tells the processes that it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass

import dagster as dg

VARIABLE = "SEMSIM_WATCH"
"""Seconds between two looks; unset or empty: sensors are there and off, to be switched on in the UI."""
SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """on: whether sensors run unasked. seconds: between two looks, at least."""

    on: bool
    seconds: int

    @property
    def sensor(self) -> dg.DefaultSensorStatus:
        """The default; a switch that somebody turned in the UI wins over it."""
        return dg.DefaultSensorStatus.RUNNING if self.on else dg.DefaultSensorStatus.STOPPED

    @property
    def schedule(self) -> dg.DefaultScheduleStatus:
        """As `sensor`, of schedules that nobody wrote into the catalogue."""
        return dg.DefaultScheduleStatus.RUNNING if self.on else dg.DefaultScheduleStatus.STOPPED


def watching() -> Watching:
    """As the environment says; what is no number of seconds counts as the usual one."""
    text = os.environ.get(VARIABLE, "").strip()
    return Watching(on=bool(text), seconds=max(int(text), 1) if text.isdigit() else SECONDS)
