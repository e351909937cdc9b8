"""A published file, brought to this machine once: mirrors, tries, resume, checksum, and a name only for the whole.

A folder for each file holds it, `receipt.json` (where it came from, which version it is), and, while it is under way,
`NAME.part` with `part.json`, from which an interrupted download goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.datasets.published import (
    OFFLINE,
    Published,
    Receipt,
    is_offline,
    is_url,
    keep,
    missing,
    places,
    receipt_of,
    write_json,
)
from semsim_pipeline.datasets.transfer import (
    GLANCE,
    BrokenError,
    Patience,
    RefusedError,
    Version,
    shown,
    transfer,
    version_of,
)
from semsim_pipeline.errors import MissingFilesError, StoreError, UnreachableError, WrongChecksumError
from semsim_pipeline.home import cannot_write

if TYPE_CHECKING:
    from semsim_pipeline.progress import Progress

PATIENCE = Patience()
CHUNK = 1 << 20


def download(wanted: Published, progress: Progress, patience: Patience | None = None) -> Path:
    """The file: fetched where it is not here, or where its origin has another version by now.

    A file with a checksum is never asked for again. Where the origin does not answer, what is here is used, and that
    is said. Two processes wait for each other. A `.part` stays where a try may go on from it, nothing else.
    Raises MissingFilesError, UnreachableError, WrongChecksumError; StoreError where the disk refuses.
    """
    path = wanted.path
    try:
        with _locked(path.parent / ".lock", lambda: progress.say(f"Another process fetches {wanted.name}; waiting.")):
            held = _held(wanted)
            if held is None or not _is_current(wanted, held, progress):
                _fetch(wanted, progress, patience or PATIENCE, renewing=held is not None)
    except OSError as error:
        raise StoreError(cannot_write(path.parent, error)) from error
    return path


def version_now(wanted: Published) -> Version:
    """What the file's origin says that it is now. Raises UnreachableError, MissingFilesError. Cost: a request."""
    receipt = receipt_of(wanted)
    asked = places(wanted)
    if receipt is not None and receipt.origin in asked:  # another place may tell another ETag for the same bytes
        asked = [receipt.origin]
    said = []
    for place in asked:
        try:
            return _look(place)
        except BrokenError as error:
            raise UnreachableError(f"{shown(place)} does not answer at present: {error}.") from error
        except RefusedError as error:
            said.append(f"{shown(place)}: {error}")
    raise MissingFilesError(missing(wanted, "; ".join(said)))


def _is_current(wanted: Published, held: Receipt, progress: Progress) -> bool:
    if wanted.checksum is not None:
        return True
    try:
        now = version_now(wanted)
    except MissingFilesError as error:
        progress.say(f"{wanted.name}: the copy on this machine is used. {error}")
        return True
    if held.origin == "" and now.size == held.size:  # put there by hand: from now on it is this version
        keep(wanted, replace(held, origin=places(wanted)[-1], version=now))
        return True
    return held.version.same_as(now)


def _held(wanted: Published) -> Receipt | None:
    """The receipt; written here for a file that somebody put in its place. Raises WrongChecksumError."""
    receipt = receipt_of(wanted)
    if receipt is None and wanted.path.is_file():
        return _accept(wanted, wanted.path, "", Version())
    return receipt


def _fetch(wanted: Published, progress: Progress, patience: Patience, *, renewing: bool) -> None:
    """From the first place that has it. Raises MissingFilesError, WrongChecksumError, OSError."""
    part = wanted.path.with_name(f"{wanted.name}.part")
    said: list[str] = []
    wrong: WrongChecksumError | None = None
    for place in places(wanted):
        try:
            version = _bring(place, part, wanted, progress, patience)
            _accept(wanted, part, place, version)
        except (BrokenError, RefusedError) as error:
            said.append(f"{shown(place)}: {error}")
        except WrongChecksumError as error:
            wrong = error
            progress.say(str(error))
        else:
            return
        finally:
            _tidy(part, sure=wanted.checksum is not None)
    if wrong is not None:
        raise wrong
    if renewing:
        raise MissingFilesError(
            f"{wanted.name} has changed where it is published, and the new version could not be fetched "
            f"({'; '.join(said)}). The copy from before is still at {wanted.path}; try again with `{wanted.fetch}`."
        )
    raise MissingFilesError(missing(wanted, "; ".join(said)))


def _bring(place: str, part: Path, wanted: Published, progress: Progress, patience: Patience) -> Version:
    """`part` made whole from one place. Raises RefusedError, BrokenError (the tries are over), OSError."""
    following = _Following(place, part, wanted, progress)
    if not is_url(place):
        return following.copy()
    if is_offline():
        raise RefusedError(f"{OFFLINE} is set")
    left, furthest, pause = patience.tries, 0, patience.pause_s
    while True:
        try:
            return transfer(place, part, following.known(), patience, following.told)
        except BrokenError as error:
            if following.have >= furthest + patience.slow_bytes:
                left, furthest, pause = patience.tries, following.have, patience.pause_s
            left -= 1
            if left <= 0:
                raise
            wait = min(max(pause, error.wait), patience.longest_pause_s)
            progress.say(f"{wanted.name}: {error}; trying again in {wait:g} s.")
            time.sleep(wait)
            pause *= 2


class _Following:
    """What is known of a beginning, kept on disk for the next process, and told as progress."""

    def __init__(self, place: str, part: Path, wanted: Published, progress: Progress) -> None:
        self._place, self._part, self._wanted, self._progress = place, part, wanted, progress
        self._version: Version | None = None
        self.have = 0

    def known(self) -> Version | None:
        """The version of which `part` is a beginning that can be gone on with, else None."""
        place, version = _read_beginning(self._part)
        return version if place == self._place and _can_go_on(version, sure=self._wanted.checksum is not None) else None

    def told(self, version: Version, have: int) -> None:
        if version != self._version:
            if self._version is None:
                size = "" if version.size is None else f" ({version.size / 1e6:,.1f} MB)"
                self._progress.say(f"Fetching {self._wanted.name}{size} from {shown(self._place)}")
                self._progress.start("download", version.size)
            self._version = version
            write_json(_beginning(self._part), {"place": self._place, "version": asdict(version)})
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
        with file, self._part.open("wb") as out:
            have = 0
            while piece := file.read(CHUNK):
                out.write(piece)
                have += len(piece)
                self.told(version, have)
            out.flush()
            os.fsync(out.fileno())
        return version


def _accept(wanted: Published, found: Path, origin: str, version: Version) -> Receipt:
    """Give a whole file its name, and write its receipt. Raises WrongChecksumError, the file then removed."""
    kind, _, expected = (wanted.checksum or "sha256:").partition(":")
    digests = _digests(found, {"sha256", kind})
    if expected and digests[kind] != expected.lower():
        differs = f"{kind} {digests[kind]}, expected {expected.lower()}"
        if not origin:
            raise WrongChecksumError(f"{found} is not the published file: {differs}. Remove it, then `{wanted.fetch}`.")
        found.unlink()
        raise WrongChecksumError(
            f"What {shown(origin)} sent as {wanted.name} is not the published file, and was removed: {differs}."
        )
    receipt = Receipt(origin=origin, version=version, size=found.stat().st_size, digest=digests["sha256"])
    # The old receipt goes before the file comes: at no moment is one beside a file that it is not of.
    (wanted.path.parent / "receipt.json").unlink(missing_ok=True)
    found.replace(wanted.path)
    keep(wanted, receipt)
    return receipt


def _digests(path: Path, kinds: set[str]) -> dict[str, str]:
    """Digests in hex, in one pass."""
    made = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            for each in made.values():
                each.update(piece)
    return {kind: each.hexdigest() for kind, each in made.items()}


def _look(place: str) -> Version:
    if is_url(place):
        if is_offline():
            raise BrokenError(f"{OFFLINE} is set")
        return version_of(place, GLANCE)
    try:
        facts = Path(place).stat()
    except OSError as error:
        raise RefusedError(error.strerror or str(error)) from error
    return Version(modified=str(facts.st_mtime_ns), size=facts.st_size)


def _beginning(part: Path) -> Path:
    return part.with_name("part.json")


def _read_beginning(part: Path) -> tuple[str, Version | None]:
    """Of which place and version a `.part` is the beginning."""
    try:
        found = json.loads(_beginning(part).read_text(encoding="utf-8"))
        return str(found["place"]), Version(**found["version"])
    except (OSError, ValueError, TypeError, KeyError):
        return "", None


def _can_go_on(version: Version | None, *, sure: bool) -> bool:
    """sure: a checksum will tell. Without one only a validator says that the rest belongs to the beginning."""
    return version is not None and (sure or version.validator is not None)


def _tidy(part: Path, *, sure: bool) -> None:
    """Leave nothing behind but a beginning that a later try can go on from."""
    if not part.exists() or not _can_go_on(_read_beginning(part)[1], sure=sure):
        part.unlink(missing_ok=True)
        _beginning(part).unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock for the block; it dies with its holder. Raises OSError."""
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
