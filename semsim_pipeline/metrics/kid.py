"""KID on all rows: the unbiased squared MMD under the cubic polynomial kernel."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

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
from semsim_pipeline.metrics.unit_pairs import UNKNOWN, mean_apart
from semsim_pipeline.metrics.units import own_units
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


def kernel_means(
    reference: EmbeddedSet, candidate: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY
) -> tuple[float, float, float]:
    """Mean kernel within the reference and within the candidate (i ≠ j), and across; kept with the sets."""
    cross = _cross_mean(reference, candidate, working_memory)
    return _within_mean(reference, working_memory), _within_mean(candidate, working_memory), cross


def kid(reference: EmbeddedSet, candidate: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY) -> float:
    """Unbiased squared MMD under ((x·y)/d + 1)³, on all rows as given (no subsets, sizes may differ).

    Returns: dimensionless; expectation 0 when the distributions agree, so often negative there: not clipped. Grows
    with the sixth power of the rows' length.
    float64 rows are computed in float64; float32 rows in float32 tiles summed in float64 (error below 1e-6 where
    ‖x‖² <= d) while ‖x‖²/d <= 100, in float64 above.
    Raises: TooFewSamplesError below two rows a side; UndefinedMetricError where cubes overflow float64.
    Memory: the tiles of `made_ahead` and one more, at most 8 MB each.
    Source: Gretton 2012, Lemma 6; kernel of Bińkowski 2018.
    Checked against: alibi-detect (1e-9), torch-fidelity KID on equal subsets (1e-9).
    """
    for word, side in (("reference", reference), ("candidate", candidate)):
        if len(side) < 2:
            raise TooFewSamplesError(f"needs at least 2 images a side; {word} has {len(side)}")
    with np.errstate(over="ignore", invalid="ignore"):
        within_reference, within_candidate, cross = kernel_means(reference, candidate, working_memory=working_memory)
        value = within_reference + within_candidate - 2 * cross
    if not math.isfinite(value):
        raise UndefinedMetricError("The cubes of the inner products overflow float64; scale the embeddings down.")
    return value


def kid_null(
    reference: EmbeddedSet, candidate: EmbeddedSet, *, working_memory: int = DEFAULT_WORKING_MEMORY
) -> float | None:
    """Expected KID of two samples of one distribution that come in the same groups and copies as these sides do.

    0 where all images are independent. Else what pairs of one unit add to each side's mean over all its pairs: that
    mean less the mean over pairs of different units, which has the cross mean's expectation. None where a side is one
    unit. Holds for means over subsets of rows as well: they meet pairs of one unit equally often.
    Raises: as `kid`. Cost: see `company_sum`, and nothing where all images are independent.
    """
    total = 0.0
    for side in (reference, candidate):
        if own_units(side).units == len(side):
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            mean = _within_mean(side, working_memory)
            apart = mean_apart(side, mean, partial(_float64_rows, side), _cubes)
        if apart is None or not math.isfinite(mean - apart):
            return None
        total += mean - apart
    return total


def _float64_rows(side: EmbeddedSet, places: NDArray[np.intp]) -> NDArray[np.float64]:
    return side.rows[places].astype(np.float64)


def _cubes(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cubic_kernel(left.shape[1])(left @ right.T), np.float64)


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """KID on all rows; see `kid` for what it raises. The reason says why there is no interval, or of what it is."""
    from semsim_pipeline.metrics.kid_interval import interval_reason, kid_interval

    value = kid(pair.reference, pair.candidate, working_memory=pair.working_memory)
    interval = kid_interval(pair, value)
    null = kid_null(pair.reference, pair.candidate, working_memory=pair.working_memory)
    said = [interval_reason(pair, interval), UNKNOWN if null is None else None]
    reason = "; ".join(each for each in said if each) or None
    return {"kid": MetricValue(value=value, interval=interval, null=null, reason=reason)}


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
