"""A pair's past: every score that was valid, when, and which of its inputs changed from one to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.catalog import load_catalog
from semsim_pipeline.comparison.score_store import StoredScore, find_result
from semsim_pipeline.errors import CatalogError, StoreError, UnknownNameError, did_you_mean
from semsim_pipeline.stages.changes import Change, changes
from semsim_pipeline.stages.score_store import Event, events_of

if TYPE_CHECKING:
    from semsim_pipeline.comparison.classes_json import Json
    from semsim_pipeline.plots.base import Picture

GONE = "its result has gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One score that was valid. stored: None where its result has gone. changed: since the one before that is there."""

    event: Event
    stored: StoredScore | None
    changed: tuple[Change, ...]

    @property
    def value(self) -> float | None:
        """The headline; None where there was none, or its result has gone."""
        return None if self.stored is None else self.stored.comparison.value

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, None where it has no finite ends."""
        found = None if self.stored is None else self.stored.comparison.similarity
        return found.interval if found is not None and all(map(math.isfinite, found.interval)) else None

    @property
    def n(self) -> tuple[int, int] | None:
        """Images of the reference and of the candidate."""
        if self.stored is None:
            return None
        return self.stored.comparison.reference.n, self.stored.comparison.candidate.n

    @property
    def verdict(self) -> str:
        """In words."""
        return GONE if self.stored is None else self.stored.comparison.verdict.text


def history_of(home: Path, key: str) -> list[Past]:
    """Every score that was valid for a pair, the oldest first; of a pair that the catalogue no longer has as well.

    Raises UnknownNameError; StoreError where the pair was never scored, or its file is damaged.
    """
    events = events_of(home, key)
    if not events:
        _refuse_unknown(home, key)
        raise StoreError(f"{key} was never scored: run `semsim rescore`.")
    past: list[Past] = []
    before: StoredScore | None = None
    for event in events:
        stored = find_result(home, event.version)
        changed = changes(before.inputs, stored.inputs) if before is not None and stored is not None else []
        past.append(Past(event=event, stored=stored, changed=tuple(changed)))
        before = stored or before
    return past


def scored_pairs(home: Path) -> list[str]:
    """The keys of all pairs that were ever scored, sorted."""
    return sorted(path.stem for path in (home / "scores" / "pairs").glob("*.json"))


def _refuse_unknown(home: Path, key: str) -> None:
    try:
        catalogued = set(load_catalog(home).pairs)
    except CatalogError:
        catalogued = set()  # a typo in the catalogue keeps nobody from looking at the past
    known = catalogued | set(scored_pairs(home))
    if key not in known:
        raise UnknownNameError(did_you_mean("pair", key, known))


def as_json(key: str, past: Sequence[Past]) -> dict[str, Json]:
    """Plain values only, the oldest first; never NaN or infinity."""
    return {"schema": 1, "pair": key, "history": [_entry(each) for each in past]}


def picture_of(key: str, past: Sequence[Past]) -> Picture:
    """The scores over time."""
    from semsim_pipeline.plots.history import HistoryPoint, draw_history

    points = [
        HistoryPoint(
            order=each.event.order,
            at=each.event.at,
            value=each.value,
            interval=each.interval,
            changed=tuple(change.name for change in each.changed),
        )
        for each in past
    ]
    return draw_history(key, points)


def _entry(each: Past) -> dict[str, Json]:
    found = None if each.stored is None else each.stored.comparison
    headline = None if found is None else found.similarity
    raw = None if headline is None or not math.isfinite(headline.raw) else headline.raw
    return {
        "order": each.event.order,
        "at": each.event.at,
        "scored_at": each.event.scored_at,
        "version": each.event.version,
        "value": each.value,
        "raw": raw,
        "interval": None if each.interval is None else list(each.interval),
        "p_value": None if headline is None else headline.p_value,
        "verdict": each.verdict,
        "status": "gone" if found is None else found.status,
        "n": None if each.n is None else list(each.n),
        "inputs": {} if each.stored is None else dict(each.stored.inputs),
        "changed": [{"input": change.name, "from": change.before, "to": change.after} for change in each.changed],
    }
