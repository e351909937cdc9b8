"""Which score of a pair is the valid one, and which were before: `scores/pairs/<pair>.json` points to results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from semsim_pipeline.comparison.score_store import StoredScore, find_result, result_file
from semsim_pipeline.errors import StoreError
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.store.locks import locked

DAMAGED = ".damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of a pair's valid score.

    order: 1, 2, 3, …: what was valid before what, whatever the clock said. at: UTC, ISO 8601, when it became valid.
    version: of the score. scored_at: when it was computed; earlier than `at` where an old score became valid again.
    """

    order: int
    at: str
    version: str
    scored_at: str


def pair_file(home: Path, key: str) -> Path:
    """Where a pair's pointer is."""
    return home / "scores" / "pairs" / f"{key}.json"


def pairs_lock(home: Path) -> Path:
    """What whoever changes pointers, or removes results that none of them names, holds."""
    return home / "scores" / ".pairs.lock"


def current_score(home: Path, key: str) -> StoredScore | None:
    """The pair's valid score; None where it was never scored, or its result has gone. Raises StoreError."""
    version = current_version(home, key)
    return None if version is None else find_result(home, version)


def events_of(home: Path, key: str) -> list[Event]:
    """A pair's past, the oldest first; empty where it was never scored. Raises StoreError."""
    return _events(read_json(pair_file(home, key)) or {})


def named_version(home: Path, key: str) -> str | None:
    """The version that a pair's pointer names, whether its result is there or not. Raises StoreError."""
    pointer = read_json(pair_file(home, key))
    return None if pointer is None else str(pointer.get("current"))


def current_version(home: Path, key: str) -> str | None:
    """Of the pair's valid score, without reading it; None where `current_score` is None. Raises StoreError."""
    version = named_version(home, key)
    return version if version is not None and result_file(home, version).is_file() else None


def make_current(home: Path, key: str, stored: StoredScore) -> None:
    """Point to a result, and remember the ones before: the pair's history. Raises StoreError."""
    if _is_current(home, key, stored.version):
        return
    path = pair_file(home, key)
    # A run of the UI and `semsim rescore` may score one pair at once: neither may lose what the other remembered.
    with locked(pairs_lock(home)):
        try:
            pointer = read_json(path) or {}
        except StoreError:
            # Begun anew; the results themselves are elsewhere, and what is left of the file stays for whoever asks.
            path.replace(path.with_name(path.name + DAMAGED))
            pointer = {}
        if pointer.get("current") == stored.version:
            return
        if not result_file(home, stored.version).is_file():  # `semsim gc` may have been quicker than the lock
            raise StoreError(f"The score of {key} was removed before it could be made valid. Run again.")
        past = _events(pointer)
        event = Event(
            order=past[-1].order + 1 if past else 1,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=stored.version,
            scored_at=stored.scored_at,
        )
        write_json(path, {"current": stored.version, "history": [asdict(each) for each in (*past, event)]})


def _is_current(home: Path, key: str, version: str) -> bool:
    try:
        return current_version(home, key) == version
    except StoreError:
        return False


def _events(pointer: Mapping[str, object]) -> list[Event]:
    """In order; what an earlier version of semsim wrote has no number, and stands in the order of the file."""
    past = pointer.get("history")
    found: list[Event] = []
    for entry in past if isinstance(past, list) else []:
        if not isinstance(entry, Mapping) or "version" not in entry:
            continue
        last = found[-1].order if found else 0
        order = entry.get("order")
        scored_at = str(entry.get("scored_at", ""))
        found.append(
            Event(
                order=order if isinstance(order, int) and order > last else last + 1,
                at=str(entry.get("at", scored_at)),
                version=str(entry["version"]),
                scored_at=scored_at,
            )
        )
    return found
