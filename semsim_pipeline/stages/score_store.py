"""Which score of a pair is the valid one, and which were before: `scores/pairs/<pair>.json` points to results."""

from __future__ import annotations

from pathlib import Path

from semsim_pipeline.comparison.score_store import StoredScore, find_result, result_file
from semsim_pipeline.errors import StoreError
from semsim_pipeline.store.json_file import read_json, write_json
from semsim_pipeline.store.locks import locked


def pair_file(home: Path, key: str) -> Path:
    """Where a pair's pointer is."""
    return home / "scores" / "pairs" / f"{key}.json"


def current_score(home: Path, key: str) -> StoredScore | None:
    """The pair's valid score; None where it was never scored, or its result has gone. Raises StoreError."""
    pointer = read_json(pair_file(home, key))
    return None if pointer is None else find_result(home, str(pointer.get("current")))


def current_version(home: Path, key: str) -> str | None:
    """Of the pair's valid score, without reading it; None where `current_score` is None. Raises StoreError."""
    pointer = read_json(pair_file(home, key))
    version = None if pointer is None else str(pointer.get("current"))
    return version if version is not None and result_file(home, version).is_file() else None


def make_current(home: Path, key: str, stored: StoredScore) -> None:
    """Point to a result, and remember the ones before: the pair's history. Raises StoreError."""
    path = pair_file(home, key)
    # A run of the UI and `semsim rescore` may score one pair at once: neither may lose what the other remembered.
    with locked(home / "scores" / ".pairs.lock"):
        try:
            pointer = read_json(path) or {}
        except StoreError:
            pointer = {}  # damaged: begun anew, the results themselves are elsewhere
        if pointer.get("current") == stored.version:
            return
        past = pointer.get("history")
        event = {"version": stored.version, "scored_at": stored.scored_at}
        write_json(path, {"current": stored.version, "history": [*(past if isinstance(past, list) else []), event]})
