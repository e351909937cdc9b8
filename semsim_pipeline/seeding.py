"""Named random generators: one seed for a comparison, an independent stream for each purpose."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator that depends on the seed and on what it is for, and on nothing else (no global state).

    >>> bool(generator(0, "bootstrap").integers(1 << 30) == generator(0, "bootstrap").integers(1 << 30))
    True
    >>> bool(generator(0, "bootstrap").integers(1 << 30) == generator(0, "split").integers(1 << 30))
    False
    """
    digest = hashlib.sha256("\x1f".join([str(seed), *map(str, purpose)]).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
