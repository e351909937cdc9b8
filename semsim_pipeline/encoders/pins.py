"""What was fetched from where: commit, digest and size, so that weights which change under a name are noticed.

One JSON under SEMSIM_HOME. A record is made when weights are first fetched or used; from then on that commit is what
the name means, and other bytes in its place are refused, until `semsim encoders fetch NAME --update`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from semsim_pipeline.encoders.digests import weights_digest
from semsim_pipeline.errors import StoreError, UnusableWeightsError
from semsim_pipeline.home import ensure_home, semsim_home
from semsim_pipeline.json_file import write_json

FILE = "weights.json"
DIGITS_SHOWN = 12

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """filename: of the several that may hold the same weights. revision: the commit, "" where the place has none.

    sha256: in hex. size: bytes. at: UTC, when it was fetched or first used.
    """

    filename: str
    revision: str
    sha256: str
    size: int
    at: str


def pinned(place: str) -> Pin | None:
    """What `place` (a repository at a revision, a URL) gave before; None where nothing is recorded.

    Raises StoreError where the record is damaged: without it, a change would pass unseen.
    """
    return _read().get(place)


def keep(place: str, path: Path, *, filename: str, revision: str) -> Pin:
    """Record what `place` gave. A home that cannot be written remembers nothing, and nothing is refused later."""
    found = Pin(
        filename=filename,
        revision=revision,
        sha256=weights_digest(path),
        size=path.stat().st_size,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _change(place, found)
    return found


def forget(place: str) -> None:
    """Let `place` give something else the next time."""
    _change(place, None)


def check(name: str, path: Path, pin: Pin) -> None:
    """Raises UnusableWeightsError where the file is not the one that was recorded."""
    digest = weights_digest(path)
    if digest != pin.sha256:
        raise UnusableWeightsError(
            f"The weights of {name!r} changed: {path} has SHA-256 {digest[:DIGITS_SHOWN]}…, where {pin.at[:10]} it was "
            f"{pin.sha256[:DIGITS_SHOWN]}…. Embeddings would no longer compare. If the change is meant: "
            f"`semsim encoders fetch {name} --update`."
        )


def _change(place: str, pin: Pin | None) -> None:
    try:
        file = ensure_home() / FILE
        with FileLock(file.with_name(f".{FILE}.lock")):
            known = {key: each for key, each in _read().items() if key != place}
            if pin is not None:
                known[place] = pin
            write_json(file, {key: dataclasses.asdict(each) for key, each in known.items()}, sort_keys=True)
    except (StoreError, OSError) as error:
        logger.info("What %s gave is not remembered: %s", place, error)


def _read() -> dict[str, Pin]:
    file = semsim_home() / FILE
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return {place: Pin(**fields) for place, fields in content.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise StoreError(f"The record of fetched weights, {file}, cannot be read: {error}. Delete it.") from error
