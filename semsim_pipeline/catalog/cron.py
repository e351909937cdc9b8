"""Cron strings of a comparison's schedule: the five fields that every cron knows, and nothing of its dialects.

Dagster has a parser, which only its own layer may import; what is taken here, it takes as well (a test holds the two
together), and what it would take and never start, such as the 31st of February, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from semsim_pipeline.errors import WrongCallError

EXAMPLE = '"30 3 * * 1-5" (minute, hour, day of the month, month, day of the week: at 03:30 from Monday to Friday)'
STEP = re.compile(r"(?P<range>[^/]+)/(?P<step>[0-9]{1,3})")
DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    least: int
    most: int
    names: Mapping[str, int] = field(default_factory=dict)


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS = (
    _Field(name="minute", least=0, most=59),
    _Field(name="hour", least=0, most=23),
    _Field(name="day of the month", least=1, most=31),
    _Field(name="month", least=1, most=12, names={name: number for number, name in enumerate(MONTHS, 1)}),
    _Field(name="day of the week", least=0, most=7, names={name: number for number, name in enumerate(WEEKDAYS)}),
)


def check_cron(text: str) -> str:
    """The five fields with one space between them. Raises WrongCallError with the field that is wrong.

    A field is `*`, a number, a month's or weekday's first three letters, a range `a-b` (a before b), `*` or a range
    with a step (`*/15`), or several of these with commas. Where both kinds of day are given, either is enough.

    >>> check_cron("30  3 * * mon-fri")
    '30 3 * * mon-fri'
    """
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise WrongCallError(f"expected a cron string of five fields such as {EXAMPLE}; found {text!r}.")
    found = [_values(text, part, each) for part, each in zip(parts, FIELDS, strict=True)]
    days, months = found[2], found[3]
    if all(min(days) > DAYS_OF_MONTH[month - 1] for month in months):
        raise WrongCallError(f"{text!r} never comes: none of its months has that day.")
    return " ".join(parts)


def _values(text: str, part: str, of: _Field) -> set[int]:
    found: set[int] = set()
    for item in part.split(","):
        stepped = STEP.fullmatch(item)
        span, step = (stepped["range"], int(stepped["step"])) if stepped else (item, 1)
        low, dash, high = span.partition("-")
        whole = span == "*"
        first = of.least if whole else _number(low, of)
        last = of.most if whole else _number(high, of) if dash else first
        # A number with a step, 5/10, means one thing to some crons and another, or nothing, to the rest.
        alone = stepped is not None and not whole and not dash
        if first is None or last is None or first > last or alone or not 1 <= step <= of.most:
            raise WrongCallError(
                f"the {of.name} of {text!r} is {part!r}: expected {of.least} to {of.most}, ranges such as "
                f"{of.least}-{of.least + 1}, steps such as */2, or a list of them with commas."
            )
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, of: _Field) -> int | None:
    if text.lower() in of.names:
        return of.names[text.lower()]
    if not re.fullmatch("[0-9]{1,2}", text):
        return None
    return int(text) if of.least <= int(text) <= of.most else None
