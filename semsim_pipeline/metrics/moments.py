"""Gaussian moments as a small frozen value that shards merge in any order: count, mean, scatter, all in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import row_blocks
from semsim_pipeline.errors import DimensionMismatchError, TooFewSamplesError
from semsim_pipeline.metrics.base import EmbeddedSet

MEMO = ("moments",)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """n rows seen, their mean float64 [d], their scatter sum((x - mean)(x - mean)ᵀ) float64 [d, d].

    Merging is associative and commutative to rounding (about 1e-14 relative). Memory: d²·8 bytes.
    """

    n: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def empty(cls, d: int) -> Moments:
        """The moments of no rows of width d: the neutral element of `merge`."""
        return cls(n=0, mean=np.zeros(d), scatter=np.zeros((d, d)))

    @classmethod
    def from_chunk(cls, rows: NDArray[np.generic]) -> Moments:
        """Moments of rows [n, d], float32 or float64, n >= 0.

        Every block is widened to float64 and centred on its own mean before it is squared, so that an offset of 1e3
        or 1e6 costs no digits (a float32 sum loses 1e-2 at 1e3). Memory: one block of 4,096 rows in float64, and d².
        Source: Chan, Golub & LeVeque 1983. Checked against: numpy.cov (1e-12).
        """
        total = cls.empty(rows.shape[1])
        for _, block in row_blocks(rows):
            wide = block.astype(np.float64)
            mean = wide.mean(axis=0)
            wide -= mean
            # What rounding left of the block's mean, taken back: matters at offsets above 1e8.
            rest = wide.mean(axis=0)
            wide -= rest
            total = total.merge(cls(n=len(wide), mean=mean + rest, scatter=wide.T @ wide))
        return total

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows together. Raises DimensionMismatchError on different widths."""
        if self.mean.shape != other.mean.shape:
            raise DimensionMismatchError(
                f"Moments of width {len(self.mean)} and {len(other.mean)} cannot be merged: use one encoder's rows."
            )
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n = self.n + other.n
        gap = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(gap, gap) * (self.n * other.n / n)
        return Moments(n=n, mean=self.mean + gap * (other.n / n), scatter=scatter)

    def covariance(self, *, ddof: int = 1) -> NDArray[np.float64]:
        """scatter / (n - ddof), [d, d]; ddof = 1 is the unbiased estimate that FID is defined with.

        Raises TooFewSamplesError where n <= ddof.
        """
        if self.n <= ddof:
            raise TooFewSamplesError(f"A covariance needs at least {ddof + 1} images; found {self.n}.")
        return self.scatter / (self.n - ddof)


def moments_of(side: EmbeddedSet) -> Moments:
    """The moments of a set's rows as given, computed once per set. Memory: d²·8 bytes kept with the set."""
    found = side.memo.get(MEMO)
    if not isinstance(found, Moments):
        found = Moments.from_chunk(side.rows)
        side.memo[MEMO] = found
    return found
