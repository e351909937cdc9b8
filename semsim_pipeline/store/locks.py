"""A lock between processes that dies with its holder: `flock` on a file, so a killed run leaves nothing to clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock for the block; wait for it as long as its holder lives.

    waiting: called once when somebody else holds it. Raises StoreError where the lock file cannot be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
    except OSError as error:
        raise StoreError(cannot_write(path.parent, error)) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock for the block where nobody else does: True; else False at once. Raises StoreError."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise StoreError(cannot_write(path.parent, error)) from error
    try:
        yield True
    finally:
        lock.release()
