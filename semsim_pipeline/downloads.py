"""What the user has said of downloads: where files may be had, or that no network is asked."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

MIRROR = "SEMSIM_MIRROR"
"""A folder or base URL that holds files by their names; looked at first."""
OFFLINE = "SEMSIM_OFFLINE"
"""Set to 1: nothing asks a network."""


def places(url: str, name: str) -> list[str]:
    """Where a published file may be had, in order: the mirror, then its own address; URLs or absolute paths."""
    mirror = os.environ.get(MIRROR, "").strip()
    if not mirror:
        return [url]
    if is_url(mirror):
        place = f"{mirror.rstrip('/')}/{quote(name)}"
    else:
        place = str(Path(mirror).expanduser().absolute() / name)
    return list(dict.fromkeys([place, url]))


def is_url(place: str) -> bool:
    """Whether a place is asked over a network."""
    return place.lower().startswith(("http://", "https://"))


def is_offline() -> bool:
    """Whether the user wants no network."""
    return os.environ.get(OFFLINE, "").upper() in {"1", "ON", "YES", "TRUE"}
