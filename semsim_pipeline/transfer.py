"""One request over HTTP for a file or for its version: ranges, validators, time limits, and errors in words.

`requests` does the transport. Of the libraries for downloads, pooch cannot go on with a broken download, so the range
is asked for here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.addresses import shown, without_secrets

if TYPE_CHECKING:
    from requests import Response

PIECE_BYTES = 1 << 16
BUSY = {408, 425, 429}
"""Answers below 500 that a later request may not get."""
NO_HEAD = {403, 405, 501}


class RefusedError(Exception):
    """The server has answered, and asking again would not help."""


class BrokenError(Exception):
    """No answer, or none that is whole; worth another try. wait: seconds that the server asks for, 0 if none."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server may take. connect_s, read_s: until it answers, and until its next bytes.

    slow_s, slow_bytes: a line that brings fewer bytes in so many seconds counts as broken. tries: in a row that bring
    fewer than slow_bytes. pause_s: before the second try, doubled for each next one, longest_pause_s at most.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    slow_s: float = 60.0
    slow_bytes: int = 60_000
    tries: int = 5
    pause_s: float = 1.0
    longest_pause_s: float = 30.0


GLANCE = Patience(connect_s=3.0, read_s=3.0, tries=1)
"""For a look whether something changed: sensors do many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a server says that a file is. size: bytes, None where it does not say."""

    etag: str | None = None
    modified: str | None = None
    size: int | None = None

    @property
    def validator(self) -> str | None:
        """For If-Range: a strong ETag, else the date. None where the rest could be another file's."""
        return self.etag if self.etag is not None and not self.etag.startswith("W/") else self.modified

    def same_as(self, other: Version) -> bool:
        """By ETag where both have one (weak or strong), else by date, and never with another size."""
        if self.size is not None and other.size is not None and self.size != other.size:
            return False
        if self.etag is not None and other.etag is not None:
            return self.etag.removeprefix("W/") == other.etag.removeprefix("W/")
        return self.modified == other.modified

    def mark(self) -> str:
        """Text that changes with the version, for stamps."""
        return f"etag {self.etag.removeprefix('W/')}" if self.etag else f"{self.modified} {self.size}"


def version_of(url: str, patience: Patience = GLANCE) -> Version:
    """What the server says of a file, by HEAD, or by the head of a GET where it takes no HEAD.

    Raises RefusedError, BrokenError. Cost: a request.
    """
    with _answer("HEAD", url, {}, patience) as response:
        if response.status_code not in NO_HEAD:
            _check(response)
            return _said(response)
    with _answer("GET", url, {}, patience) as response:
        _check(response)
        return _said(response)


def transfer(
    url: str, part: Path, known: Version | None, patience: Patience, told: Callable[[Version, int], None]
) -> Version:
    """One try to bring a file into `part`, going on behind what is there where the server still has that version.

    known: the version that `part` is a beginning of; one that says nothing fits any; None to begin anew. told: called
    with the version before the first byte of it is written, and with the bytes that are there, again and again.
    Returns the version, `part` then being whole. Raises RefusedError, BrokenError; OSError where the disk refuses.
    """
    have = part.stat().st_size if known is not None and part.exists() else 0
    headers = {}
    if known is not None and have:
        headers["Range"] = f"bytes={have}-"
        if known.validator is not None:
            headers["If-Range"] = known.validator
    with _answer("GET", url, headers, patience) as response:
        if response.status_code == 416:
            whole = None if known is None else known.size if known.size is not None else _total(response)
            if known is not None and whole == have:
                return known
            part.unlink(missing_ok=True)
            raise BrokenError("it has changed meanwhile")
        _check(response)
        version = _said(response)
        if response.status_code == 206:
            version = _continued(response, known, have)
        else:
            have = 0
        _make_room(part, (version.size or 0) - have)
        told(version, have)
        with part.open("ab" if have else "wb") as file:
            for piece in _pieces(response, patience):
                file.write(piece)
                have += len(piece)
                told(version, have)
            file.flush()
            os.fsync(file.fileno())
    if version.size is not None and have != version.size:
        raise BrokenError(f"it ended behind {have:,} of {version.size:,} bytes")
    return version


def _continued(response: Response, known: Version | None, have: int) -> Version:
    """The version that an answer to a range belongs to. Raises BrokenError where it is not the rest of what is here."""
    span = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")[0]
    said = _said(response)
    found = Version(etag=said.etag, modified=said.modified, size=_total(response))
    fits = known is not None and (known == Version() or known.same_as(found))
    if span.split("-")[0] != str(have) or not fits:
        raise BrokenError("it has changed meanwhile")
    return found


def _total(response: Response) -> int | None:
    """The whole file's bytes by Content-Range, None where it does not say."""
    total = response.headers.get("Content-Range", "").partition("/")[2]
    return int(total) if total.isdigit() else None


@contextmanager
def _answer(method: str, url: str, headers: dict[str, str], patience: Patience) -> Iterator[Response]:
    """An answer whose body was not read. Raises BrokenError, also for what breaks while it is read; RefusedError."""
    import requests

    # Identity: a packed answer has another length and another ETag than the file.
    asked = {"Accept-Encoding": "identity", "User-Agent": "semsim", **headers}
    limits = (patience.connect_s, patience.read_s)
    try:
        with requests.request(
            method, url, headers=asked, timeout=limits, stream=True, allow_redirects=True
        ) as response:
            yield response
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema) as e:
        raise RefusedError(f"{shown(url)} is no address") from e
    except requests.exceptions.ConnectTimeout as e:
        raise BrokenError(f"no connection within {patience.connect_s:g} s") from e
    except requests.exceptions.ReadTimeout as e:
        raise BrokenError(f"no answer within {patience.read_s:g} s") from e
    except requests.exceptions.SSLError as e:
        raise RefusedError("its certificate is not valid") from e
    except requests.exceptions.ConnectionError as e:
        raise BrokenError("it cannot be reached") from e
    except requests.exceptions.RequestException as e:
        raise BrokenError(without_secrets(str(e).splitlines()[0]) or type(e).__name__) from e


def _pieces(response: Response, patience: Patience) -> Iterator[bytes]:
    """The body as it arrives. Raises BrokenError: silence, a line that is too slow, a connection that ends."""
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    began, since = time.monotonic(), 0
    try:
        # read1 and not iter_content, which waits until a piece is full: on a dripping line, for ever.
        while piece := response.raw.read1(PIECE_BYTES):
            yield piece
            since += len(piece)
            if time.monotonic() - began > patience.slow_s:
                if since < patience.slow_bytes:
                    raise BrokenError(f"fewer than {patience.slow_bytes:,} bytes in {patience.slow_s:g} s")
                began, since = time.monotonic(), 0
    except ReadTimeoutError as error:
        raise BrokenError(f"no data for {patience.read_s:g} s") from error
    except HTTPError as error:
        raise BrokenError("the connection broke") from error


def _check(response: Response) -> None:
    """Raises RefusedError, BrokenError for an answer that is no file."""
    status = response.status_code
    if status < 400:
        return
    said = f"HTTP {status} {response.reason or ''}".rstrip()
    if status in BUSY or status >= 500:
        after = response.headers.get("Retry-After", "")
        raise BrokenError(said, float(after) if after.isdigit() else 0.0)
    raise RefusedError(said)


def _said(response: Response) -> Version:
    size = response.headers.get("Content-Length", "")
    return Version(
        etag=response.headers.get("ETag"),
        modified=response.headers.get("Last-Modified"),
        size=int(size) if size.isdigit() else None,
    )


def _make_room(part: Path, wanted: int) -> None:
    """Raises OSError (no space) before the first byte, where the disk cannot hold the file."""
    import errno
    import shutil

    if wanted > shutil.disk_usage(part.parent).free:
        raise OSError(errno.ENOSPC, f"No space left for {wanted:,} bytes", str(part))
