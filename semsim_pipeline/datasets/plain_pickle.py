"""Pickles of numbers and texts, read without running anything: what CIFAR's batches are, and nothing beyond.

A pickle is a program. This reader admits built-in containers, and arrays of bytes, which it makes itself; a pickle that
names anything else is refused at that name, before it could be called.
"""

from __future__ import annotations

import pickle
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import CorruptSourceError

RECONSTRUCTS = {"numpy.core.multiarray", "numpy._core.multiarray"}


class _Type:
    """An array's dtype as a pickle spells it; only uint8 is admitted."""

    def __init__(self, name: object, *_: object) -> None:
        name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        if name not in {"u1", "uint8", "B"}:
            raise pickle.UnpicklingError(f"an array of {name!r}")

    def __setstate__(self, _state: object) -> None:
        """Byte order and alignment mean nothing for single bytes."""


class _Array:
    """An array under construction."""

    def __init__(self) -> None:
        self.pixels: NDArray[np.uint8] | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array of another kind")
        _version, shape, kind, by_columns, content = state
        if not isinstance(kind, _Type) or not isinstance(content, bytes) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("an array of another kind")
        found = np.frombuffer(content, np.uint8)
        self.pixels = found.reshape(shape, order="F" if by_columns else "C")


def _latin_bytes(text: object, encoding: object) -> bytes:
    """How Python 3 writes bytes into a pickle that Python 2 can read."""
    if not isinstance(text, str) or encoding not in {"latin1", b"latin1"}:
        raise pickle.UnpicklingError("bytes of another encoding")
    return text.encode("latin1")


class _Reader(pickle.Unpickler):
    """Hands out names of its own: a pickle may set attributes on what it gets, and they end with this reader."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")
        array = type("Array", (_Array,), {})
        self._names: dict[tuple[str, str], object] = {
            ("numpy", "ndarray"): array,
            ("numpy", "dtype"): type("Type", (_Type,), {}),
            ("_codecs", "encode"): partial(_latin_bytes),
            **{(module, "_reconstruct"): lambda *_: array() for module in RECONSTRUCTS},
        }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in self._names:
            return self._names[module, name]
        raise pickle.UnpicklingError(f"{module}.{name}, which is no array")


def read_plain(file: BinaryIO, where: str) -> dict[str, object]:
    """The one dictionary that a pickle holds, keys as text, arrays as uint8.

    Raises CorruptSourceError: code, anything else that is not plain, or a damaged file; nothing of it was run.
    Memory: the pickle's content once.
    """
    try:
        found = _Reader(file).load()
    except (pickle.UnpicklingError, ValueError, TypeError, EOFError, AttributeError, IndexError, KeyError) as error:
        raise CorruptSourceError(
            f"{where} is not a batch of plain arrays ({error}): refused, nothing of it was run."
        ) from error
    if not isinstance(found, dict):
        raise CorruptSourceError(f"{where} is not a batch of plain arrays (no dictionary): refused.")
    return {_text(key): value.pixels if isinstance(value, _Array) else value for key, value in found.items()}


def _text(key: object) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
