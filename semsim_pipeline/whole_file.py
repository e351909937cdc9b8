"""A file that is whole or absent: a temporary name in the same folder, fsync, rename."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

TEMPORARY = ".tmp-"
"""Before the number of the process that writes, by which a leftover is known."""


@contextmanager
def whole_file(folder: Path, name: Callable[[], str]) -> Iterator[IO[bytes]]:
    """A binary file that takes its name when the block ends well, and vanishes when it does not.

    folder: there already. name: called when the block ended, for names that follow from what was written; a file of
    that name is replaced. Raises OSError for what the disk refuses; nothing half-written is left.
    """
    temporary = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name())
        _sync_folder(folder)
    except BaseException:
        with suppress(OSError):  # the failure that matters is the one being raised
            temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the file system can."""
    with suppress(OSError):  # some network file systems refuse to sync a folder; the rename is then theirs to keep
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
