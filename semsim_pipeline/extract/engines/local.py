"""This machine: in this process for one worker, a pool of spawned processes for more."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from loky import ProcessPoolExecutor

from semsim_pipeline.errors import WorkError
from semsim_pipeline.extract.engines.base import RETRIES

T = TypeVar("T")
R = TypeVar("R")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEngine:
    """A process pool. Its workers end when this process does, even by `kill -9`, and leave Ctrl-C to it."""

    workers: int

    @property
    def in_process(self) -> bool:
        return self.workers == 1

    def map(
        self, fn: Callable[[T], R], items: Iterable[T], *, window: int, retries: int = RETRIES
    ) -> Generator[R, None, None]:
        if self.in_process:
            yield from map(fn, items)
            return
        pending = _Pending(items, retries)
        while pending.more:
            try:
                with ProcessPool(self.workers) as pool:
                    yield from _finished(pool, fn, pending, window)
            except BrokenProcessPool as error:
                pending.blame(error)


class _Pending(Generic[T]):
    """Items that were taken and are not answered yet, and how often a worker died while each was under way."""

    def __init__(self, items: Iterable[T], retries: int) -> None:
        self.taken: dict[int, T] = {}
        self._coming = enumerate(items)
        self._retries = retries
        self._deaths: dict[int, int] = {}
        self._exhausted = False

    @property
    def more(self) -> bool:
        return bool(self.taken) or not self._exhausted

    def take(self) -> tuple[int, T] | None:
        """The next item, or None when there is none."""
        found = next(self._coming, None)
        if found is None:
            self._exhausted = True
            return None
        self.taken[found[0]] = found[1]
        return found

    def blame(self, error: BrokenProcessPool) -> None:
        """A worker died. Nobody knows over which item, so each under way counts one death; too many are an error."""
        for number in self.taken:
            self._deaths[number] = self._deaths.get(number, 0) + 1
            if self._deaths[number] > self._retries:
                raise WorkError(
                    f"Worker processes died {self._retries + 1} times over the same shard (out of memory?). What was "
                    "done is kept; try again with fewer workers."
                ) from error


def _finished(pool: ProcessPool, fn: Callable[[T], R], pending: _Pending[T], window: int) -> Iterator[R]:
    """Results of one pool, until nothing is left or a worker dies (BrokenProcessPool)."""
    running = {pool.submit(fn, item): number for number, item in pending.taken.items()}
    while True:
        while len(running) < window and (taken := pending.take()) is not None:
            running[pool.submit(fn, taken[1])] = taken[0]
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            result = future.result()
            del pending.taken[running.pop(future)]
            yield result


class ProcessPool:
    """A process pool whose workers hold one end of a pipe: when the other end closes, for whatever reason, they exit.

    One mechanism for three cases: the run is over, Ctrl-C, and the death of this process. The pool is loky's because
    its workers do not import the caller's script again: under multiprocessing's spawn, `semsim.compare(...)` at the
    top level of a script would run again in each worker.
    """

    def __init__(self, workers: int) -> None:
        self._theirs, self._ours = multiprocessing.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=(self._theirs,))

    def submit(self, fn: Callable[[T], R], item: T) -> Future[R]:
        future: Future[R] = self._executor.submit(fn, item)
        return future

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        # Where the work broke off (Ctrl-C, an error, a consumer that went away), shards under way are not waited for.
        self._executor.shutdown(wait=True, kill_workers=raised is not None)
        self._ours.close()
        self._theirs.close()


def _begin_worker(lifeline: Connection) -> None:
    """In a new worker: one thread for arithmetic, no Ctrl-C, and the end of the parent is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in THREAD_VARIABLES:  # for libraries that are loaded from now on
        os.environ[name] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)  # for those that are loaded already
    threading.Thread(target=_end_with, args=(lifeline,), name="semsim-lifeline", daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)  # a part being written is left under its temporary name, for the next run to remove
