"""What Python a file in torch's format names, read off its pickles without running them.

torch says in several ways that it will not open a file, and advises to open it all the same. So the file is asked.
It decides nothing: torch has refused the file already, and this finds the words for it.
Format: `pickletools` of the standard library.
"""

from __future__ import annotations

import lzma
import pickle
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

MOST_BYTES = 8 << 20
"""Of all pickles, or of a file of torch before 1.6, that are looked at: a second for a megabyte, at worst."""
MOST_NAMES = 8
LONGEST = 80
"""Characters of a name that are shown."""
HIDDEN = "a name that it hides"
NAME = re.compile(r"[A-Za-z_][\w.]*")
PLAIN = re.compile(
    r"collections\.(OrderedDict|defaultdict|Counter)|_codecs\.encode"
    r"|(__builtin__|builtins)\.(bytearray|complex|dict|list|set|tuple)"
    r"|torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2|nn\.parameter\.Parameter|serialization\._get_layout"
    r"|((cuda|sparse|storage)\.)*\w+(Storage|Tensor)|Size|device|strided"
    r"|b?float\d\w*|bfloat16|half|double|bool|complex\d+|q?u?int\d+\w*)"
)
"""Containers, and what torch writes into every checkpoint of tensors."""


def is_torchscript(path: Path) -> bool:
    """Whether it is an archive of `torch.jit.save`: a program beside its weights."""
    return any(name.rpartition("/")[2] == "constants.pkl" for name in _members(path))


def protocol_of(path: Path) -> int:
    """Of the file's first pickle; 0 where it holds none, or one that does not say."""
    start = next(_pickles(path), BytesIO()).read(2)
    return start[1] if len(start) == 2 and start[0] == pickle.PROTO[0] else 0


def foreign_names(path: Path) -> list[str]:
    """`module.name` of the first that the file's pickles name beside tensors and plain containers; MOST_NAMES at most.

    Where a name does not stand in the file as such, HIDDEN stands for it. Empty where the file holds no pickle.
    Memory: MOST_BYTES, and as much for what is read from them.
    """
    found: dict[str, None] = {}
    for content in _pickles(path):
        for name in _names(content):
            if not PLAIN.fullmatch(name):
                found[name[:LONGEST]] = None
            if len(found) == MOST_NAMES:
                return list(found)
    return list(found)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def _pickles(path: Path) -> Iterator[BytesIO]:
    """Those of the archive; else the file, which may hold several, one behind the other."""
    members = [name for name in _members(path) if name.endswith(".pkl")]
    left = MOST_BYTES
    try:
        if not members:
            with path.open("rb") as file:
                yield BytesIO(file.read(left))
            return
        with zipfile.ZipFile(path) as archive:
            for name in members:
                with archive.open(name) as file:
                    content = file.read(left)
                left -= len(content)
                yield BytesIO(content)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError):
        return  # damaged, or encrypted: what was read before counts


def _names(content: BytesIO) -> Iterator[str]:
    """Of one pickle after the other, until something is none."""
    while True:
        try:
            yield from _names_of_one(content)
        except (ValueError, OverflowError, IndexError, struct.error):  # what `pickletools` says of other bytes
            return


def _names_of_one(content: BytesIO) -> Iterator[str]:
    """A name may be put together from texts pushed before; where the two on top are no texts, it is hidden."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    latest = ""  # the text on top of the stack, where it is one
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in {"GLOBAL", "INST"}:
            yield _spelled(*str(argument).split(" ", 1))
        elif opcode.name == "STACK_GLOBAL":
            yield _spelled(*texts[-2:])
        elif opcode.name.startswith("EXT"):
            yield HIDDEN
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = latest
        elif "PUT" in opcode.name and isinstance(argument, int):
            memo[argument] = latest
        else:
            got = memo.get(argument, "") if "GET" in opcode.name and isinstance(argument, int) else argument
            latest = got if isinstance(got, str) else ""
            texts = [*texts[-1:], latest] if latest else texts


def _spelled(*parts: str) -> str:
    return ".".join(parts) if len(parts) == 2 and all(NAME.fullmatch(part) for part in parts) else HIDDEN
