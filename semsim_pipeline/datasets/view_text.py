"""The letters of a view: brackets, keys, values and quotes, read from left to right."""

from __future__ import annotations

import re
from collections.abc import Callable

from semsim_pipeline.errors import ViewSyntaxError

NEEDS_NO_QUOTES = re.compile(r"[^\s,|=\[\]'\"\\]+")
QUOTES = "'\""

Pair = tuple[str, list[str]]


def quoted(text: str) -> str:
    r"""A key or value as it is written: as it is where that reads back, else in double quotes.

    >>> print(quoted("cat"), quoted("a b"), quoted('say "x"'))
    cat "a b" "say \"x\""
    """
    if NEEDS_NO_QUOTES.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def quoted_base(text: str) -> str:
    """A base as it is written: only brackets, a quote in front and blanks around it ask for quotes."""
    plain = text and text == text.strip() and text[0] not in QUOTES and not any(c in "[]" for c in text)
    return text if plain else quoted(text)


class SpecText:
    """One spec, and a place in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def split(self, exists: Callable[[str], bool]) -> tuple[str, list[Pair]]:
        """The base, and the keys with their values in the order written. Raises ViewSyntaxError."""
        base = self._base(exists)
        if not base:
            raise self.error("there is no dataset before the bracket" if self._text.strip() else "it is empty")
        self._blanks()
        pairs: list[Pair] = []
        if self._at == len(self._text):
            return base, pairs
        self._expect("[")
        self._blanks()
        while self._peek() != "]":
            pairs.append(self._pair())
            if self._peek() == ",":
                self._at += 1
                self._blanks()
            elif self._peek() != "]":
                raise self._unexpected("',' or ']'")
        self._at += 1
        self._blanks()
        if self._at < len(self._text):
            raise self.error(f"{self._text[self._at :]!r} follows the closing bracket")
        return base, pairs

    def error(self, problem: str) -> ViewSyntaxError:
        """The error for this spec: the whole of it, what is wrong, how to write one."""
        return ViewSyntaxError(
            f"Cannot read {self._text!r}: {problem}. A view is written 'photos[label=cat,limit=500,seed=0]' or "
            "'photos[label=\"a, b\"|dog]'; the shell needs the whole of it in quotes."
        )

    def _base(self, exists: Callable[[str], bool]) -> str:
        self._blanks()
        if self._peek() in QUOTES and self._peek():
            return self._token("a dataset")
        opening = [at for at, letter in enumerate(self._text) if letter == "["]
        # A path that exists wins here too: `a[b=c][limit=5]` where there is a folder `a[b=c]`.
        at = next((at for at in reversed(opening) if exists(self._text[:at])), opening[0] if opening else None)
        start, self._at = self._at, len(self._text) if at is None else at
        base = self._text[start : self._at].rstrip()
        if at is None and base.endswith("]"):
            raise self.error("a ']' without its '['")
        return base

    def _pair(self) -> Pair:
        key = self._token("a key")
        self._blanks()
        self._expect("=")
        values = [self._value(key)]
        while self._peek() == "|":
            self._at += 1
            values.append(self._value(key))
        return key, values

    def _value(self, key: str) -> str:
        self._blanks()
        value = self._token(f"a value for {key}")
        self._blanks()
        return value

    def _token(self, what: str) -> str:
        """A quoted text, or everything up to the next mark without the blanks around it."""
        if self._peek() and self._peek() in QUOTES:
            return self._quoted_token()
        start = self._at
        while self._peek() and self._peek() not in ",|=[]'\"":
            self._at += 1
        token = self._text[start : self._at].strip()
        if not token:
            raise self._unexpected(what)
        return token

    def _quoted_token(self) -> str:
        quote = self._peek()
        opened_at = self._at
        self._at += 1
        out: list[str] = []
        while letter := self._peek():
            after = self._text[self._at + 1 : self._at + 2]
            if (letter == "\\" and after in {"\\", quote}) or (letter == quote and after == quote):
                out.append(after)
                self._at += 2
            elif letter == quote:
                self._at += 1
                return "".join(out)
            else:
                out.append(letter)
                self._at += 1
        raise self.error(f"the quote at letter {opened_at + 1} is not closed")

    def _blanks(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _peek(self) -> str:
        """The letter at this place, "" at the end."""
        return self._text[self._at : self._at + 1]

    def _expect(self, mark: str) -> None:
        if self._peek() != mark:
            raise self._unexpected(f"{mark!r}")
        self._at += 1

    def _unexpected(self, wanted: str) -> ViewSyntaxError:
        if not self._peek():
            return self.error("the bracket is not closed")
        return self.error(f"expected {wanted} at letter {self._at + 1}, found {self._peek()!r}")
