"""Entries of the catalogue that go; what still refers to them is named, and nothing is changed then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from semsim_pipeline.catalog.edit import Draft, Edited, edit, known_entry
from semsim_pipeline.catalog.surgery import Value
from semsim_pipeline.datasets.views import parse_view
from semsim_pipeline.errors import UnknownNameError, WrongCallError, did_you_mean

Sides = tuple[str, str]
MOST_SHOWN = 8


def remove_dataset(home: Path, name: str) -> Edited:
    """A dataset that no comparison uses. Raises WrongCallError with those that do, UnknownNameError, CatalogError."""

    def change(draft: Draft) -> None:
        known_entry(draft, "datasets", name)
        users = [
            each
            for each, entry in draft.data.get("comparisons", {}).items()
            if name in {parse_view(side).base for side in _sides_of(entry)}
        ]
        _refuse("dataset", name, users)
        draft.drop("datasets", name)
        draft.said.append(f"Removed dataset {name}")

    return edit(home, change)


def remove_encoder(home: Path, alias: str) -> Edited:
    """An alias that no comparison names; those under all encoders lose its pairs. Raises as `remove_dataset`."""

    def change(draft: Draft) -> None:
        known_entry(draft, "encoders", alias)
        entries = draft.data.get("comparisons", {})
        users = [name for name in entries if alias in draft.entry("comparisons", name).get("encoders", ())]
        _refuse("encoder", alias, users)
        draft.drop("encoders", alias)
        draft.said.append(f"Removed encoder {alias}")

    return edit(home, change)


def remove_comparison(home: Path, name: str) -> Edited:
    """A comparison and the pairs that are in no other. Raises UnknownNameError, CatalogError."""

    def change(draft: Draft) -> None:
        known_entry(draft, "comparisons", name)
        draft.drop("comparisons", name)
        draft.said.append(f"Removed comparison {name}")

    return edit(home, change)


def remove_pair(home: Path, pair: Sequence[str], comparison: str | None = None) -> Edited:
    """Two sides less, under every encoder; a comparison that is then empty goes too.

    pair: a key, or reference and candidate. comparison: only from this one; else from all that list it.
    Raises UnknownNameError, WrongCallError (the pair is of classes, which only their comparison has), CatalogError.
    """

    def change(draft: Draft) -> None:
        sides = _sides_meant(draft, pair)
        if comparison is not None:
            known_entry(draft, "comparisons", comparison)
        found = [
            name
            for name in ([comparison] if comparison is not None else draft.data.get("comparisons", {}))
            if sides in _listed(draft, name)
        ]
        if not found:
            raise WrongCallError(_not_listed(draft, sides, comparison))
        for name in found:
            at = _listed(draft, name).index(sides)
            if len(_listed(draft, name)) == 1:
                draft.drop("comparisons", name)
                draft.said.append(f"Removed comparison {name}, which has no other pair")
            else:
                draft.drop_pair(name, at)
                draft.said.append(f"Removed {sides[0]} against {sides[1]} from the comparison {name}")

    return edit(home, change)


def _refuse(what: str, name: str, users: Sequence[str]) -> None:
    if users:
        shown = ", ".join(users[:MOST_SHOWN]) + (f" and {len(users) - MOST_SHOWN} more" if users[MOST_SHOWN:] else "")
        raise WrongCallError(
            f"The {what} {name!r} is in use by {len(users)} comparison{'s' * (len(users) > 1)}: {shown}. Remove or "
            f"change these first (semsim catalog remove comparison {users[0]}). Nothing was changed."
        )


def _sides_of(entry: Value) -> Iterable[str]:
    """Every side that a comparison's entry names."""
    if isinstance(entry, Mapping):
        yield from (each for key in ("across", "reference", "candidate") if isinstance(each := entry.get(key), str))
        for pair in entry.get("pairs", ()):
            yield from (side for side in pair if isinstance(side, str))


def _listed(draft: Draft, comparison: str) -> list[Sides]:
    """The pairs that a comparison lists, each side in its one spelling."""
    pairs = draft.entry("comparisons", comparison).get("pairs", ())
    spelled = [tuple(parse_view(str(side)).canonical() for side in pair) for pair in pairs]
    return [(each[0], each[1]) for each in spelled]


def _sides_meant(draft: Draft, pair: Sequence[str]) -> Sides:
    if len(pair) == 2:
        first, second = (parse_view(side).canonical() for side in pair)
        return first, second
    [key] = pair
    found = draft.catalog.pairs.get(key)
    if found is None:
        said = did_you_mean("pair", key, draft.catalog.pairs)
        raise UnknownNameError(f"{said} Name it by its key, or by its two sides: semsim catalog remove pair A B")
    # A limit of the comparison is part of the pair's views and no part of what is listed.
    for name in found.comparisons:
        keys = list(draft.catalog.comparisons[name].pairs)
        listed = _listed(draft, name)
        if listed:
            return listed[keys.index(key) % len(listed)]
    return found.reference.text, found.candidate.text


def _not_listed(draft: Draft, sides: Sides, comparison: str | None) -> str:
    text = f"{sides[0]} against {sides[1]}"
    of_classes = [
        name
        for name in dict.fromkeys(
            name
            for pair in draft.catalog.pairs.values()
            if (pair.reference.text, pair.candidate.text) == sides
            for name in pair.comparisons
        )
        if not _listed(draft, name)
    ]
    if of_classes:
        return (
            f"{text} is a pair of classes in {', '.join(of_classes)} and goes with it: change the `values` of its "
            f"dataset, or semsim catalog remove comparison {of_classes[0]}. Nothing was changed."
        )
    where = f"The comparison {comparison!r} does" if comparison else "The catalogue's comparisons do"
    return f"{where} not list {text}. See: semsim catalog list"
