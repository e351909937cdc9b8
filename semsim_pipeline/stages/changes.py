"""Which inputs of a score changed, from what to what, in words for people."""

from __future__ import annotations

import re
from dataclasses import dataclass

from semsim_pipeline.comparison.score_store import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One input that differs. before, after: as they were written; None where there was none."""

    name: str
    before: str | int | None
    after: str | int | None

    @property
    def text(self) -> str:
        """One line, hashes shortened.

        >>> Change(name="seed", before=0, after=7).text
        'seed: 0 → 7'
        """
        return f"{self.name}: {short(self.before)} → {short(self.after)}"


def changes(before: Inputs, after: Inputs) -> list[Change]:
    """What differs between the inputs of two scores, in the order of the later one's."""
    names = dict.fromkeys([*after, *before])
    return [
        Change(name=name, before=before.get(name), after=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


def short(value: str | int | None) -> str:
    """A value without most of the digits of the hashes in it.

    >>> short("photos (3 images, 0123456789abcdef0123456789abcdef)")
    'photos (3 images, 0123456789ab)'
    """
    return "none" if value is None else re.sub(r"\b([0-9a-f]{12})[0-9a-f]{12,}\b", r"\1", str(value))
