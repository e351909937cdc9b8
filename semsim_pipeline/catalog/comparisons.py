"""From the section `comparisons` to pairs: which sides, under which encoders, and under which keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from ruamel.yaml.nodes import Node, SequenceNode

from semsim_pipeline.catalog.dataset import Dataset
from semsim_pipeline.catalog.document import Document, Entry, line_of
from semsim_pipeline.catalog.entries import check_name
from semsim_pipeline.catalog.published import read_published
from semsim_pipeline.catalog.records import Comparison, ComparisonKind, Pair, Side, Thresholds, pair_key
from semsim_pipeline.catalog.sides import Sides
from semsim_pipeline.catalog.upkeep import read_schedule, read_thresholds

SHAPES: dict[ComparisonKind, tuple[str, ...]] = {
    "pairs": ("pairs",),
    "across": ("across", "by"),
    "match": ("reference", "candidate", "match"),
}
SETTINGS = ("encoders", "seed", "limit", "title", "description", "schedule", "thresholds", "published")
KEYS = (*(key for keys in SHAPES.values() for key in keys), *SETTINGS)
ONE_OF = (
    "write one of `pairs: [[A, B], ...]`; `across: A` with `by: COLUMN`; `reference: A`, `candidate: B` with "
    "`match: COLUMN`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Two sides to be scored under every encoder of a comparison. line: where the file asks for them."""

    reference: Side
    candidate: Side
    labels: tuple[str, str]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    title: str
    description: str
    encoders: tuple[str, ...]
    seed: int
    limit: int | None
    schedule: str | None
    thresholds: Thresholds


class Planner:
    """Reads comparisons one by one; the pairs of all of them come together here, each key once."""

    def __init__(
        self, document: Document, datasets: Mapping[str, Dataset | None], encoders: Mapping[str, str | None]
    ) -> None:
        self._document = document
        self._sides = Sides(document, datasets)
        self._encoders = encoders
        self.comparisons: dict[str, Comparison] = {}
        self.pairs: dict[str, Pair] = {}

    def read(self, section: Entry | None) -> None:
        """Read the section; problems go to the document."""
        if section is None:
            return
        for name, (line, node) in self._document.table(section[1], "comparisons").items():
            if check_name(self._document, line, "comparisons", name):
                self._comparison(name, line, node)

    def _comparison(self, name: str, line: int, node: Node) -> None:
        at = f"comparisons.{name}"
        fields = self._document.table(node, at, KEYS)
        settings = self._settings(at, name, line, fields)
        kind = self._kind(at, line, fields)
        if kind is None:
            return
        rows = {"pairs": self._listed, "across": self._across, "match": self._match}[kind](at, fields)
        if settings.limit is not None:
            rows = _limited(rows, settings.limit, settings.seed)
        labels = self._add(name, at, rows, settings)
        published = read_published(
            self._document, f"{at}.published", fields.get("published"), labels, settings.encoders
        )
        self.comparisons[name] = Comparison(
            name=name,
            title=settings.title,
            description=settings.description,
            kind=kind,
            by=None if kind == "pairs" else self._column(at, fields, SHAPES[kind][-1]),
            encoders=settings.encoders,
            seed=settings.seed,
            limit=settings.limit,
            pairs=tuple(labels),
            labels=labels,
            schedule=settings.schedule,
            thresholds=settings.thresholds,
            published=published,
        )

    def _kind(self, at: str, line: int, fields: Mapping[str, Entry]) -> ComparisonKind | None:
        shapes: list[ComparisonKind] = [kind for kind, keys in SHAPES.items() if any(key in fields for key in keys)]
        if not shapes:
            self._document.problem(line, at, f"it names nothing to compare; {ONE_OF}")
            return None
        if len(shapes) > 1:
            given = " and ".join(next(key for key in SHAPES[kind] if key in fields) for kind in shapes)
            self._document.problem(line, at, f"it has {given}, but a comparison is of one kind; {ONE_OF}")
            return None
        (kind,) = shapes
        missing = [key for key in SHAPES[kind] if key not in fields]
        if missing:
            given = next(key for key in SHAPES[kind] if key in fields)
            self._document.problem(line, at, f"`{given}` needs `{missing[0]}` beside it; {ONE_OF}")
            return None
        return kind

    def _settings(self, at: str, name: str, line: int, fields: Mapping[str, Entry]) -> _Settings:
        document = self._document
        texts = {
            key: (document.text(fields[key][1], f"{at}.{key}") if key in fields else None) or ""
            for key in ("title", "description")
        }
        numbers = {
            key: document.number(fields[key][1], f"{at}.{key}", least) if key in fields else None
            for key, least in (("seed", 0), ("limit", 1))
        }
        return _Settings(
            title=texts["title"] or name,
            description=texts["description"],
            encoders=self._aliases(f"{at}.encoders", line, fields.get("encoders")),
            seed=numbers["seed"] or 0,
            limit=numbers["limit"],
            schedule=read_schedule(document, f"{at}.schedule", fields.get("schedule")),
            thresholds=read_thresholds(document, f"{at}.thresholds", fields.get("thresholds")),
        )

    def _aliases(self, at: str, line: int, entry: Entry | None) -> tuple[str, ...]:
        """The aliases that a comparison names, or all."""
        if entry is None:
            if not self._encoders:
                self._document.problem(
                    line, at, "the catalogue has no encoder; add `encoders: {classical: classical}`."
                )
            return tuple(self._encoders)
        aliases = self._document.texts(entry[1], at, "[classical]")
        for alias in aliases:
            if alias not in self._encoders:
                self._document.unknown(line_of(entry[1]), at, "encoder alias", alias, self._encoders)
        return tuple(alias for alias in aliases if alias in self._encoders)

    def _column(self, at: str, fields: Mapping[str, Entry], key: str) -> str | None:
        return self._document.text(fields[key][1], f"{at}.{key}")

    def _listed(self, at: str, fields: Mapping[str, Entry]) -> list[_Row]:
        at, node = f"{at}.pairs", fields["pairs"][1]
        example = "[[A, B], [A, C]]"
        nodes = self._document.items(node, at, example)
        if not nodes and isinstance(node, SequenceNode):
            self._document.problem(line_of(node), at, f"there is no pair in it; write pairs such as {example}.")
        rows = []
        for number, item in enumerate(nodes, 1):
            here = f"{at}[{number}]"
            two = self._document.items(item, here, "[A, B]")
            if two and len(two) != 2:
                self._document.problem(line_of(item), here, f"expected two datasets, [A, B]; found {len(two)}.")
            elif two:
                sides = [self._sides.read(side, here) for side in two]
                if sides[0] is not None and sides[1] is not None:
                    labels = (sides[0].text, sides[1].text)
                    rows.append(_Row(reference=sides[0], candidate=sides[1], labels=labels, line=line_of(item)))
        return rows

    def _across(self, at: str, fields: Mapping[str, Entry]) -> list[_Row]:
        side = self._sides.read(fields["across"][1], f"{at}.across")
        column = self._column(at, fields, "by")
        if side is None or column is None:
            return []
        line = line_of(fields["by"][1])
        classes = self._sides.classes(side, column, line, f"{at}.by")
        if classes is not None and len(classes) < 2:
            self._document.problem(
                line, f"{at}.by", f"{side.text} has one class of {column!r} only ({classes[0]!r}); two are needed."
            )
        parts = [(each, with_class(side, column, each)) for each in classes or ()]
        return [
            _Row(reference=reference, candidate=candidate, labels=(row, other), line=line)
            for (row, reference), (other, candidate) in combinations(parts, 2)
        ]

    def _match(self, at: str, fields: Mapping[str, Entry]) -> list[_Row]:
        reference = self._sides.read(fields["reference"][1], f"{at}.reference")
        candidate = self._sides.read(fields["candidate"][1], f"{at}.candidate")
        column = self._column(at, fields, "match")
        if reference is None or candidate is None or column is None:
            return []
        line = line_of(fields["match"][1])
        classes = self._sides.shared_classes(reference, candidate, column, line, f"{at}.match")
        return [
            _Row(
                reference=with_class(reference, column, each),
                candidate=with_class(candidate, column, each),
                labels=(each, each),
                line=line,
            )
            for each in classes
        ]

    def _add(self, name: str, at: str, rows: list[_Row], settings: _Settings) -> dict[str, tuple[str, str]]:
        """Each key of a comparison and its labels; the pairs are made, or learn one more name."""
        labels: dict[str, tuple[str, str]] = {}
        keys: dict[Side, str] = {side: side.key for row in rows for side in (row.reference, row.candidate)}
        for alias in settings.encoders:
            for row in rows:
                key = pair_key(keys[row.reference], keys[row.candidate], alias, settings.seed)
                if key in labels:
                    self._document.problem(row.line, at, f"the pair {key} is there twice. Keep one.")
                labels[key] = row.labels
                known = self.pairs.get(key)
                if known is not None and (known.reference.text, known.candidate.text) != (
                    row.reference.text,
                    row.candidate.text,
                ):
                    # 32 bits of a digest: never seen, and never to be scored as something else.
                    self._document.problem(row.line, at, f"the key {key} stands for two pairs; rename a dataset.")
                self.pairs[key] = Pair(
                    key=key,
                    reference=row.reference,
                    candidate=row.candidate,
                    encoder=alias,
                    seed=settings.seed,
                    comparisons=(*(known.comparisons if known is not None else ()), name),
                )
        return labels


def with_class(side: Side, column: str, value: str) -> Side:
    """The rows of a side that are of one class."""
    others = tuple(each for each in side.view.filters if each[0] != column)
    return replace(side, view=replace(side.view, filters=(*others, (column, (value,)))))


def _limited(rows: list[_Row], limit: int, seed: int) -> list[_Row]:
    """The smaller of two limits where a view has its own; the view's own seed stays."""

    def smaller(side: Side) -> Side:
        own = side.view.limit
        view = side.view.limited(limit, seed) if own is None else side.view.limited(min(own, limit))
        return replace(side, view=view)

    return [replace(row, reference=smaller(row.reference), candidate=smaller(row.candidate)) for row in rows]
