"""What everything that asks the Hugging Face hub shares: its settings, read at each call, and its failures in words."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

DEFAULT_ENDPOINT = "https://huggingface.co"
HUB_TIMEOUT_S = 10.0
"""For the hub's first answer; a machine without a network then fails in seconds, not minutes."""


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
        return f"{endpoint} cannot be reached: {first_line(error)}"
    return None


def failures_of_a_download() -> tuple[type[Exception], ...]:
    """What the hub's library lets through: refusals, a proxy's answers, broken connections, a full disk.

    Its transport changed from requests to httpx and on; whichever it is, the hub's own HTTP error derives from the
    transport's, so the bases name it without importing it.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    transport = tuple(base for base in HfHubHTTPError.__mro__ if issubclass(base, Exception) and base is not Exception)
    return (*transport, OfflineModeIsEnabled, OSError, RuntimeError, ValueError)


@contextmanager
def short_timeouts() -> Iterator[None]:
    """The hub's own default timeout lowered to ours for one download, where the user has not set one."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DOWNLOAD_TIMEOUT
    if "HF_HUB_DOWNLOAD_TIMEOUT" not in os.environ:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = int(HUB_TIMEOUT_S)
    try:
        yield
    finally:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = before


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
