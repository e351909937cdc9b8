"""Asking the Hugging Face hub: where its cache is, whether it may be asked, and what its refusals mean.

The variables that steer it (HF_ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE, SEMSIM_OFFLINE) are read at each call, not once
at import.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from semsim_pipeline import downloads
from semsim_pipeline.addresses import shown, without_secrets

DEFAULT_ENDPOINT = "https://huggingface.co"
HUB_TIMEOUT_S = 10.0
"""For the hub's first answer; a machine without a network then fails in seconds, not minutes."""

FAILED_TRY = re.compile("Error while downloading|thrown while requesting|Retrying in|Rate limited")
"""In the words of the hub's library, before it tries again; its other warnings are about something else."""

logger = logging.getLogger(__name__)


def hub_cache() -> Path:
    """The Hugging Face cache folder: HF_HUB_CACHE, else HF_HOME/hub, else the library's default."""
    named = os.environ.get("HF_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def copied_folder(repo: str, kind: str = "models") -> str:
    """What to do by hand with what another machine has fetched. kind: `models` or `datasets`.

    A file alone would not be found: the cache keeps commits beside it, and links to it.
    """
    folder = "--".join((kind, *repo.split("/")))
    return f"copy {folder} of its cache (with its links) into {hub_cache()}"


def endpoint() -> str:
    """The hub that is asked: HF_ENDPOINT, else the public one."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def forbidding() -> str:
    """The setting that forbids the hub, "" where none does: ours for every network, or one that the hub reads too."""
    if downloads.is_offline():
        return downloads.OFFLINE
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return "HF_HUB_OFFLINE" if value.upper() in {"1", "ON", "YES", "TRUE"} else ""


def why_not_asked(address: str) -> str | None:
    """Why `address` is not worth a request (the user forbade it, nothing answers there), or None."""
    if setting := forbidding():
        return f"not on this machine, and {setting} is set"
    return unreachable(address)


def unreachable(address: str) -> str | None:
    """Why nothing answers at `address`, or None where something does or a proxy stands between.

    Asked first because the hub's library tries again five times, half a minute on a machine without a network.
    """
    try:
        parts = urlsplit(address)
        named = parts.port
    except ValueError:
        return f"{shown(address)} is no address"
    proxied = parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")
    if proxied or not parts.hostname:
        return None
    try:
        port = named or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=HUB_TIMEOUT_S).close()
    except OSError as error:
        return f"{shown(address)} cannot be reached: {first_line(error)}"
    return None


def cached_file(repo: str, filename: str, revision: str) -> Path | None:
    """A file that was downloaded before; nothing is asked. None also where the cache's link leads nowhere."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, filename, cache_dir=hub_cache(), revision=revision)
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None


def download(repo: str, filename: str, revision: str) -> Path:
    """The file in the cache, after asking the hub; an interrupted download is resumed.

    Raises one of `failures_of_a_download()` and the hub's own `EntryNotFoundError`; `refusal` puts them in words.
    """
    from huggingface_hub import hf_hub_download

    logger.info("Fetching %s of %s", filename, repo)
    with one_download():
        return Path(
            hf_hub_download(
                repo,
                filename,
                revision=revision,
                cache_dir=hub_cache(),
                endpoint=os.environ.get("HF_ENDPOINT") or None,
                etag_timeout=HUB_TIMEOUT_S,
            )
        )


def commit_of(path: Path) -> str:
    """The commit under which a file lies in the cache (`…/snapshots/COMMIT/FILE`); "" for a file elsewhere."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-2] else ""


def stated_digest(path: Path) -> str | None:
    """The SHA-256 that the hub stated for a cached file, under which large ones lie; None where it named it else."""
    name = path.resolve().name
    return name if len(name) == 64 and set(name) <= set("0123456789abcdef") else None


def remove_cached(path: Path) -> None:
    """Take a file out of the cache, its content and the link to it."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def failures_of_a_download() -> tuple[type[Exception], ...]:
    """What the hub's library lets through: refusals, a proxy's answers, broken connections, a full disk.

    Its transport changed from requests to httpx and on; whichever it is, the hub's own HTTP error derives from the
    transport's, so the bases name it without importing it.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    transport = tuple(base for base in HfHubHTTPError.__mro__ if issubclass(base, Exception) and base is not Exception)
    return (*transport, OfflineModeIsEnabled, OSError, RuntimeError, ValueError)


def refusal(error: BaseException, repo: str, revision: str) -> str:
    """One clause for a failed download: what the hub said, and what a person can do where that is known."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    cause = error.__cause__ if type(error).__name__ == "LocalEntryNotFoundError" else None
    said = cause or error
    if isinstance(said, GatedRepoError) or _status(said) in {401, 403}:
        return (
            f"{repo} is gated or private: accept its licence at {DEFAULT_ENDPOINT}/{repo}, then run `hf auth login` "
            "with that account"
        )
    if isinstance(said, RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}"
    if isinstance(said, RepositoryNotFoundError):
        return f"{shown(endpoint())} has no repository {repo}"
    if status := _status(said):
        answered = f"has no such file of {repo} (404):" if status == 404 else f"answered {status}: try again later, or"
        return f"{shown(endpoint())} {answered} name another mirror in HF_ENDPOINT"
    if "Timeout" in type(said).__name__:
        return f"{shown(endpoint())} does not answer in time: try again later, or name another mirror in HF_ENDPOINT"
    return first_line(said)


def _status(error: BaseException) -> int | None:
    found = getattr(getattr(error, "response", None), "status_code", None)
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    # The hub answers 401 for a repository that does not exist too, and names that case in a header.
    known = isinstance(error, RepositoryNotFoundError | RevisionNotFoundError)
    return None if known or found is None else int(found)


@contextmanager
def one_download() -> Iterator[None]:
    """The hub's own default timeout lowered to ours, where the user has not set one; what its library prints of each
    try that fails (a dozen lines before it gives up) told once, in a line of ours."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DOWNLOAD_TIMEOUT
    if "HF_HUB_DOWNLOAD_TIMEOUT" not in os.environ:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = int(HUB_TIMEOUT_S)
    handlers, once = list(logging.getLogger("huggingface_hub").handlers), _Once()
    for handler in handlers:
        handler.addFilter(once)
    try:
        yield
    finally:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = before
        for handler in handlers:
            handler.removeFilter(once)


class _Once(logging.Filter):
    """Holds back what the hub's library says of tries that failed; the first makes a line of ours."""

    def __init__(self) -> None:
        super().__init__()
        self._told = False

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("huggingface_hub") or not FAILED_TRY.search(record.getMessage()):
            return True
        if not self._told:
            self._told = True
            logger.warning("%s answers with errors, or slowly: trying again.", shown(endpoint()))
        return False


def first_line(error: BaseException) -> str:
    """What an exception says, on one line, without its full stop and without what is secret in an address."""
    text = str(error).strip() or type(error).__name__
    return without_secrets(text.splitlines()[0]).rstrip(".")
