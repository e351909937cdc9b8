"""A Ray cluster, or a private Ray on this machine: plain tasks, each done again by Ray when its worker or node dies.

Every node needs this package, and SEMSIM_HOME and the images under the same paths (a shared file system).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any, TypeVar

from semsim_pipeline.errors import WorkError, WrongCallError
from semsim_pipeline.extract.engines.base import RETRIES

T = TypeVar("T")
R = TypeVar("R")

STORE_BYTES = 128 * 2**20
"""Of a private Ray's object store (its least is 75 MiB): only orders and receipts pass through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """At most `workers` tasks at a time, spread over the nodes, on equal shares of their cores."""

    workers: int

    def __post_init__(self) -> None:
        _ray()

    @property
    def in_process(self) -> bool:
        return False

    def map(
        self, fn: Callable[[T], R], items: Iterable[T], *, window: int, retries: int = RETRIES
    ) -> Generator[R, None, None]:
        ray, coming = _ray(), iter(items)
        running: list[Any] = []  # Ray's ObjectRef has no type where Ray is not installed
        with _connected(ray, self.workers):
            task = ray.remote(fn).options(
                num_cpus=_share(ray, self.workers), max_retries=retries, scheduling_strategy="SPREAD"
            )
            try:
                while True:
                    # A task that Ray was given runs as soon as a core is free: what shall wait is not given yet.
                    for item in islice(coming, min(window, self.workers) - len(running)):
                        running.append(task.remote(item))
                    if not running:
                        return
                    (done, *_), running = ray.wait(running)
                    yield _result(ray, done, retries)
            finally:
                for each in running:
                    ray.cancel(each, force=True)


def _result(ray: ModuleType, done: object, retries: int) -> Any:
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # what the task raised, without Ray's traceback in its text
    except ray.exceptions.RayError as error:
        raise WorkError(
            f"Ray could not finish a shard: its workers died {retries + 1} times over it ({type(error).__name__}; out "
            "of memory?). What was done is kept; try again with fewer workers."
        ) from error


def _share(ray: ModuleType, workers: int) -> int:
    """Cores of one task: Ray lets its libraries use so many threads. Never more than the smallest node has."""
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return max(1, min([sum(cores) // workers, *filter(None, cores)]))


@contextmanager
def _connected(ray: ModuleType, workers: int) -> Iterator[None]:
    """Ray as the caller has it; else the cluster at RAY_ADDRESS; else a private one, which ends with the work."""
    if ray.is_initialized():
        yield
        return
    from loky import cpu_count

    address = os.environ.get("RAY_ADDRESS") or "local"
    private = {
        "num_cpus": max(workers, cpu_count()),
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
    }
    try:
        try:
            _knock(address)
            ray._private.worker._worker_logs_enabled = False  # else a dead worker is told on stdout all the same
            ray.init(address, log_to_driver=False, logging_level="ERROR", **private if address == "local" else {})
        except (OSError, RuntimeError, ValueError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise WorkError(
                f"Ray cannot be used at RAY_ADDRESS={address}: {why}. Start a cluster there, give its RAY_AUTH_TOKEN "
                "if it wants one, or unset RAY_ADDRESS to work on this machine."
            ) from error
        yield
    finally:
        ray.shutdown()  # of a cluster that is not ours: leaves it
        ray._private.worker._worker_logs_enabled = True


def _knock(address: str) -> None:
    """Ray itself tries for more than five minutes where nobody listens. Raises OSError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _ray() -> ModuleType:
    """The library, told before its import to keep to itself. Raises WrongCallError where it is not installed."""
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would upload the working directory to its workers
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a task sees the node's GPUs, as under the local engine
    }
    if not os.environ.get("RAY_ADDRESS"):
        quiet["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # the only way to have every port on 127.0.0.1
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise WrongCallError(
            "The engine 'ray' needs Ray, which is not installed: pip install 'semsim-pipeline[ray]'. Or use --engine "
            "local."
        ) from error
    module: ModuleType = ray
    return module
