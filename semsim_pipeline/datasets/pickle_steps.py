"""The steps of a pickle that make plain values, and no others; each with a bound on what it may cost.

A pickle is a program for a machine with a stack. The standard library's machine trusts it: a tuple in a tuple, 200,000
deep, is hashed by recursion and crashes the process; a place of 2**32 in the memo takes 64 GB. So this is one of our
own.
Format: `pickletools` of the standard library, protocols 0 to 5.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol, runtime_checkable

DEEPEST = 32
"""Tuples within tuples, and containers begun but not ended; a batch of CIFAR has four."""
MOST_STEPS = 10_000_000
"""A batch has half a million. A step makes one value at most, so this is also a bound on memory."""
LONGEST_NUMBER = 9
"""Bytes: 64 bits and a sign."""
LONGEST_DIGITS = 22
BUFFER = 1 << 16
PIECE = 1 << 20


class RefusedError(Exception):
    """A step that makes nothing plain, or that asks for too much."""


@runtime_checkable
class Built(Protocol):
    """A value of ours that a pickle may complete."""

    def complete(self, state: object) -> None:
        """Raises RefusedError, ValueError, TypeError, OverflowError."""


class Tuple(tuple[object, ...]):
    """A tuple that knows how deep tuples lie in it."""

    depth = 1

    @classmethod
    def of(cls, values: Sequence[object]) -> Tuple:
        made = cls(values)
        made.depth = 1 + max((each.depth for each in values if isinstance(each, Tuple)), default=0)
        if made.depth > DEEPEST:
            raise RefusedError(f"tuples more than {DEEPEST} deep")
        return made


class _Bytes:
    """The pickle's bytes; no more is asked for than there are.   Memory: a buffer, and what is returned."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._behind = file, size
        self._buffer, self._at = b"", 0

    @property
    def left(self) -> int:
        return len(self._buffer) - self._at + self._behind

    def take(self, count: int) -> bytes | bytearray:
        """So many bytes; a bytearray where they are more than the buffer holds. Raises RefusedError, EOFError."""
        start, end = self._at, self._at + count
        if end <= len(self._buffer):
            self._at = end
            return self._buffer[start:end]
        if count > self.left:
            raise RefusedError(f"a length of {count:,} bytes where {self.left:,} are left")
        if count <= BUFFER:
            self._fill()
            self._at = count
            return self._buffer[:count]
        taken = bytearray(count)
        have = len(self._buffer) - start
        taken[:have] = self._buffer[start:]
        self._buffer, self._at = b"", 0
        while have < count:
            piece = self._read(min(count - have, PIECE))
            taken[have : have + len(piece)] = piece
            have += len(piece)
        return taken

    def line(self, longest: int | None = None) -> bytes:
        """Up to the end of the line, which is left out. Raises RefusedError, EOFError."""
        parts: list[bytes] = []
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            parts.append(self._buffer[self._at :])
            self._at = len(self._buffer)
            if longest is not None and sum(map(len, parts)) > longest:
                raise RefusedError(f"a line of more than {longest} bytes")
            self._fill()
        parts.append(self._buffer[self._at : end])
        self._at = end + 1
        found = b"".join(parts)
        if longest is not None and len(found) > longest:
            raise RefusedError(f"a line of {len(found):,} bytes, of at most {longest}")
        return found

    def number(self, count: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(count), "little", signed=signed)

    def _fill(self) -> None:
        """At least BUFFER bytes in the buffer, or all that there are."""
        self._buffer, self._at = self._buffer[self._at :], 0
        wanted = min(BUFFER, self._behind)
        if wanted == 0:
            raise EOFError("it ends early")
        got = b""
        while len(got) < wanted:
            got += self._read(wanted - len(got))
        self._buffer += got

    def _read(self, count: int) -> bytes:
        piece = self._file.read(count)
        if not piece:
            raise EOFError("it ends early")
        self._behind -= len(piece)
        return piece


class Machine:
    """Runs one pickle. names: what it may name, by (module, name); of those, what it may call."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        names: dict[tuple[str, str], object],
        calls: Sequence[Callable[..., object]],
    ) -> None:
        self._bytes = _Bytes(file, size)
        self._names, self._calls = names, calls
        self._stack: list[object] = []
        self._marks: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._steps = self._all_steps()

    def run(self) -> object:
        """What the pickle makes.

        Raises RefusedError, and for damage EOFError, ValueError, TypeError, IndexError, KeyError, struct.error,
        OverflowError.
        """
        take, steps = self._bytes.take, self._steps
        for _ in range(MOST_STEPS):
            code = take(1)[0]
            if code == ord("."):
                return self._stack.pop()
            step = steps.get(code)
            if step is None:
                raise RefusedError(f"the step {code:#04x}, which makes nothing plain")
            step()
        raise RefusedError(f"more than {MOST_STEPS:,} steps")

    def _all_steps(self) -> dict[int, Callable[[], object]]:
        source, push = self._bytes, self._push
        take, number, line = source.take, source.number, source.line
        return {
            0x80: lambda: take(1),  # the protocol
            0x95: self._frame,
            ord("("): self._mark,
            ord("0"): lambda: self._stack.pop(),  # noqa: PLW0108 - a mark puts another stack in its place
            ord("1"): self._from_mark,
            ord("2"): lambda: push(self._stack[-1]),
            ord("N"): lambda: push(None),
            0x88: lambda: push(True),
            0x89: lambda: push(False),
            ord("I"): self._int,
            ord("L"): lambda: push(int(line(LONGEST_DIGITS).rstrip(b"L"))),
            ord("J"): lambda: push(number(4, signed=True)),
            ord("K"): lambda: push(number(1)),
            ord("M"): lambda: push(number(2)),
            0x8A: self._long,
            ord("F"): lambda: push(float(line(LONGEST_DIGITS + 10))),
            ord("G"): lambda: push(struct.unpack(">d", take(8))[0]),
            ord("S"): self._quoted,
            ord("T"): lambda: push(take(number(4))),
            ord("U"): lambda: push(take(number(1))),
            ord("B"): lambda: push(take(number(4))),
            ord("C"): lambda: push(take(number(1))),
            0x8E: lambda: push(take(number(8))),
            ord("V"): lambda: push(str(line(), "raw-unicode-escape")),
            ord("X"): lambda: push(str(take(number(4)), "utf-8", "surrogatepass")),
            0x8C: lambda: push(str(take(number(1)), "utf-8", "surrogatepass")),
            0x8D: lambda: push(str(take(number(8)), "utf-8", "surrogatepass")),
            ord("]"): lambda: push([]),
            ord("}"): lambda: push({}),
            ord(")"): lambda: push(Tuple()),
            ord("l"): lambda: push(self._from_mark()),
            ord("d"): lambda: push(_pairs(self._from_mark())),
            ord("t"): lambda: push(Tuple.of(self._from_mark())),
            0x85: lambda: self._tuple(1),
            0x86: lambda: self._tuple(2),
            0x87: lambda: self._tuple(3),
            ord("a"): lambda: self._extend([self._stack.pop()]),
            ord("e"): lambda: self._extend(self._from_mark()),
            ord("s"): lambda: self._update([self._stack.pop(-2), self._stack.pop()]),
            ord("u"): lambda: self._update(self._from_mark()),
            ord("g"): lambda: push(self._memo[int(line(LONGEST_DIGITS))]),
            ord("h"): lambda: push(self._memo[number(1)]),
            ord("j"): lambda: push(self._memo[number(4)]),
            ord("p"): lambda: self._keep(int(line(LONGEST_DIGITS))),
            ord("q"): lambda: self._keep(number(1)),
            ord("r"): lambda: self._keep(number(4)),
            0x94: lambda: self._keep(len(self._memo)),
            ord("c"): lambda: self._name(str(line(), "utf-8"), str(line(), "utf-8")),
            0x93: lambda: self._name(self._stack.pop(-2), self._stack.pop()),
            ord("R"): self._call,
            ord("b"): self._complete,
        }

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _keep(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def _frame(self) -> None:
        """A hint of how much to read at once; the bytes follow in line."""
        size = self._bytes.number(8)
        if size > self._bytes.left:
            raise RefusedError(f"a length of {size:,} bytes where {self._bytes.left:,} are left")

    def _mark(self) -> None:
        if len(self._marks) >= DEEPEST:
            raise RefusedError(f"containers more than {DEEPEST} deep")
        self._marks.append(self._stack)
        self._stack = []

    def _from_mark(self) -> list[object]:
        found, self._stack = self._stack, self._marks.pop()
        return found

    def _int(self) -> None:
        text = self._bytes.line(LONGEST_DIGITS)
        self._push(text == b"01" if text in {b"00", b"01"} else int(text, 0))

    def _long(self) -> None:
        size = self._bytes.number(1)
        if size > LONGEST_NUMBER:
            raise RefusedError(f"a number of {size} bytes")
        self._push(self._bytes.number(size, signed=True))

    def _quoted(self) -> None:
        text = self._bytes.line()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in {b"'", b'"'}:
            raise RefusedError("a text without its quotes")
        self._push(codecs.escape_decode(text[1:-1])[0])

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError("too few values for a tuple")
        self._stack[-count:] = [Tuple.of(self._stack[-count:])]

    def _extend(self, values: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise RefusedError("values for what is no list")
        target += values

    def _update(self, values: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise RefusedError("keys for what is no dictionary")
        target.update(_pairs(values))

    def _name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedError("a name that is no text")
        if (module, name) not in self._names:
            raise RefusedError(f"{module}.{name}, which is no array")
        self._push(self._names[module, name])

    def _call(self) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        function = next((each for each in self._calls if each is called), None)
        if function is None or not isinstance(arguments, Tuple):
            raise RefusedError("a call of what is no array")
        self._push(function(*arguments))

    def _complete(self) -> None:
        state, value = self._stack.pop(), self._stack[-1]
        if not isinstance(value, Built):
            raise RefusedError("a state for what is no array")
        value.complete(state)


def _pairs(values: list[object]) -> dict[object, object]:
    """Only plain keys: the hash of a tuple that names another one twice, again and again, is never done."""
    if not all(isinstance(key, str | bytes | int) for key in values[::2]):
        raise RefusedError("a key that is neither text nor number")
    return dict(zip(values[::2], values[1::2], strict=True))
