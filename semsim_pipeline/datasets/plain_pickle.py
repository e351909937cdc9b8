"""Pickles of numbers and texts, read without running anything: what CIFAR's batches are, and nothing beyond.

A pickle is a program. This reader admits built-in containers, and arrays of bytes, which it makes itself; a pickle that
names anything else is refused at that name, before it could be called.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.pickle_steps import Machine, RefusedError
from semsim_pipeline.errors import CorruptSourceError

RECONSTRUCTS = {"numpy.core.multiarray", "numpy._core.multiarray"}
LONGEST_SAID = 200
"""Letters of what is wrong; a pickle may hold a name of megabytes."""


class _Type:
    """An array's dtype as a pickle spells it; only uint8 is admitted."""

    def __init__(self, name: object, *_: object) -> None:
        name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        if not isinstance(name, str) or name not in {"u1", "uint8", "B"}:
            raise RefusedError(f"an array of {name!r}" if isinstance(name, str) else "an array of another kind")

    def complete(self, _state: object) -> None:
        """Byte order and alignment mean nothing for single bytes."""


class _Array:
    """An array under construction."""

    def __init__(self) -> None:
        self.pixels: NDArray[np.uint8] | None = None

    def complete(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise RefusedError("an array of another kind")
        _version, shape, kind, by_columns, content = state
        is_bytes = isinstance(content, bytes | bytearray)
        if not isinstance(kind, _Type) or not is_bytes or not isinstance(shape, tuple):
            raise RefusedError("an array of another kind")
        found = np.frombuffer(content, np.uint8)
        self.pixels = found.reshape(shape, order="F" if by_columns else "C")


def _latin_bytes(text: object, encoding: object) -> bytes:
    """How Python 3 writes bytes into a pickle that Python 2 can read."""
    if not isinstance(text, str) or not isinstance(encoding, str | bytes) or encoding not in {"latin1", b"latin1"}:
        raise RefusedError("bytes of another encoding")
    return text.encode("latin1")


def _new_array(*_: object) -> _Array:
    return _Array()


NAMES: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): "the argument of `_reconstruct`, which is not looked at",
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _latin_bytes,
    **{(module, "_reconstruct"): _new_array for module in RECONSTRUCTS},
}

DAMAGE = (
    RefusedError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    struct.error,
    OverflowError,
    MemoryError,
    RecursionError,
)


def read_plain(file: BinaryIO, size: int, where: str) -> dict[str, object]:
    """The one dictionary that a pickle holds, keys as text, arrays as uint8. size: bytes that are the pickle's.

    Raises CorruptSourceError: code, anything else that is not plain, or a damaged file; nothing of it was run.
    Memory: the pickle's content once.
    """
    try:
        found = Machine(file, size, NAMES, (_Type, _latin_bytes, _new_array)).run()
    except DAMAGE as error:
        said = " ".join(str(error).split())[:LONGEST_SAID] or type(error).__name__
        raise CorruptSourceError(
            f"{where} is not a batch of plain arrays ({said}): refused, nothing of it was run."
        ) from error
    if not isinstance(found, dict):
        raise CorruptSourceError(f"{where} is not a batch of plain arrays (no dictionary): refused.")
    return {_text(key): value.pixels if isinstance(value, _Array) else value for key, value in found.items()}


def _text(key: object) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
