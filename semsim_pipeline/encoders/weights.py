"""Where a network's weights are: in the package, a local file, or a file of a Hugging Face repository and its cache.

Looking is apart from fetching. A fingerprint only looks; `load` may ask the hub once; nothing is fetched where
HF_HUB_OFFLINE is set. That variable, the endpoint's and the cache's are read at each call, not once at import.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from semsim_pipeline.encoders.atomic_json import write_json
from semsim_pipeline.errors import MissingWeightsError, StoreError
from semsim_pipeline.fingerprint import digest_of_file
from semsim_pipeline.home import ensure_home

DEFAULT_ENDPOINT = "https://huggingface.co"
HUB_TIMEOUT_S = 10.0
"""For the hub's first answer; a machine without a network then fails in seconds, not minutes."""

logger = logging.getLogger(__name__)


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

    def fetch(self, name: str) -> Path:
        """The same as `find`: there is nothing to download."""
        return self.find(name)

    def digest(self, name: str) -> str:
        """SHA-256 in hex of the file, read each time: two milliseconds, and nothing to remember under SEMSIM_HOME."""
        return digest_of_file(self.find(name))


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

    def fetch(self, name: str) -> Path:
        """The same as `find`: there is nothing to download."""
        return self.find(name)

    def digest(self, name: str) -> str:
        """SHA-256 in hex of the file. Raises MissingWeightsError."""
        return weights_digest(self.find(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class HubWeights:
    """A published file. filenames: equal weights in several formats, the preferred (safetensors) first.

    revision: a branch, tag or commit; the commit that was fetched is part of the cached file's path, and a fingerprint
    records the file's own SHA-256, which says more than either. local_spelling: how to name a local copy instead.
    """

    repo: str
    filenames: tuple[str, ...]
    local_spelling: str
    revision: str = "main"

    def in_words(self) -> str:
        return f"{self.repo}/{self.filenames[0]} at {self.revision} (Hugging Face), identified by the file's SHA-256"

    def find(self, name: str) -> Path:
        """The cached file, without a network. Raises MissingWeightsError."""
        path = self._cached()
        if path is None:
            raise MissingWeightsError(self._missing(name, "not on this machine"))
        return path

    def fetch(self, name: str) -> Path:
        """The cached file, downloaded where absent; an interrupted download is resumed.

        Raises MissingWeightsError: offline, unreachable, refused, no such file, or no space.
        """
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        cached = self._cached()
        if cached is not None:
            return cached
        if is_offline():
            raise MissingWeightsError(self._missing(name, "not on this machine, and HF_HUB_OFFLINE is set"))
        if reason := unreachable(os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT):
            raise MissingWeightsError(self._missing(name, reason))
        for filename in self.filenames:
            try:
                return self._download(filename)
            except LocalEntryNotFoundError as error:
                # Raised for an unreachable hub; a subclass of EntryNotFoundError, hence asked for first.
                raise MissingWeightsError(self._missing(name, _first_line(error.__cause__ or error))) from error
            except EntryNotFoundError:
                continue
            except _failures_of_a_download() as error:
                raise MissingWeightsError(self._missing(name, _first_line(error))) from error
        raise MissingWeightsError(self._missing(name, f"the repository holds none of {', '.join(self.filenames)}"))

    def digest(self, name: str) -> str:
        """SHA-256 in hex of the file. Raises MissingWeightsError."""
        return weights_digest(self.find(name))

    def _cached(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        for filename in self.filenames:
            found = try_to_load_from_cache(self.repo, filename, cache_dir=hub_cache(), revision=self.revision)
            if isinstance(found, str):
                return Path(found)
        return None

    def _download(self, filename: str) -> Path:
        from huggingface_hub import hf_hub_download

        logger.info("Fetching %s of %s", filename, self.repo)
        with _short_timeouts():
            return Path(
                hf_hub_download(
                    self.repo,
                    filename,
                    revision=self.revision,
                    cache_dir=hub_cache(),
                    endpoint=os.environ.get("HF_ENDPOINT") or None,
                    etag_timeout=HUB_TIMEOUT_S,
                )
            )

    def _missing(self, name: str, reason: str) -> str:
        return (
            f"The weights of {name!r} are missing ({reason}): {self.filenames[0]} of {self.repo} on Hugging Face. "
            f"Fetch it with `semsim encoders fetch {name}` on a machine with a network and copy it into {hub_cache()}, "
            f"or name a local copy as {self.local_spelling!r}."
        )


Weights = PackagedWeights | LocalWeights | HubWeights


def hub_cache() -> Path:
    """The Hugging Face cache folder: HF_HUB_CACHE, else HF_HOME/hub, else the library's default."""
    named = os.environ.get("HF_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether the user has forbidden the hub: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE, read as the hub does."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


def unreachable(endpoint: str) -> str | None:
    """Why nothing answers at `endpoint`, or None where something does or a proxy stands between.

    Asked first because the hub's library tries again five times, half a minute on a machine without a network.
    """
    parts = urlsplit(endpoint)
    proxied = parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")
    if proxied or not parts.hostname:
        return None
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=HUB_TIMEOUT_S).close()
    except OSError as error:
        return f"{endpoint} cannot be reached: {_first_line(error)}"
    return None


def weights_digest(path: Path) -> str:
    """SHA-256 in hex of a weights file, remembered under SEMSIM_HOME by path, size and times.

    The change time is part of the key: a tool that restores the modification time cannot hide that the bytes changed.
    """
    real = path.resolve()
    stat = real.stat()
    stamp = f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
    try:
        memory = ensure_home() / "cache" / "weights-digests.json"
    except StoreError:
        # A home that cannot be written only costs the hashing again; the digest itself is right.
        return digest_of_file(real)
    known = _read_memory(memory)
    entry = known.get(str(real))
    if entry is not None and entry[0] == stamp:
        return entry[1]
    digest = digest_of_file(real)
    try:
        # Two processes may each lose the other's entry: both digests are then computed once more, never wrong.
        write_json(memory, {**_read_memory(memory), str(real): [stamp, digest]})
    except StoreError as error:
        logger.info("The digest of %s is not remembered: %s", real, error)
    return digest


def _read_memory(path: Path) -> dict[str, tuple[str, str]]:
    """The remembered digests; a file that is absent or damaged remembers nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): (str(stamp), str(digest)) for key, (stamp, digest) in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _failures_of_a_download() -> tuple[type[Exception], ...]:
    """What the hub's library lets through: refusals, a proxy's answers, broken connections, a full disk.

    Its transport changed from requests to httpx and on; whichever it is, the hub's own HTTP error derives from the
    transport's, so the bases name it without importing it.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    transport = tuple(base for base in HfHubHTTPError.__mro__ if issubclass(base, Exception) and base is not Exception)
    return (*transport, OfflineModeIsEnabled, OSError, RuntimeError, ValueError)


@contextmanager
def _short_timeouts() -> Iterator[None]:
    """The hub's own default timeout lowered to ours for one download, where the user has not set one."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DOWNLOAD_TIMEOUT
    if "HF_HUB_DOWNLOAD_TIMEOUT" not in os.environ:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = int(HUB_TIMEOUT_S)
    try:
        yield
    finally:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = before


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
