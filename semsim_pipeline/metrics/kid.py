"""KID on all rows: the unbiased squared MMD under the cubic polynomial kernel."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping

import numpy as np

from semsim_pipeline.arrays import Embeddings
from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import (
    DEFAULT_WORKING_MEMORY,
    METRICS,
    EmbeddedSet,
    MetricFacts,
    MetricFamily,
    Pair,
)
from semsim_pipeline.metrics.blocks import Kernel, Tile, cross_sum, largest_square, tile_rows, within_sum
from semsim_pipeline.records import MetricValue

WITHIN, CROSS = ("kid", "within"), ("kid", "cross")

FLOAT32_LIMIT = 100.0
"""Largest ‖x‖²/d for which tiles are multiplied in float32. Above it the cubes pass 1e6 and their 1e-7 is no longer
small beside a KID; those sets are computed in float64 (2.5 times the cost)."""


def cubic_kernel(d: int) -> Kernel:
    """k(x, y) = ((x·y)/d + 1)³ on tiles of inner products, in place; d is the rows' width."""

    def kernel(products: Tile) -> Tile:
        products /= d
        products += 1
        squares = products * products
        squares *= products
        return squares

    return kernel


def working_rows(side: EmbeddedSet) -> Embeddings:
    """Rows as stored, or their float64 copy where float32 cubes would lose the answer (n·d·8 bytes, kept)."""
    key = ("kid", "rows")
    found = side.memo.get(key)
    if isinstance(found, np.ndarray):
        return found
    rows: Embeddings = side.rows
    if rows.dtype == np.float32 and largest_square(rows) / side.dim > FLOAT32_LIMIT:
        rows = rows.astype(np.float64)
    side.memo[key] = rows
    return rows


class KernelTotal:
    """Adds up cubic kernels of a pass over tiles; `own`: of one set's upper triangle, self-pairs already 0."""

    def __init__(self, *, own: bool) -> None:
        self.own = own
        self._parts: list[float] = []

    def add(self, i: int, j: int, values: Tile) -> None:
        """Add one tile of kernel values."""
        self._parts.append(float(values.sum(dtype=np.float64)) * (2 if self.own and i != j else 1))

    def total(self) -> float:
        """The sum over all ordered pairs, once every tile was added."""
        return math.fsum(self._parts)


def keep_within(side: EmbeddedSet, total: float) -> float:
    """Keep a set's mean kernel, of a sum over i ≠ j that any pass has found; returns it."""
    mean = total / (len(side) * (len(side) - 1))
    side.memo[WITHIN] = mean
    return mean


def keep_cross(reference: EmbeddedSet, candidate: EmbeddedSet, total: float) -> float:
    """Keep a pair's mean kernel likewise; weakly, so that it keeps no set alive."""
    mean = total / (len(reference) * len(candidate))
    reference.memo[CROSS] = (weakref.ref(candidate), mean)
    return mean


def _within_mean(side: EmbeddedSet, working_memory: int) -> float:
    found = side.memo.get(WITHIN)
    if isinstance(found, float):
        return found
    return keep_within(side, within_sum(working_rows(side), cubic_kernel(side.dim), tile=tile_rows(working_memory)))


def _cross_mean(reference: EmbeddedSet, candidate: EmbeddedSet, working_memory: int) -> float:
    kept = reference.memo.get(CROSS)
    if isinstance(kept, tuple) and kept[0]() is candidate:
        return float(kept[1])
    rows, tile = (working_rows(reference), working_rows(candidate)), tile_rows(working_memory)
    return keep_cross(reference, candidate, cross_sum(*rows, cubic_kernel(reference.dim), tile=tile))


def kid(reference: EmbeddedSet, candidate: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY) -> float:
    """Unbiased squared MMD under ((x·y)/d + 1)³, on all rows as given (no subsets, sizes may differ).

    Returns: dimensionless; expectation 0 when the distributions agree, so often negative there: not clipped. Grows
    with the sixth power of the rows' length.
    float64 rows are computed in float64; float32 rows in float32 tiles summed in float64 (error below 1e-6 where
    ‖x‖² <= d) while ‖x‖²/d <= 100, in float64 above.
    Raises: TooFewSamplesError below two rows a side; UndefinedMetricError where cubes overflow float64.
    Memory: two tiles of at most 8 MB. Source: Gretton 2012, Lemma 6; kernel of Bińkowski 2018.
    Checked against: alibi-detect (1e-9), torch-fidelity KID on equal subsets (1e-9).
    """
    for word, side in (("reference", reference), ("candidate", candidate)):
        if len(side) < 2:
            raise TooFewSamplesError(f"needs at least 2 images a side; {word} has {len(side)}")
    with np.errstate(over="ignore", invalid="ignore"):
        cross = _cross_mean(reference, candidate, working_memory)
        value = _within_mean(reference, working_memory) + _within_mean(candidate, working_memory) - 2 * cross
    if not math.isfinite(value):
        raise UndefinedMetricError("The cubes of the inner products overflow float64; scale the embeddings down.")
    return value


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """KID on all rows; see `kid` for what it raises."""
    from semsim_pipeline.metrics.kid_interval import kid_interval

    value = kid(pair.reference, pair.candidate, working_memory=pair.working_memory)
    return {"kid": MetricValue(value=value, interval=kid_interval(pair, value), null=0.0)}


METRICS.add(
    "kid",
    MetricFamily(
        name="kid",
        facts=(
            MetricFacts(
                name="kid",
                group="distribution",
                cost="blocks",
                symmetric=True,
                higher_is_closer=False,
                range=(-np.inf, np.inf),
                at_identity=None,
                rotation_invariant=True,
                min_samples=2,
                meaning="Kernel distance on all rows; about 0, also below, when both sets are of one distribution.",
                source="Bińkowski 2018; unbiased estimate of Gretton 2012",
            ),
        ),
        compute=compute,
    ),
)
