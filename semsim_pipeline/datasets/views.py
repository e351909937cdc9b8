"""Views: `cifake[label=REAL,class=dog]`, `photos.zip[limit=500,seed=0]`; how they are read, written and named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from semsim_pipeline.datasets.view_text import SpecText, quoted, quoted_base
from semsim_pipeline.errors import ViewSyntaxError
from semsim_pipeline.fingerprint import digest_of

RESERVED = ("limit", "seed")
"""Keys that every view takes and no source can use for a column."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
PLAIN_VALUE = re.compile(r"[A-Za-z0-9_]+")
LONGEST_SLUG = 80

Filter = tuple[str, tuple[str, ...]]
"""A column and the values that pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A selection of a source's rows.

    base: the source as written. filters: column to accepted values, in the order written. limit: at most so many
    rows, None for all; those of lowest hash(seed, path). options: the source's own (such as `group_by`).
    """

    base: str
    filters: tuple[Filter, ...] = ()
    limit: int | None = None
    seed: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    def canonical(self) -> str:
        """One spelling for all that mean the same: sorted keys and values, quotes only where needed; reads back.

        >>> parse_view("x[ seed=0, limit=5, label = dog|cat ]").canonical()
        'x[label=cat|dog,limit=5]'
        """
        written = {key: "|".join(sorted({quoted(value) for value in values})) for key, values in self.filters}
        written |= {key: quoted(value) for key, value in self.options.items()}
        if self.limit is not None:
            written["limit"] = str(self.limit)
            if self.seed:
                written["seed"] = str(self.seed)
        body = ",".join(f"{quoted(key)}={written[key]}" for key in sorted(written))
        return quoted_base(self.base) + (f"[{body}]" if body else "")

    def slug(self) -> str:
        """A name for files and partition keys, of `[A-Za-z0-9._-]` only.

        `cifar10.cat` for `cifar10[label=cat]`, `cifake.REAL.class-dog`; where the spelling loses something (spaces, a
        path, several values), 8 hex digits of the canonical spec follow.

        >>> parse_view("cifake[class=dog,label=REAL]").slug()
        'cifake.REAL.class-dog'
        """
        parts, exact = self._slug_parts()
        text = ".".join(parts)
        # A name that looks as if it had digits behind it gets its own, or two specs could share a slug.
        if exact and len(text) <= LONGEST_SLUG and not re.search(r"-[0-9a-f]{8}$", text):
            return text
        return f"{text[:LONGEST_SLUG].rstrip('.-')}-{digest_of(self.canonical())[:8]}"

    def _slug_parts(self) -> tuple[list[str], bool]:
        """The parts that dots join, and whether they can be told apart from every other view's."""
        name = self.base.rstrip("/").rsplit("/", 1)[-1]
        parts = [_sluggish(name) or "view"]
        exact = PLAIN_NAME.fullmatch(self.base) is not None
        values = dict(self.filters) | {k: (v,) for k, v in self.options.items()}
        if self.limit is not None:
            values["limit"] = (str(self.limit),)
            if self.seed:
                values["seed"] = (str(self.seed),)
        for key in sorted(values, key=lambda key: (key != "label", key)):
            spelled = "-or-".join(_sluggish(value) or "empty" for value in sorted(set(values[key])))
            parts.append(spelled if key == "label" else f"{_sluggish(key)}-{spelled}")
            exact = exact and all(PLAIN_VALUE.fullmatch(text) for text in (key, *values[key])) and len(values[key]) == 1
        return parts, exact

    def limited(self, limit: int | None, seed: int | None = None) -> View:
        """This view with another limit and seed (as `--limit` and `--seed` give them); None leaves it as it is.

        Raises ViewSyntaxError for a limit below 1.
        """
        if limit is not None and limit < 1:
            raise ViewSyntaxError(f"limit must be at least 1; found {limit}.")
        return replace(self, limit=self.limit if limit is None else limit, seed=self.seed if seed is None else seed)

    def with_options(self, names: Iterable[str]) -> View:
        """This view with the filters called `names` moved to the source's options.

        Raises ViewSyntaxError where one of them has several values.
        """
        names = set(names)
        for key, values in self.filters:
            if key in names and len(values) > 1:
                raise ViewSyntaxError(f"{self.canonical()!r}: {key} takes one value; found {len(values)}.")
        moved = {key: values[0] for key, values in self.filters if key in names}
        kept = tuple((key, values) for key, values in self.filters if key not in names)
        return replace(self, filters=kept, options={**self.options, **moved})


def parse_view(text: str, *, exists: Callable[[str], bool] = lambda _path: False) -> View:
    r"""Read a spec. Every key but `limit` and `seed` becomes a filter; `View.with_options` sorts out the source's own.

    Quoted values may hold `,`, `]`, `=`, `|` and spaces; within quotes a quote is doubled or follows a back slash.
    exists: whether a text is a path that exists; such a text wins over what it would mean as a view, so that a folder
    called `a[b=c]` can be named. Raises ViewSyntaxError with the whole spec and how to write it.

    >>> parse_view("photos['fine label'='a, b'|c,limit=5]").filters
    (('fine label', ('a, b', 'c')),)
    """
    if exists(text):
        return View(base=text)
    spec = SpecText(text)
    base, pairs = spec.split(exists)
    filters: list[Filter] = []
    numbers: dict[str, int] = {}
    seen: set[str] = set()
    for key, values in pairs:
        if key in seen:
            raise spec.error(f"{key!r} occurs twice; write several values as {key}=a|b")
        seen.add(key)
        if key in RESERVED:
            numbers[key] = _number(spec, key, values)
        else:
            filters.append((key, tuple(values)))
    if "seed" in numbers and "limit" not in numbers:
        raise spec.error("seed chooses which rows a limit keeps; add limit=N or leave the seed out")
    return View(base=base, filters=tuple(filters), limit=numbers.get("limit"), seed=numbers.get("seed", 0))


def _number(spec: SpecText, key: str, values: list[str]) -> int:
    least = 1 if key == "limit" else 0
    text = values[0]
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
        raise spec.error(f"{key} must be one whole number, {least} or more; found {'|'.join(values)!r}")
    return int(text)


def _sluggish(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")
