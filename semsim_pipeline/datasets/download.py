"""A published file, brought to this machine once: mirrors, tries, resume, checksum, and a name only for the whole.

A folder for each file holds it, `receipt.json` (where it came from, which version it is), and, while it is under way,
`NAME.part` with `part.json`, from which an interrupted download goes on.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.addresses import shown
from semsim_pipeline.bring import CHUNK, Beginning, NowhereError, WrongFileError, bring_from_one_of, locked
from semsim_pipeline.datasets.published import (
    Published,
    Receipt,
    keep,
    missing,
    places,
    receipt_of,
)
from semsim_pipeline.datasets.right_kind import problem_of
from semsim_pipeline.downloads import OFFLINE, is_offline, is_url
from semsim_pipeline.errors import MissingFilesError, StoreError, UnreachableError, WrongChecksumError
from semsim_pipeline.home import cannot_write
from semsim_pipeline.transfer import GLANCE, BrokenError, Patience, RefusedError, Version, version_of

if TYPE_CHECKING:
    from semsim_pipeline.progress import Progress

PATIENCE = Patience()


def download(wanted: Published, progress: Progress, patience: Patience | None = None) -> Path:
    """The file: fetched where it is not here, or where its origin has another version by now.

    A file with a checksum is never asked for again. One without that is not whole, by its structure, is fetched
    again. Where the origin does not answer, what is here is used, and that is said. Two processes wait for each
    other. A `.part` stays where a try may go on from it, nothing else.
    Raises MissingFilesError, UnreachableError, WrongChecksumError; StoreError where the disk refuses.
    """
    path = wanted.path
    try:
        with locked(path.parent / ".lock", lambda: progress.say(f"Another process fetches {wanted.name}; waiting.")):
            held = _held(wanted, progress)
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
    raise missing(wanted, "; ".join(said))


def _is_current(wanted: Published, held: Receipt, progress: Progress) -> bool:
    if wanted.checksum is not None:
        return True
    try:
        now = version_now(wanted)
    except MissingFilesError as error:
        progress.say(f"{wanted.name}: the copy on this machine is used ({error.reason}).")
        return True
    if held.origin == "" and now.size == held.size:  # put there by hand: from now on it is this version
        keep(wanted, replace(held, origin=places(wanted)[-1], version=now))
        return True
    return held.version.same_as(now)


def _held(wanted: Published, progress: Progress) -> Receipt | None:
    """The receipt; written here for a file that somebody put in its place. None also for a file that is not whole.

    Raises WrongChecksumError.
    """
    if wanted.path.is_file() and (problem := _problem_of(wanted, wanted.path)):
        progress.say(f"{wanted.path} {problem}: fetching it again.")
        return None
    receipt = receipt_of(wanted)
    if receipt is None and wanted.path.is_file():
        try:
            return _accept(wanted, wanted.path, "", Version())
        except _OtherBytesError as differs:
            raise WrongChecksumError(
                f"{wanted.path} is not the published file: {differs}. Remove it, then `{wanted.fetch}`."
            ) from differs
    return receipt


def _fetch(wanted: Published, progress: Progress, patience: Patience, *, renewing: bool) -> None:
    """From the first place that has it. Raises MissingFilesError, WrongChecksumError, OSError."""
    part = wanted.path.with_name(f"{wanted.name}.part")
    beginning = Beginning(
        name=wanted.name, part=part, note=part.with_name("part.json"), sure=wanted.checksum is not None
    )
    try:
        bring_from_one_of(
            places(wanted),
            beginning,
            progress,
            patience,
            lambda place, version: _accept_from(place, version, wanted, part),
        )
    except NowhereError as nowhere:
        if renewing:
            raise MissingFilesError(
                f"{wanted.name} has changed where it is published, and the new version could not be fetched "
                f"({nowhere}). The copy from before is still at {wanted.path}; try again with `{wanted.fetch}`."
            ) from nowhere
        raise missing(wanted, str(nowhere)) from nowhere


def _problem_of(wanted: Published, found: Path) -> str | None:
    """What is wrong with a file by its structure. A checksum says more, so such a file is not looked at."""
    return problem_of(found, wanted.name) if wanted.checksum is None else None


def _accept_from(place: str, version: Version, wanted: Published, part: Path) -> None:
    """Keep what a place sent whole, or remove it. Raises WrongFileError."""
    if problem := _problem_of(wanted, part):
        part.unlink()
        raise WrongFileError(
            f"What {shown(place)} sent as {wanted.name} {problem}; it was not kept.",
            reason=f"what {shown(place)} sent {problem}",
        )
    try:
        _accept(wanted, part, place, version)
    except _OtherBytesError as differs:
        part.unlink()
        error = WrongChecksumError(
            f"What {shown(place)} sent as {wanted.name} is not the published file, and was removed: {differs}."
        )
        raise WrongFileError(str(error), error=error) from differs


class _OtherBytesError(Exception):
    """A checksum that is not the published one; both in words."""


def _accept(wanted: Published, found: Path, origin: str, version: Version) -> Receipt:
    """Give a whole file its name, and write its receipt. Raises _OtherBytesError."""
    kind, _, expected = (wanted.checksum or "sha256:").partition(":")
    digests = _digests(found, {"sha256", kind})
    if expected and digests[kind] != expected.lower():
        raise _OtherBytesError(f"{kind} {digests[kind]}, expected {expected.lower()}")
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
