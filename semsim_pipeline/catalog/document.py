"""The catalogue's YAML as it is written: texts, lists and tables with their lines, and a list of what is wrong.

Nodes are read, not Python values: `3`, `007` and `no` are the texts that somebody wrote, whatever YAML takes them for,
and every one knows its line.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from semsim_pipeline.errors import CatalogError, did_you_mean

MOST_PROBLEMS = 10
SHARE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?|\.[0-9]{1,18}")
NULL = "tag:yaml.org,2002:null"

Entry = tuple[int, Node]
"""The line of a key, and its value."""


class Document:
    """One file under reading. Every reader below reports what it cannot take and returns an empty value for it."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._problems: dict[str, int] = {}

    def problem(self, line: int, at: str, message: str) -> None:
        """Report one problem. line: from 1. at: the place in the file (`comparisons.x.by`), "" for all of it."""
        said = " ".join(message.split())
        if said.startswith("Unknown "):
            said = f"u{said[1:]}"
        self._problems.setdefault(f"{self.where}:{line}: {at}{': ' if at else ''}{said}", line)

    def unknown(self, line: int, at: str, kind: str, asked: str, known: Collection[str]) -> None:
        """Report a name that is not known, with the nearest one that is."""
        self.problem(line, at, did_you_mean(kind, asked, known))

    def finish(self) -> None:
        """Raises CatalogError with what was reported, in the order of the file, a line each."""
        if not self._problems:
            return
        lines = sorted(self._problems, key=self._problems.__getitem__)
        more = len(lines) - MOST_PROBLEMS
        tail = [f"{self.where}: and {more} more"] if more > 0 else []
        raise CatalogError("\n".join([*lines[:MOST_PROBLEMS], *tail]))

    def compose(self, text: str) -> Node | None:
        """The root of the YAML, None for an empty text. Raises CatalogError where it is not YAML."""
        try:
            root: Node | None = YAML(typ="safe", pure=True).compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            self.problem(line, "", f"this is not YAML: {error.problem or error.context}.")
        except ReaderError as error:
            self.problem(text.count("\n", 0, error.position) + 1, "", f"this is not YAML: {error.reason}.")
        except (YAMLError, RecursionError, ValueError) as error:
            self.problem(1, "", f"this is not YAML: {error}.")
        else:
            return root
        self.finish()
        return None

    def table(self, node: Node, at: str, known: Collection[str] | None = None) -> dict[str, Entry]:
        """A mapping's entries by key; a key that is there twice or not among `known` is reported and left out."""
        entries: dict[str, Entry] = {}
        if is_null(node):
            return entries
        if not isinstance(node, MappingNode):
            self.problem(line_of(node), at, f"expected a mapping (KEY: VALUE); found {_found(node)}.")
            return entries
        for key_node, value in node.value:
            line = line_of(key_node)
            key = self.text(key_node, f"{at}: a key" if at else "a key")
            if key is None:
                continue
            if key in entries:
                self.problem(line, at, f"{key!r} is there twice: on lines {entries[key][0]} and {line}. Keep one.")
            elif known is not None and key not in known:
                self.unknown(line, at, "key", key, known)
            else:
                entries[key] = (line, value)
        return entries

    def text(self, node: Node, at: str) -> str | None:
        """A scalar as it is written, None where it is something else."""
        if isinstance(node, ScalarNode) and not is_null(node):
            return str(node.value)
        self.problem(line_of(node), at, f"expected a text; found {_found(node)}.")
        return None

    def items(self, node: Node, at: str, what: str) -> list[Node]:
        """A list's items. what: an example of one, for the message about something else."""
        if isinstance(node, SequenceNode):
            return list(node.value)
        self.problem(line_of(node), at, f"expected a list such as {what}; found {_found(node)}.")
        return []

    def texts(self, node: Node, at: str, what: str) -> list[str]:
        """A list of texts, each once; an empty list and what occurs twice are reported."""
        nodes = self.items(node, at, what)
        if not nodes and isinstance(node, SequenceNode):
            self.problem(line_of(node), at, f"this list is empty; write one such as {what}.")
        out: list[str] = []
        for item in nodes:
            text = self.text(item, at)
            if text is not None and text in out:
                self.problem(line_of(item), at, f"{text!r} is in the list twice. Keep one.")
            elif text is not None:
                out.append(text)
        return out

    def number(self, node: Node, at: str, least: int) -> int | None:
        """A whole number from `least` to 999,999,999."""
        text = node.value if isinstance(node, ScalarNode) else None
        # Not \d, which takes other scripts' digits.
        if text is not None and text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= least:
            return int(text)
        self.problem(line_of(node), at, f"expected a whole number, {least} to 999999999; found {_found(node)}.")
        return None

    def share(self, node: Node, at: str) -> float | None:
        """A number from 0 to 1."""
        text = node.value if isinstance(node, ScalarNode) else ""
        if SHARE.fullmatch(text) and float(text) <= 1:
            return float(text)
        self.problem(line_of(node), at, f"expected a number from 0 to 1, such as 0.9; found {_found(node)}.")
        return None


def line_of(node: Node) -> int:
    """The line on which a node begins, from 1."""
    mark: Any = node.start_mark
    return int(mark.line) + 1


def is_null(node: Node) -> bool:
    """Whether nothing is written here (`datasets:` with nothing behind it), or `~` or `null`."""
    return isinstance(node, ScalarNode) and str(node.tag) == NULL


def _found(node: Node) -> str:
    if is_null(node):
        return "nothing"
    if isinstance(node, ScalarNode):
        return repr(node.value)
    return "a list" if isinstance(node, SequenceNode) else "a mapping"
