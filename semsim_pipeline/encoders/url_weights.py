"""Weights that are published behind a plain URL, with the first digits of their SHA-256 in the file's name.

That is torch's convention (`weights-6726825d.pth`), and torch's own cache is used, so that what another program has
fetched is found. torch's downloader is not used: it neither resumes nor ever gives up on a server that went silent.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from semsim_pipeline import downloads, hub
from semsim_pipeline.addresses import shown
from semsim_pipeline.bring import Beginning, NowhereError, WrongFileError, bring_from_one_of, locked
from semsim_pipeline.encoders import pins
from semsim_pipeline.encoders.digests import weights_digest
from semsim_pipeline.errors import MissingWeightsError, UnusableWeightsError
from semsim_pipeline.fingerprint import digest_of_file
from semsim_pipeline.progress import Progress, Silent
from semsim_pipeline.transfer import Patience

PATIENCE = Patience()

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
        digest = weights_digest(self.path)
        if not digest.startswith(self.digest_prefix):
            raise UnusableWeightsError(
                f"The weights of {name!r} are damaged: {self.path} has SHA-256 {digest[:12]}…, and "
                f"{self.digest_prefix}… is published. Delete the file and fetch it again: "
                f"`semsim encoders fetch {name}`."
            )
        return self.path

    def digest(self, name: str) -> str:
        """SHA-256 in hex of the file. Raises as `find`."""
        return weights_digest(self.find(name))

    def fetch(self, name: str, progress: Progress | None = None) -> Path:
        """The file, downloaded where absent; what an interrupted download has brought is kept, and goes on there.

        Raises as `find`; MissingWeightsError: offline, unreachable, refused, no space. UnusableWeightsError: other
        bytes from every place that had any, none of them kept.
        """
        if not self.path.is_file():
            self._download(name, progress or _Logged(), renewing=False)
        path = self.find(name)
        if pins.pinned(self.url) is None:
            pins.keep(self.url, path, filename=self.filename, revision="")
        return path

    def renew(self, name: str, progress: Progress | None = None) -> Path:
        """The file as it is published now, whatever lies there. Raises as `fetch`."""
        self._download(name, progress or _Logged(), renewing=True)
        pins.forget(self.url)
        return self.fetch(name)

    def revision_of(self, path: Path) -> str:  # noqa: ARG002 - a URL has no revision
        return ""

    def _download(self, name: str, progress: Progress, *, renewing: bool) -> None:
        """Two processes wait for each other. Raises MissingWeightsError, UnusableWeightsError."""
        places = downloads.places(self.url, self.filename)
        if all(downloads.is_url(place) for place in places) and (setting := hub.forbidding()):
            raise MissingWeightsError(self._missing(name, f"not on this machine, and {setting} is set"))
        lock = self.path.with_name(f".{self.filename}.lock")
        try:
            with locked(lock, lambda: progress.say(f"Another process fetches {self.filename}; waiting.")):
                if renewing or not self.path.is_file():
                    self._from_one_of(places, name, progress)
        except OSError as error:
            raise MissingWeightsError(self._missing(name, f"{self.path.parent}: {hub.first_line(error)}")) from error

    def _from_one_of(self, places: list[str], name: str, progress: Progress) -> None:
        part = self.path.with_name(f"{self.filename}.part")
        beginning = Beginning(name=self.filename, part=part, note=part.with_name(f".{part.name}.json"), sure=True)
        try:
            bring_from_one_of(
                places, beginning, progress, PATIENCE,
                lambda place, _: self._accept(name, part, place, last=place == places[-1]),
                # Nobody there is said at once, not after five tries: most machines without the file have no network.
                why_not=lambda place: hub.why_not_asked(place) if downloads.is_url(place) else None,
            )  # fmt: skip
        except NowhereError as nowhere:
            raise MissingWeightsError(self._missing(name, str(nowhere))) from nowhere

    def _accept(self, name: str, part: Path, place: str, *, last: bool) -> None:
        """Give the whole file its name, or remove it. Raises WrongFileError."""
        digest = digest_of_file(part)
        if not digest.startswith(self.digest_prefix):
            part.unlink()
            words = f"What {shown(place)} has as {self.filename} is not the published file."
            if not last:  # the last one's is the error
                logger.warning("%s Nothing of it was kept; the next place is asked.", words)
            raise WrongFileError(
                words,
                error=UnusableWeightsError(
                    f"The weights of {name!r} are damaged: what {shown(place)} sent as {self.filename} has SHA-256 "
                    f"{digest[:12]}…, and {self.digest_prefix}… is published. Nothing was kept. Fetch them again: "
                    f"`semsim encoders fetch {name}`, or name another mirror in {downloads.MIRROR}."
                ),
            )
        part.replace(self.path)

    def _missing(self, name: str, reason: str) -> str:
        return (
            f"The weights of {name!r} are missing ({reason}): fetch {self.url} with `semsim encoders fetch {name}` "
            f"on a machine with a network and put it at {self.path}, or name a mirror in {downloads.MIRROR}."
        )


class _Logged(Silent):
    """For weights that come in the middle of other work, which has no line for them on the screen."""

    def say(self, message: str) -> None:
        logger.info(message)
