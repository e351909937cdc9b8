"""What Python a file in torch's format names, read off its pickles without running them.

torch says in several ways that it will not open a file, and advises to open it all the same. So the file is asked.
Format: `pickletools` of the standard library.
"""

from __future__ import annotations

import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

MOST_BYTES = 64 << 20
"""Of a pickle, or of a file of torch before 1.6, that are looked at; one of weights holds names and shapes."""
PLAIN = frozenset({"collections.OrderedDict"})
LIBRARY = "torch."
"""torch restores its own tensors by name; which of its names it trusts is for torch to say."""
NAME = re.compile(r"[A-Za-z_][\w.]*")


def is_torchscript(path: Path) -> bool:
    """Whether it is an archive of `torch.jit.save`: a program beside its weights."""
    return any(name.rpartition("/")[2] == "constants.pkl" for name in _members(path))


def foreign_names(path: Path) -> list[str]:
    """`module.name` of all that the file's pickles name, in order, but for torch's own and plain containers.

    Empty where the file holds no pickle. Memory: MOST_BYTES, or the file's size.
    """
    found = dict.fromkeys(name for pickle in _pickles(path) for name in _names(pickle))
    return [name for name in found if name not in PLAIN and not name.startswith(LIBRARY)]


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def _pickles(path: Path) -> Iterator[BytesIO]:
    """Those of the archive; else the file, which may hold several, one behind the other."""
    members = [name for name in _members(path) if name.endswith(".pkl")]
    try:
        if not members:
            with path.open("rb") as file:
                yield BytesIO(file.read(MOST_BYTES))
            return
        with zipfile.ZipFile(path) as archive:
            for name in members:
                with archive.open(name) as file:
                    yield BytesIO(file.read(MOST_BYTES))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError):
        return  # damaged: what was read before counts


def _names(content: BytesIO) -> Iterator[str]:
    """Of one pickle after the other, until something is none."""
    while True:
        texts: list[str] = []
        memo: dict[int, str] = {}
        latest = ""  # the text on top of the stack, where it is one
        try:
            for opcode, argument, _ in pickletools.genops(content):
                if opcode.name in {"GLOBAL", "INST"} and isinstance(argument, str):
                    yield from _spelled(*argument.split(" ", 1))
                elif opcode.name == "STACK_GLOBAL":
                    yield from _spelled(*texts[-2:])
                if opcode.name == "MEMOIZE":
                    memo[len(memo)] = latest
                elif "PUT" in opcode.name and isinstance(argument, int):
                    memo[argument] = latest
                else:
                    got = memo.get(argument, "") if "GET" in opcode.name and isinstance(argument, int) else argument
                    latest = got if isinstance(got, str) else ""
                    texts = [*texts[-1:], latest] if latest else texts
        except (ValueError, OverflowError, IndexError, struct.error):  # what `pickletools` says of bytes that are none
            return


def _spelled(*parts: str) -> Iterator[str]:
    if len(parts) == 2 and all(NAME.fullmatch(part) for part in parts):
        yield ".".join(parts)
