"""Where a network's weights are: in the package, a local file, a file of a Hugging Face repository, or behind a URL.

Looking is apart from fetching. A fingerprint only looks; `load` may ask once; nothing is fetched where HF_HUB_OFFLINE
is set. What was fetched is recorded (`pins`), and other bytes under the same name are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from semsim_pipeline import hub
from semsim_pipeline.encoders import pins
from semsim_pipeline.encoders.digests import weights_digest
from semsim_pipeline.encoders.pins import DIGITS_SHOWN
from semsim_pipeline.encoders.precision import split_precision
from semsim_pipeline.encoders.url_weights import UrlWeights
from semsim_pipeline.errors import MissingWeightsError, UnusableWeightsError
from semsim_pipeline.fingerprint import digest_of_file
from semsim_pipeline.progress import Progress

MAIN = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedWeights:
    """A small file that ships with the package. path: absolute."""

    path: Path

    def in_words(self) -> str:
        return f"{self.path.name}, in the package"

    def find(self, name: str) -> Path:
        """The file. Raises MissingWeightsError where the installation is not whole."""
        if not self.path.is_file():
            raise MissingWeightsError(
                f"The weights of {name!r} are not at {self.path}, where the package has them: install it again "
                "(`pip install --force-reinstall semsim-pipeline`)."
            )
        return self.path

    def fetch(self, name: str, progress: Progress | None = None) -> Path:  # noqa: ARG002
        """The same as `find`: there is nothing to download."""
        return self.find(name)

    def digest(self, name: str) -> str:
        """SHA-256 in hex of the file, read each time: two milliseconds, and nothing to remember under SEMSIM_HOME."""
        return digest_of_file(self.find(name))

    def renew(self, name: str, progress: Progress | None = None) -> Path:  # noqa: ARG002
        """The same as `find`: what ships with the package changes with it."""
        return self.find(name)

    def revision_of(self, path: Path) -> str:  # noqa: ARG002 - the package's version is its revision
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWeights:
    """A checkpoint that the user has. path: absolute, so that a worker with another working folder finds it."""

    path: Path

    def in_words(self) -> str:
        return f"{self.path}"

    def find(self, name: str) -> Path:
        """The file. Raises MissingWeightsError where it has gone."""
        if not self.path.is_file():
            raise MissingWeightsError(
                f"The weights of {name!r} are not at {self.path}: put the checkpoint there, or name another file."
            )
        return self.path

    def fetch(self, name: str, progress: Progress | None = None) -> Path:  # noqa: ARG002
        """The same as `find`: there is nothing to download."""
        return self.find(name)

    def digest(self, name: str) -> str:
        """SHA-256 in hex of the file. Raises as `find`."""
        return weights_digest(self.find(name))

    def renew(self, name: str, progress: Progress | None = None) -> Path:  # noqa: ARG002
        """The same as `find`: what the user puts there is what it is."""
        return self.find(name)

    def revision_of(self, path: Path) -> str:  # noqa: ARG002 - a local file has no revision
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubWeights:
    """A published file. filenames: equal weights in several formats, the preferred (safetensors) first.

    revision: a branch, tag or commit, as asked for. The commit that it meant when it was fetched is recorded, and is
    what it means from then on. local_spelling: the name of the encoder of the same recipe (in float32) with a local
    copy instead; "" where there is none.
    """

    repo: str
    filenames: tuple[str, ...]
    local_spelling: str = ""
    revision: str = MAIN

    @property
    def place(self) -> str:
        """What the record is kept under."""
        return f"hub:{self.repo}@{self.revision}:{self.filenames[0]}"

    def in_words(self) -> str:
        return f"{self.repo}/{self.filenames[0]} at {self.revision} (Hugging Face), identified by the file's SHA-256"

    def find(self, name: str) -> Path:
        """The cached file, without a network. Raises MissingWeightsError; UnusableWeightsError where it changed."""
        path = self._cached(name)
        if path is None:
            raise MissingWeightsError(self._missing(name, "not on this machine"))
        return path

    def fetch(self, name: str, progress: Progress | None = None) -> Path:  # noqa: ARG002
        """The cached file, downloaded where absent; an interrupted download is resumed. In a terminal the hub's library
        draws a bar of its own.

        Raises MissingWeightsError: offline, unreachable, refused, no such file, or no space. UnusableWeightsError:
        what came is not what the hub says it has, or not what it was before; nothing of it is kept.
        """
        pin = pins.pinned(self.place)
        path = self._cached(name)
        fresh = path is None
        if path is None:
            path = self._from_hub(name, (pin.filename,) if pin else self.filenames, pin.revision if pin else None)
        self._check_stated(name, path, fresh=fresh)
        if pin is None:
            pins.keep(self.place, path, filename=path.name, revision=hub.commit_of(path))
        elif fresh:
            self._check_pin(name, path, pin)
        return path

    def digest(self, name: str) -> str:
        """SHA-256 in hex of the file. Raises as `find`."""
        return weights_digest(self.find(name))

    def renew(self, name: str, progress: Progress | None = None) -> Path:  # noqa: ARG002
        """What the hub has now, whatever was recorded; a damaged copy is replaced. Raises as `fetch`."""
        path = self._cached(name, checked=False)
        if path is not None and hub.stated_digest(path) not in {None, weights_digest(path)}:
            hub.remove_cached(path)
        path = self._from_hub(name, self.filenames, None)
        self._check_stated(name, path, fresh=True)
        pins.keep(self.place, path, filename=path.name, revision=hub.commit_of(path))
        return path

    def revision_of(self, path: Path) -> str:
        return hub.commit_of(path)

    def _cached(self, name: str, *, checked: bool = True) -> Path | None:
        pin = pins.pinned(self.place)
        if pin is not None:
            path = hub.cached_file(self.repo, pin.filename, pin.revision)
            if path is not None and checked:
                pins.check(name, path, pin)
            return path
        found = (hub.cached_file(self.repo, filename, self.revision) for filename in self.filenames)
        return next((path for path in found if path is not None), None)

    def _from_hub(self, name: str, filenames: tuple[str, ...], commit: str | None) -> Path:
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        if reason := hub.why_not_asked(hub.endpoint()):
            raise MissingWeightsError(self._missing(name, reason))
        revision = commit or self.revision
        for filename in filenames:
            try:
                return hub.download(self.repo, filename, revision)
            except LocalEntryNotFoundError as error:
                # Raised for an unreachable hub; a subclass of EntryNotFoundError, hence asked for first.
                raise MissingWeightsError(self._missing(name, hub.refusal(error, self.repo, revision))) from error
            except EntryNotFoundError:
                continue
            except hub.failures_of_a_download() as error:
                raise MissingWeightsError(self._missing(name, hub.refusal(error, self.repo, revision))) from error
        raise MissingWeightsError(self._missing(name, f"the repository holds none of {', '.join(filenames)}"))

    def _check_stated(self, name: str, path: Path, *, fresh: bool) -> None:
        """The hub's library compares sizes only; a large file's name in its cache is the digest that the hub stated."""
        stated, digest = hub.stated_digest(path), weights_digest(path)
        if stated in {None, digest}:
            return
        if fresh:
            hub.remove_cached(path)
        raise UnusableWeightsError(
            f"The weights of {name!r} are damaged: {path.name} of {self.repo} has SHA-256 {digest[:DIGITS_SHOWN]}…, "
            f"and the hub states {str(stated)[:DIGITS_SHOWN]}…. {'Nothing was kept. ' if fresh else ''}Fetch them "
            f"again: `semsim encoders fetch {name} --update`."
        )

    def _check_pin(self, name: str, path: Path, pin: pins.Pin) -> None:
        try:
            pins.check(name, path, pin)
        except UnusableWeightsError:
            hub.remove_cached(path)
            raise

    def _missing(self, name: str, reason: str) -> str:
        return (
            f"The weights of {name!r} are missing ({reason}): {self.filenames[0]} of {self.repo} on Hugging Face. "
            f"Fetch it with `semsim encoders fetch {name}` on a machine with a network and "
            f"{hub.copied_folder(self.repo)}{self._or_named(name)}."
        )

    def _or_named(self, name: str) -> str:
        if not self.local_spelling:
            return ""
        plain, _ = split_precision(name)
        return f", or name a local copy as {self.local_spelling + name.removeprefix(plain)!r}"


Weights = PackagedWeights | LocalWeights | HubWeights | UrlWeights
