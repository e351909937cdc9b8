"""Engines by name: where shards are worked on."""

from __future__ import annotations

from collections.abc import Callable

from semsim_pipeline.errors import UnknownNameError, did_you_mean
from semsim_pipeline.extract.engines.base import Engine
from semsim_pipeline.extract.engines.local import LocalEngine
from semsim_pipeline.extract.engines.ray import RayEngine

ENGINES: dict[str, Callable[[int], Engine]] = {
    "local": lambda workers: LocalEngine(workers=workers),
    "ray": lambda workers: RayEngine(workers=workers),
}


def engine(name: str, workers: int) -> Engine:
    """The engine called `name` with so many workers.

    Raises UnknownNameError with the nearest known name; WrongCallError where its library is not installed.
    """
    if name not in ENGINES:
        raise UnknownNameError(did_you_mean("engine", name, ENGINES))
    return ENGINES[name](workers)
