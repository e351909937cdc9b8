"""Whether a source may have changed, told by names, sizes and times alone: what watching it costs on a quiet day."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, runtime_checkable

from semsim_pipeline.datasets.grouping import OPTION, SUBFOLDER
from semsim_pipeline.datasets.layout import stamp_of_file

RACY_NS = 2_000_000_000
"""Two writes within one tick of a file system's clock (2 s on FAT) leave one time: a younger stamp proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """digest: equal where nothing was added, removed, renamed or written. newest_ns: the last change that any of its
    times shows (ns since 1970), 0 where it has none.

    A source that is asked over a network puts its ETag or commit into the digest.
    """

    digest: str
    newest_ns: int = 0

    def settled(self, now_ns: int) -> bool:
        """Whether a later write must show in the digest. A time in the future (a clock set back) counts as settled."""
        return not 0 <= now_ns - self.newest_ns < RACY_NS


@runtime_checkable
class Watchable(Protocol):
    """A source that can change, and can tell so without a look into an image.

    Other sources (those that travel with the package) stay as they are.
    """

    def stamp(self) -> Stamp:
        """Names, sizes and times of what it lists, or what a server says of its version.

        Raises MissingPathError, CorruptSourceError, OSError where it cannot be listed.   Memory: flat.
        """


class Stamper:
    """Gathers a stamp, file by file."""

    def __init__(self, options: Mapping[str, str]) -> None:
        """options: of the source; the CSV that `group_by` names is watched with it."""
        self._digest = blake2b(digest_size=16)
        self._newest = 0
        csv = options.get(OPTION)
        if csv is not None and csv != SUBFOLDER and os.sep in csv:
            self.add("", Path(csv).stat())

    def add(self, path: str, facts: os.stat_result | None) -> None:
        """One file; None for a link to nothing."""
        said = "" if facts is None else stamp_of_file(facts)
        self._digest.update(f"{path}\0{said}\n".encode("utf-8", "surrogateescape"))
        if facts is not None:
            self._newest = max(self._newest, facts.st_mtime_ns, facts.st_ctime_ns)

    def done(self) -> Stamp:
        """Of all that was added."""
        return Stamp(digest=self._digest.hexdigest(), newest_ns=self._newest)


def stamp_of_path(path: Path, options: Mapping[str, str]) -> Stamp:
    """Of a source that is one file. Raises OSError."""
    stamper = Stamper(options)
    stamper.add(path.name, path.stat())
    return stamper.done()
