"""Stable hashes: of image content, of files, and of plain values that identify a computation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NewType

import numpy as np
from numpy.typing import NDArray

ImageId = NewType("ImageId", str)
"""SHA-256 in hex: of a file's bytes, or of shape, dtype and pixels where the source holds arrays."""

CHUNK_BYTES = 1 << 20

Plain = str | int | float | bool | None | list["Plain"] | tuple["Plain", ...] | dict[str, "Plain"]
"""What may identify a computation: values whose JSON text is the same on every machine."""


def image_id_of(content: bytes | NDArray[np.uint8]) -> ImageId:
    """The identity of one image's content.

    Args: a file's bytes, or decoded pixels uint8 [h, w] or [h, w, 3] of a source that has no files.
    """
    if isinstance(content, bytes):
        return ImageId(hashlib.sha256(content).hexdigest())
    digest = hashlib.sha256(f"{content.shape}{content.dtype.str}".encode())
    digest.update(np.ascontiguousarray(content).tobytes())
    return ImageId(digest.hexdigest())


def digest_of(value: Plain) -> str:
    """SHA-256 in hex of a plain value, independent of dictionary order.

    >>> digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 in hex of a file's bytes. Memory: one MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
