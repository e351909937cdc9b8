"""The catalogue that stands: the file where it is right, else the last one that was; and the keys that went with edits.

Dagster loads the catalogue in several processes (the code server, each run), and an edit may come between any two of
them. A key that vanished under a backfill in flight, or a typo under a running graph, would break them; so what was
known last is kept in one small file, under a lock, and each load compares itself with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from semsim_pipeline.catalog.load import PACKAGED, catalog_path, catalog_text, load_catalog, parse
from semsim_pipeline.catalog.records import Catalog
from semsim_pipeline.errors import CatalogError, StoreError
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.store.locks import locked

KeyKind = Literal["datasets", "embeddings", "pairs", "comparisons"]
KINDS: tuple[KeyKind, ...] = get_args(KeyKind)
KEPT = timedelta(days=14)
"""How long a removed key stays a partition: longer than any backfill, short enough not to fill the UI."""

Removed = Mapping[KeyKind, Mapping[str, datetime]]
"""Keys that the catalogue had, and since when it has them no longer."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """catalog: what counts. removed: keys beside its own. problem: why the file does not count, None where it does."""

    catalog: Catalog
    removed: Removed
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """text: of the last catalogue that was right. removed: never a key of that one."""

    text: str
    removed: Removed = field(default_factory=dict)


def standing_file(home: Path) -> Path:
    """Where the last right catalogue and the removed keys are kept."""
    return home / "pipeline" / "catalog.json"


def standing(home: Path) -> Standing:
    """The catalogue of a home, and what was removed from it in the last two weeks.

    Notes what changed since the last call by any process; a home that cannot be written is only not noted (logged).
    Raises CatalogError where the file is wrong and no right one is known.
    """
    state = _read(home)
    if state is not None and state.text == _text_or_none(home):
        return Standing(catalog=_parsed(state.text, home), removed=_recent(state.removed))
    try:
        with locked(_lock(home)):
            return _noted(home)
    except StoreError as error:
        logger.warning("An edit of the catalogue is not noted, so what it removed is no partition: %s", error)
        return Standing(catalog=load_catalog(home), removed={})


def removed_keys(home: Path) -> Removed:
    """The keys removed in the last two weeks, as last noted."""
    state = _read(home)
    return {} if state is None else _recent(state.removed)


def forget_removed(home: Path) -> int:
    """Let every removed key vanish at the next load of the graph; how many there were. Raises StoreError."""
    with locked(_lock(home)):
        state = _read(home)
        if state is None or not any(state.removed.values()):
            return 0
        _write(home, replace(state, removed={}))
        return sum(len(keys) for keys in state.removed.values())


def _noted(home: Path) -> Standing:
    """Compare the file with the state and write what changed.

    Both are read under the lock: with a text from before it, a slow process would note the edit of a quick one back.
    """
    state = _read(home)
    try:
        text = _current_text(home)
        catalog = _parsed(text, home)
    except CatalogError as error:
        if state is None:
            raise
        return Standing(catalog=_parsed(state.text, home), removed=_recent(state.removed), problem=str(error))
    removed = _removed(state, catalog, home)
    _write(home, _State(text=text, removed=removed))
    return Standing(catalog=catalog, removed=removed)


def _removed(state: _State | None, catalog: Catalog, home: Path) -> Removed:
    if state is None:
        return {}
    now = datetime.now(UTC)
    try:
        before = dict(_keys(_parsed(state.text, home)))
    except CatalogError:  # an older version took what this one refuses; its keys cannot be told
        before = {}
    earlier = _recent(state.removed)
    found: dict[KeyKind, dict[str, datetime]] = {}
    for kind, keys in _keys(catalog):
        known = {**dict.fromkeys(before.get(kind, ()), now), **earlier.get(kind, {})}
        here = set(keys)
        found[kind] = {key: since for key, since in known.items() if key not in here}
    return found


def _keys(catalog: Catalog) -> Iterator[tuple[KeyKind, list[str]]]:
    yield "datasets", catalog.dataset_keys()
    yield "embeddings", catalog.embedding_keys()
    yield "pairs", list(catalog.pairs)
    yield "comparisons", list(catalog.comparisons)


def _recent(removed: Removed) -> Removed:
    oldest = datetime.now(UTC) - KEPT
    return {kind: {key: since for key, since in keys.items() if since > oldest} for kind, keys in removed.items()}


def _current_text(home: Path) -> str:
    """The file's text, or the packaged catalogue's where the home has none."""
    text = catalog_text(catalog_path(home))
    return PACKAGED.read_text(encoding="utf-8") if text is None else text


def _text_or_none(home: Path) -> str | None:
    try:
        return _current_text(home)
    except CatalogError:
        return None


def _parsed(text: str, home: Path) -> Catalog:
    path = catalog_path(home)
    if not path.exists() and text == PACKAGED.read_text(encoding="utf-8"):
        return replace(parse(text, PACKAGED), path=None)
    return parse(text, path)


def _lock(home: Path) -> Path:
    return standing_file(home).with_name(".catalog.lock")


def _read(home: Path) -> _State | None:
    """The state, None where there is none; a damaged one is none too: it costs removed keys, never the graph."""
    path = standing_file(home)
    try:
        found = read_json(path)
        return None if found is None else _state_of(found)
    except (StoreError, TypeError, ValueError) as error:
        logger.warning("%s cannot be used and will be written again: %s", path, error)
        return None


def _state_of(found: Mapping[str, object]) -> _State:
    """Raises TypeError, ValueError for what this version did not write."""
    text, kinds = found.get("text"), found.get("removed")
    if not isinstance(text, str) or not isinstance(kinds, dict):
        raise TypeError("it has no text, or no removed keys")
    removed: dict[KeyKind, dict[str, datetime]] = {}
    for kind in KINDS:
        removed[kind] = {str(key): datetime.fromisoformat(since) for key, since in dict(kinds.get(kind, {})).items()}
    if any(since.tzinfo is None for keys in removed.values() for since in keys.values()):
        raise ValueError("a time without its zone")
    return _State(text=text, removed=removed)


def _write(home: Path, state: _State) -> None:
    removed = {kind: {key: since.isoformat() for key, since in keys.items()} for kind, keys in state.removed.items()}
    write_json(standing_file(home), {"text": state.text, "removed": removed})
