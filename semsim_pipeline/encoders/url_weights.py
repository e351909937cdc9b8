"""Weights that are published behind a plain URL, with the first digits of their SHA-256 in the file's name.

That is torch's convention (`weights-6726825d.pth`), and torch's own cache is used, so that what another program has
fetched is found. torch's downloader is not used: it neither resumes nor ever gives up on a server that went silent.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from semsim_pipeline import hub
from semsim_pipeline.encoders import pins
from semsim_pipeline.encoders.digests import weights_digest
from semsim_pipeline.errors import MissingWeightsError, UnusableWeightsError
from semsim_pipeline.fingerprint import digest_of_file

MIRROR = "SEMSIM_WEIGHTS_MIRROR"
"""A folder's URL that is asked instead of the published place, for the same file name."""
TRIES = 3
BLOCK = 1 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlWeights:
    """url: of the file. digest_prefix: the first hex digits of its SHA-256, as published."""

    url: str
    digest_prefix: str

    @property
    def filename(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """Where it is kept: torch's folder of checkpoints."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        home = os.environ.get("TORCH_HOME")
        return (Path(home).expanduser() if home else cache / "torch") / "hub" / "checkpoints" / self.filename

    def in_words(self) -> str:
        return f"{self.filename} ({self.url}), SHA-256 {self.digest_prefix}…"

    def find(self, name: str) -> Path:
        """The file, without a network. Raises MissingWeightsError; UnusableWeightsError: not the published file."""
        if not self.path.is_file():
            raise MissingWeightsError(self._missing(name, "not on this machine"))
        self._check(name, self.path, weights_digest(self.path))
        return self.path

    def digest(self, name: str) -> str:
        """SHA-256 in hex of the file. Raises as `find`."""
        return weights_digest(self.find(name))

    def fetch(self, name: str) -> Path:
        """The file, downloaded where absent; what an interrupted download has brought is kept, and goes on there.

        Raises as `find`; MissingWeightsError: offline, unreachable, refused, no space.
        """
        if not self.path.is_file():
            self._download(name)
        path = self.find(name)
        if pins.pinned(self.url) is None:
            pins.keep(self.url, path, filename=self.filename, revision="")
        return path

    def renew(self, name: str) -> Path:
        """The file as it is published now, whatever lies there. Raises as `fetch`."""
        self._download(name)
        pins.forget(self.url)
        return self.fetch(name)

    def revision_of(self, path: Path) -> str:  # noqa: ARG002 - a URL has no revision
        return ""

    def _download(self, name: str) -> None:
        mirror = os.environ.get(MIRROR)
        address = f"{mirror.rstrip('/')}/{self.filename}" if mirror else self.url
        if reason := hub.why_not_asked(address):
            raise MissingWeightsError(self._missing(name, reason))
        part = self.path.with_name(f"{self.filename}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            _receive(address, part)
        except HTTPError as error:
            error.close()
            raise MissingWeightsError(self._missing(name, f"{address} answered {error.code}")) from error
        except (OSError, URLError) as error:
            raise MissingWeightsError(self._missing(name, f"{address}: {hub.first_line(error)}")) from error
        try:
            self._check(name, part, digest_of_file(part))
        except UnusableWeightsError:
            part.unlink()
            raise
        part.replace(self.path)

    def _check(self, name: str, path: Path, digest: str) -> None:
        if not digest.startswith(self.digest_prefix):
            raise UnusableWeightsError(
                f"The weights of {name!r} are damaged: {path} has SHA-256 {digest[:12]}…, and {self.digest_prefix}… is "
                f"published. Delete the file if it is still there and fetch it again: `semsim encoders fetch {name}`."
            )

    def _missing(self, name: str, reason: str) -> str:
        return (
            f"The weights of {name!r} are missing ({reason}): fetch {self.url} with `semsim encoders fetch {name}` "
            f"on a machine with a network and put it at {self.path}, or name a mirror's folder in {MIRROR}."
        )


def _receive(address: str, part: Path) -> None:
    """Append what `part` lacks. Raises OSError (URLError and HTTPError are) where three tries bring no end of it."""
    for left in reversed(range(TRIES)):
        try:
            _append(address, part)
        except HTTPError:
            raise
        except OSError as error:
            if left == 0:
                raise
            logger.info("%s: %s; going on from byte %d", address, error, part.stat().st_size if part.exists() else 0)
        else:
            return


def _append(address: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = Request(address, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 - published, or set by the user
    try:
        answer = urlopen(request, timeout=hub.HUB_TIMEOUT_S)  # noqa: S310
    except HTTPError as error:
        if error.code == 416:  # nothing is left to send: all of it is here, as its digest will tell
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        expected = answer.headers.get("Content-Length")
        got = 0
        while block := answer.read(BLOCK):
            file.write(block)
            got += len(block)
    if expected is not None and got != int(expected):
        raise OSError(f"the connection ended after {have + got:,} bytes")
