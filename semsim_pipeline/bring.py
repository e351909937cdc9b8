"""A file brought whole from one place: tries with pauses, a beginning to go on from, and one process at a time.

Data sets and weights are brought in this way. Which places there are and what a whole file must be is theirs to say.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.addresses import shown
from semsim_pipeline.downloads import OFFLINE, is_offline, is_url
from semsim_pipeline.transfer import BrokenError, Patience, RefusedError, Version, transfer
from semsim_pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from semsim_pipeline.progress import Progress

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A file under way. name: for people. part: its bytes so far. note: of which place and version they are.

    sure: a checksum will tell whether the whole is right, so that any beginning may be gone on with. Without one only
    a validator says that the rest belongs to it.
    """

    name: str
    part: Path
    note: Path
    sure: bool

    def known(self, place: str) -> Version | None:
        """The version from this place of which `part` is a beginning that can be gone on with, else None.

        A version that says nothing: of no place that is written down, and the checksum will tell.
        """
        if not self.part.exists():
            return None
        wrote, version = self._read()
        if version is None:
            return Version() if self.sure else None
        return version if wrote == place and self._can_go_on(version) else None

    def write(self, place: str, version: Version) -> None:
        """Note of what the next bytes are. Raises OSError."""
        with whole_file(self.note.parent, lambda: self.note.name) as file:
            file.write(json.dumps({"place": place, "version": asdict(version)}, indent=1).encode())

    def tidy(self) -> None:
        """Leave nothing behind but a beginning that a later try can go on from. Raises OSError."""
        if not self.part.exists() or not self._can_go_on(self._read()[1]):
            self.part.unlink(missing_ok=True)
            self.note.unlink(missing_ok=True)

    def _read(self) -> tuple[str, Version | None]:
        try:
            found = json.loads(self.note.read_text(encoding="utf-8"))
            return str(found["place"]), Version(**found["version"])
        except (OSError, ValueError, TypeError, KeyError):
            return "", None

    def _can_go_on(self, version: Version | None) -> bool:
        return self.sure or (version is not None and version.validator is not None)


def bring(place: str, beginning: Beginning, progress: Progress, patience: Patience) -> Version:
    """`part` made whole from one place, a URL or a path.

    Raises RefusedError, BrokenError (the tries are over), OSError (the disk refuses).
    """
    following = _Following(place, beginning, progress)
    if not is_url(place):
        return following.copy()
    if is_offline():
        raise RefusedError(f"{OFFLINE} is set")
    left, furthest, pause = patience.tries, 0, patience.pause_s
    while True:
        try:
            return transfer(place, beginning.part, beginning.known(place), patience, following.told)
        except BrokenError as error:
            if following.have >= furthest + patience.slow_bytes:
                left, furthest, pause = patience.tries, following.have, patience.pause_s
            left -= 1
            if left <= 0:
                raise
            wait = min(max(pause, error.wait), patience.longest_pause_s)
            progress.say(f"{beginning.name}: {error}; trying again in {wait:g} s.")
            time.sleep(wait)
            pause *= 2


class WrongFileError(Exception):
    """A place had the file, and it is not what was wanted: its words are told at once.

    reason: said at the end among those of the other places, where it is no error of its own. error: raised at the end.
    """

    def __init__(self, words: str, *, reason: str = "", error: Exception | None = None) -> None:
        super().__init__(words)
        self.reason, self.error = reason, error


class NowhereError(Exception):
    """No place had the file; the words say why, place by place."""


def bring_from_one_of(
    places: Sequence[str],
    beginning: Beginning,
    progress: Progress,
    patience: Patience,
    accept: Callable[[str, Version], None],
    *,
    why_not: Callable[[str], str | None] = lambda _: None,
) -> None:
    """The file from the first place that has the right one.

    accept: checks the whole `part` of a place and gives it its name, or raises WrongFileError. why_not: why a place is
    not worth a try, or None. Raises NowhereError; the error of the last WrongFileError that had one; OSError.
    """
    said: list[str] = []
    wrong: Exception | None = None
    for place in places:
        if reason := why_not(place):
            said.append(reason)
            continue
        try:
            accept(place, bring(place, beginning, progress, patience))
        except (BrokenError, RefusedError) as error:
            said.append(f"{shown(place)}: {error}")
        except WrongFileError as error:
            progress.say(str(error))
            said += [error.reason] if error.reason else []
            wrong = error.error or wrong
        else:
            return
        finally:
            beginning.tidy()
    raise wrong or NowhereError("; ".join(said))


class _Following:
    """What is known of a beginning, kept on disk for the next process, and told as progress."""

    def __init__(self, place: str, beginning: Beginning, progress: Progress) -> None:
        self._place, self._beginning, self._progress = place, beginning, progress
        self._version: Version | None = None
        self.have = 0

    def told(self, version: Version, have: int) -> None:
        if version != self._version:
            if self._version is None:
                size = "" if version.size is None else f" ({version.size / 1e6:,.1f} MB)"
                self._progress.say(f"Fetching {self._beginning.name}{size} from {shown(self._place)}")
                self._progress.start("download", version.size)
            self._version = version
            self._beginning.write(self._place, version)
        self.have = have
        self._progress.update(done=have)

    def copy(self) -> Version:
        """From a folder on this machine."""
        source = Path(self._place)
        try:
            facts = source.stat()
            file = source.open("rb")
        except OSError as error:
            raise RefusedError(error.strerror or str(error)) from error
        version = Version(modified=str(facts.st_mtime_ns), size=facts.st_size)
        with file, self._beginning.part.open("wb") as out:
            have = 0
            while piece := file.read(CHUNK):
                out.write(piece)
                have += len(piece)
                self.told(version, have)
            out.flush()
            os.fsync(out.fileno())
        return version


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock for the block; it dies with its holder. waiting: called where another has it. Raises OSError."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
