"""The array conventions: embeddings are [n, d], float32 or float64; work on them goes in row blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import DimensionMismatchError, InvalidEmbeddingsError

Embeddings = NDArray[np.float32] | NDArray[np.float64]
"""[n, d]; float32 as stored, float64 where the caller has it (then everything is computed in float64)."""

TILE_ROWS = 1024
"""Rows of one tile of pairwise work; 1,024 beat 4,096 by 2x in float32 (the tile then stays in cache)."""


def check_embeddings(name: str, array: NDArray[np.generic]) -> Embeddings:
    """`array` as float32 or float64 [n, d], or an error that names the side.

    float16 is widened to float32, integers to float64. Raises InvalidEmbeddingsError: not two-dimensional, no rows,
    no columns, complex or non-numeric, NaN or infinity (with the first row that has one).
    """
    if array.ndim != 2:
        raise InvalidEmbeddingsError(
            f"{name}: embeddings must be a table [n, d] of one row an image; found shape {list(array.shape)}."
        )
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise InvalidEmbeddingsError(f"{name}: no embeddings (shape {list(array.shape)}); at least one row is needed.")
    rows: Embeddings
    kind = array.dtype.newbyteorder("=")
    if kind in {np.dtype(np.float32), np.dtype(np.float16)}:
        rows = np.ascontiguousarray(array, dtype=np.float32)
    elif kind == np.float64 or np.issubdtype(array.dtype, np.integer):
        rows = np.ascontiguousarray(array, dtype=np.float64)
    else:
        raise InvalidEmbeddingsError(f"{name}: embeddings must be real numbers; found dtype {array.dtype}.")
    for start, block in row_blocks(rows):
        # One reduction per block: a NaN or an infinity survives the sum of magnitudes, or the sum overflows and is
        # then looked at value by value.
        if not np.isfinite(np.abs(block).sum(dtype=np.float64)):
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if bad.size:
                raise InvalidEmbeddingsError(
                    f"{name}: row {start + int(bad[0])} holds NaN or infinity ({bad.size} such rows in this block); "
                    "remove those rows or embed the images again."
                )
    return rows


def check_same_width(reference: Embeddings, candidate: Embeddings) -> None:
    """Raises DimensionMismatchError where the two sides come from encoders of different width."""
    if reference.shape[1] != candidate.shape[1]:
        raise DimensionMismatchError(
            f"The reference has {reference.shape[1]} columns and the candidate {candidate.shape[1]}: "
            "both sides must be embedded by the same encoder."
        )


def row_blocks(rows: NDArray[np.generic], size: int = 4 * TILE_ROWS) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """(first row, block) over an array's rows, without copies."""
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def unit_rows(rows: Embeddings, *, numbers: Sequence[int] | NDArray[np.intp] | None = None) -> Embeddings:
    """Rows scaled to Euclidean length 1, dtype kept; the length is taken in float64.

    numbers: what each row is called in an error, where these are some rows of a larger set.
    Raises InvalidEmbeddingsError where a row is zero: it has no direction, so no cosine.
    Memory: one copy, n·d·itemsize bytes.
    """
    out = np.empty_like(rows)
    for start in range(0, len(rows), 4 * TILE_ROWS):
        block = rows[start : start + 4 * TILE_ROWS].astype(np.float64)
        # Scaled by the largest entry first, so that neither 1e-200 nor 1e200 leaves float64's range when squared.
        largest = np.abs(block).max(axis=1, keepdims=True)
        zero = np.flatnonzero(largest[:, 0] == 0)
        if zero.size:
            place = start + int(zero[0])
            number = place if numbers is None else int(numbers[place])
            raise InvalidEmbeddingsError(
                f"Row {number} is all zeros: it has no direction, so no cosine; remove such rows."
            )
        block /= largest
        out[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return out
