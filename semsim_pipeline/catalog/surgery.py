"""Small cuts in a YAML text: one entry more or less, and every other letter as it was.

A library that reads and writes the whole document moves comments between sections, folds lines and loses the layout of
lists; here the nodes' places in the text are used, and only the lines of one entry change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from semsim_pipeline.catalog.document import is_null

PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*")
STEP = 2
"""Blanks by which a new level is indented."""

Value = str | Sequence["Value"] | Mapping[str, "Value"]
"""What a catalogue is made of."""

Place = tuple[int, int]
"""Line and column, from 0."""


class CannotCut(Exception):  # noqa: N818 - not an error of the user's, and never seen by one
    """This spelling of a catalogue cannot be edited in place (anchors, tags, a mapping in odd brackets)."""


def scalar(text: str) -> str:
    """A text as a YAML scalar that reads back in a block and in brackets: plain where it can be, else quoted.

    >>> scalar("photos/2023"), scalar("photos[label=cat]"), scalar("null")
    ('photos/2023', '"photos[label=cat]"', '"null"')
    """
    if PLAIN.fullmatch(text) and text.lower() != "null":
        return text
    return json.dumps(text, ensure_ascii=False)


def flow(value: Value) -> str:
    """A value in one line.

    >>> flow({"spec": "photos", "values": {"label": ["cat", "a, b"]}})
    '{spec: photos, values: {label: [cat, "a, b"]}}'
    """
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(key)}: {flow(each)}' for key, each in value.items())}}}"
    return f"[{', '.join(map(flow, value))}]"


def plain(node: Node | None) -> Value | None:
    """What a node says, whatever its layout; None where it holds nothing."""
    if node is None or is_null(node):
        return None
    if isinstance(node, MappingNode):
        entries = {str(plain(key)): plain(value) for key, value in node.value}
        return {key: value for key, value in entries.items() if value is not None} or None
    if isinstance(node, SequenceNode):
        return [value for item in node.value if (value := plain(item)) is not None] or None
    return str(node.value)


class Text:
    """A YAML text under the knife; `str()` gives it as it is now."""

    def __init__(self, text: str) -> None:
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._lines = text.splitlines(keepends=True)

    def __str__(self) -> str:
        return "".join(self._lines)

    def root(self) -> MappingNode | None:
        """The document's nodes, with their places; None where there is nothing yet. Raises CannotCut for a list."""
        found = YAML(typ="safe", pure=True).compose(str(self))
        if found is not None and not isinstance(found, MappingNode):
            raise CannotCut
        return found

    def add_entry(self, section: str, name: str, value: Value) -> None:
        """`name: value` as the last entry of a section, which is made where it is missing."""
        root = self.root()
        found = entry_of(root, section)
        if found is None:
            self._append(root, section, name, value)
        elif is_null(found[1]):
            self._fill(found[0], name, value)
        elif isinstance(found[1], MappingNode):
            self._extend(found[1], name, value)
        else:
            raise CannotCut

    def add_item(self, node: Node | None, value: Value) -> None:
        """`value` as the last item of a list."""
        if not isinstance(node, SequenceNode):
            raise CannotCut
        self._extend(node, None, value)

    def remove(self, parent: Node | None, at: int) -> None:
        """The entry or item number `at` of a mapping or list; what is left empty stays as an empty one."""
        if not isinstance(parent, CollectionNode):
            raise CannotCut
        first, last = _spans(parent)[at]
        if parent.flow_style:
            self._remove_in_brackets(parent, at)
        else:
            stop = self._end_line(last)
            start = self._lead(first) if isinstance(parent, SequenceNode) else first
            if self._before(start).strip():
                raise CannotCut  # something else begins on this line
            del self._lines[start[0] : self._behind_comments(stop + 1, start[1])]

    def _append(self, root: MappingNode | None, section: str, name: str, value: Value) -> None:
        if root is not None and root.flow_style:
            raise CannotCut
        self._end_with_newline()
        gap = [self._newline] if self._lines and self._lines[-1].strip() else []
        self._lines += [*gap, f"{section}:{self._newline}", *self._indented(_entry(name, value), STEP)]

    def _fill(self, key: Node, name: str, value: Value) -> None:
        """Below a key with nothing behind it."""
        line, column = _start(key)
        text = self._lines[line].rstrip("\r\n")
        behind = text[_end(key)[1] :].lstrip(" :")
        if behind and not behind.startswith("#"):
            raise CannotCut  # `~` or `null`, spelled out
        self._end_with_newline()
        self._lines[line + 1 : line + 1] = self._indented(_entry(name, value), column + STEP)

    def _extend(self, node: CollectionNode, name: str | None, value: Value) -> None:
        """name: of the new entry, None for an item of a list."""
        spans = _spans(node)
        if node.flow_style:
            line, column = spans[-1][1] if spans else _start(node)
            where = column if spans else column + 1
            text = self._lines[line]
            added = flow(value) if name is None else f"{scalar(name)}: {flow(value)}"
            self._lines[line] = f"{text[:where]}{', ' if spans else ''}{added}{text[where:]}"
            return
        line = self._end_line(spans[-1][1])
        lines = [f"- {flow(value)}"] if name is None else _entry(name, value)
        self._end_with_newline()
        self._lines[line + 1 : line + 1] = self._indented(lines, _start(node)[1])

    def _remove_in_brackets(self, parent: CollectionNode, at: int) -> None:
        spans = _spans(parent)
        start, end = spans[at]
        if at + 1 < len(spans):
            end = spans[at + 1][0]
        elif at:
            start = spans[at - 1][1]
        if start[0] != end[0]:
            between = self._lines[start[0]][start[1] :] + "".join(self._lines[start[0] + 1 : end[0]])
            if "#" in between:
                raise CannotCut  # a comment may be in there
        head, tail = self._lines[start[0]][: start[1]], self._lines[end[0]][end[1] :]
        self._lines[start[0] : end[0] + 1] = [head + tail]

    def _behind_comments(self, line: int, column: int) -> int:
        """The first line that is no comment inside an entry, which shows in its being indented deeper."""
        while line < len(self._lines):
            text = self._lines[line]
            if not text.lstrip().startswith("#") or len(text) - len(text.lstrip()) <= column:
                return line
            line += 1
        return line

    def _lead(self, place: Place) -> Place:
        """Where the dash before an item is."""
        dash = self._before(place).rfind("-")
        if dash < 0:
            raise CannotCut
        return place[0], dash

    def _before(self, place: Place) -> str:
        return self._lines[place[0]][: place[1]]

    def _end_line(self, end: Place) -> int:
        """The line on which a block's last entry ends; what follows it there is a comment, or is not ours to cut."""
        line, column = end
        if column == 0 and line:  # a text in lines (`|`) ends where the next line begins
            line, column = line - 1, len(self._lines[line - 1])
        rest = self._lines[line][column:].strip().removeprefix(":").strip() if line < len(self._lines) else ""
        if rest and not rest.startswith("#"):
            raise CannotCut
        return min(line, len(self._lines) - 1)

    def _indented(self, lines: Sequence[str], columns: int) -> list[str]:
        return [f"{' ' * columns}{line}{self._newline}" for line in lines]

    def _end_with_newline(self) -> None:
        if self._lines and not self._lines[-1].endswith(("\n", "\r")):
            self._lines[-1] += self._newline


def entry_of(mapping: Node | None, key: str) -> tuple[ScalarNode, Node] | None:
    """The key's node and its value's, None where a mapping has no such key."""
    if isinstance(mapping, MappingNode):
        for key_node, value in mapping.value:
            if isinstance(key_node, ScalarNode) and key_node.value == key:
                return key_node, value
    return None


def index_of(mapping: Node | None, key: str) -> int:
    """Which entry of a mapping has this key. Raises CannotCut where none has."""
    keys = [node.value for node, _value in mapping.value] if isinstance(mapping, MappingNode) else []
    if key not in keys:
        raise CannotCut
    return keys.index(key)


def _entry(name: str, value: Value) -> list[str]:
    """The lines of an entry: in one where it is short and simple, as comparisons are not."""
    if not isinstance(value, Mapping) or "spec" in value:
        return [f"{scalar(name)}: {flow(value)}"]
    lines = [f"{scalar(name)}:"]
    for key, each in value.items():
        if key == "pairs" and not isinstance(each, str):
            lines += [f"{' ' * STEP}pairs:", *(f"{' ' * 2 * STEP}- {flow(item)}" for item in each)]
        else:
            lines.append(f"{' ' * STEP}{scalar(key)}: {flow(each)}")
    return lines


def _spans(node: CollectionNode) -> list[tuple[Place, Place]]:
    """Where each entry or item begins and ends."""
    if isinstance(node, MappingNode):
        # Nothing behind a key is placed where the next thing begins.
        ends = [_end(key) if _start(value) == _end(value) else _last(value) for key, value in node.value]
        return [(_start(key), end) for (key, _value), end in zip(node.value, ends, strict=True)]
    return [(_start(item), _last(item)) for item in node.value]


def _last(node: Node) -> Place:
    """Where a node's text ends; a block's own mark is only where the next thing begins, comments and all."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        inner = node.value[-1]
        return _last(inner[1] if isinstance(node, MappingNode) else inner)
    return _end(node)


def _start(node: Node) -> Place:
    return node.start_mark.line, node.start_mark.column


def _end(node: Node) -> Place:
    return node.end_mark.line, node.end_mark.column
