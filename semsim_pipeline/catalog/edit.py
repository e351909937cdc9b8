"""Edits of the catalogue's file: one entry at a time, whole or not at all, and never into a wrong catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node

from semsim_pipeline.catalog.load import catalog_path, catalog_text, parse
from semsim_pipeline.catalog.records import Catalog
from semsim_pipeline.catalog.surgery import CannotCut, Text, Value, entry_of, index_of, plain
from semsim_pipeline.errors import CatalogError, UnknownNameError, WrongCallError, did_you_mean
from semsim_pipeline.home import ensure_home
from semsim_pipeline.store.locks import locked
from semsim_pipeline.store.writer import write_text

BOM = "\ufeff"
Data = dict[str, dict[str, Value]]
"""Sections, their entries, and what each says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """An edit that was written. began: there was no file before, so that the packaged catalogue was in use. said: what
    was done, a line each, as `Added dataset photos: photos/2023`."""

    path: Path
    before: Catalog
    after: Catalog
    began: bool
    said: Sequence[str]

    @property
    def added(self) -> list[str]:
        """Keys of pairs that are new."""
        return [key for key in self.after.pairs if key not in self.before.pairs]

    @property
    def removed(self) -> list[str]:
        """Keys of pairs that went with it."""
        return [key for key in self.before.pairs if key not in self.after.pairs]


@dataclass(slots=True)
class Draft:
    """A catalogue under an edit. catalog: as it was. data: what the file says, which each step changes along with the
    text, so that the two can be held against each other."""

    catalog: Catalog
    text: Text
    data: Data
    said: list[str] = field(default_factory=list)

    def entry(self, section: str, name: str) -> Mapping[str, Value]:
        """An entry that is a mapping, as it is written."""
        found = self.data.get(section, {}).get(name)
        return found if isinstance(found, Mapping) else {}

    def add(self, section: str, name: str, value: Value) -> None:
        """A new entry. Raises WrongCallError where the name is taken."""
        if name in self.data.get(section, {}):
            what = section.removesuffix("s")
            raise WrongCallError(
                f"There is a {what} {name!r} in {self.catalog.path} already. Take another name, or remove it first: "
                f"semsim catalog remove {what} {name}"
            )
        self.text.add_entry(section, name, value)
        self.data.setdefault(section, {})[name] = value

    def add_pair(self, comparison: str, sides: Sequence[str]) -> None:
        """Two sides more in a comparison that lists its pairs."""
        entry = self.entry("comparisons", comparison)
        node = self._node("comparisons", comparison, "pairs")
        self.text.add_item(node, sides)
        self.data["comparisons"][comparison] = {**entry, "pairs": [*entry["pairs"], sides]}

    def drop(self, section: str, name: str) -> None:
        """An entry less."""
        found = entry_of(self.text.root(), section)
        parent = None if found is None else found[1]
        self.text.remove(parent, index_of(parent, name))
        del self.data[section][name]

    def drop_pair(self, comparison: str, at: int) -> None:
        """One of the pairs that a comparison lists less."""
        entry = self.entry("comparisons", comparison)
        self.text.remove(self._node("comparisons", comparison, "pairs"), at)
        self.data["comparisons"][comparison] = {
            **entry, "pairs": [each for number, each in enumerate(entry["pairs"]) if number != at]
        }  # fmt: skip

    def _node(self, *keys: str) -> Node | None:
        node: Node | None = self.text.root()
        for key in keys:
            found = entry_of(node, key)
            if found is None:
                raise CannotCut
            node = found[1]
        return node


Change = Callable[[Draft], None]
Check = Callable[[Catalog], object]


def edit(home: Path, change: Change, check: Check | None = None) -> Edited:
    """Change the file of a home, or begin it with an empty catalogue.

    check: what else must hold of the new catalogue; raises where it does not. Two edits wait for each other; an editor
    that saves in between wins. Raises CatalogError: the file is wrong already, or would be; then nothing is written.
    """
    ensure_home(home)
    path = catalog_path(home)
    with locked(home / "pipeline" / ".catalog-edit.lock"):
        text = catalog_text(path)
        before = Catalog(path=path) if text is None else parse(text, path)
        raw = "" if text is None else path.read_bytes().decode("utf-8")
        try:
            new, said = _changed(raw.removeprefix(BOM), before, change)
        except (CannotCut, YAMLError) as error:
            raise CatalogError(
                f"{path} is written in a way that this command cannot change by itself (anchors, or several things on "
                "a line). Nothing was changed: edit it by hand."
            ) from error
        after = _parsed(new, path)
        if check is not None:
            check(after)
        if catalog_text(path) != text:
            raise CatalogError(f"{path} was changed by somebody else meanwhile. Nothing was changed: try again.")
        _write(path, new if not raw.startswith(BOM) else BOM + new)
    return Edited(path=path, before=before, after=after, began=text is None, said=said)


def _changed(text: str, before: Catalog, change: Change) -> tuple[str, list[str]]:
    """The new text, held against what the change says, and what was done. Raises CannotCut, YAMLError."""
    draft = Draft(catalog=before, text=Text(text), data=_data(text))
    change(draft)
    new = str(draft.text)
    if _data(new) != _tidy(draft.data):
        raise CannotCut
    return new, draft.said


def _data(text: str) -> Data:
    root = plain(Text(text).root())
    found: Data = {}
    for section, entries in root.items() if isinstance(root, Mapping) else ():
        if not isinstance(entries, Mapping):
            raise CannotCut
        found[section] = dict(entries)
    return found


def _tidy(data: Data) -> Data:
    """As reading gives it back: lists as lists, and no section without entries."""

    def tidy(value: Value) -> Value:
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):
            return {key: tidy(each) for key, each in value.items()}
        return [tidy(each) for each in value]

    return {
        section: {name: tidy(value) for name, value in entries.items()} for section, entries in data.items() if entries
    }


def _parsed(text: str, path: Path) -> Catalog:
    """The new catalogue. Raises CatalogError without the lines, which are those of a file that is not there."""
    try:
        return parse(text, path)
    except CatalogError as error:
        first, *more = (re.sub(rf"^{re.escape(str(path))}:[0-9]+: ", "", line) for line in str(error).splitlines())
        others = f" (and {len(more)} more problems)" if more else ""
        raise CatalogError(f"Nothing was changed, because the catalogue would be wrong: {first}{others}") from error


def _write(path: Path, text: str) -> None:
    """Replace the file that is meant, not a link to it, and leave its permissions as they are."""
    target = path.resolve()
    mode = target.stat().st_mode if target.exists() else None
    write_text(target, text)
    if mode is not None:
        target.chmod(mode)


def known_entry(draft: Draft, section: str, name: str) -> None:
    """Raises UnknownNameError where the catalogue has no such entry."""
    entries = draft.data.get(section, {})
    if name not in entries:
        what = section.removesuffix("s")
        raise UnknownNameError(f"{did_you_mean(what, name, entries)} The catalogue is {draft.catalog.path}.")
