"""A 95 % interval for the mean cosine: how far each side's independent images move it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS
from semsim_pipeline.metrics.base import Z_95, EmbeddedSet
from semsim_pipeline.metrics.cosine import directions_of, mean_cosine
from semsim_pipeline.metrics.units import Layout, layout_of, own_units, too_few_units

FEWEST_UNITS = 2
MEMO = ("cosine", "spread")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """What a set's units (images that stand alone, copies and groups together) do to a mean cosine, whatever is on the
    other side: the sums of their unit rows less the mean one.

    sums: those, float64 [units, d], where there are fewer units than d. scatter: sum of their outer products, float64
    [d, d], else. Memory: min(units, d)·d·8 bytes.
    """

    units: int
    sums: Floats | None = None
    scatter: Floats | None = None

    def along(self, direction: Floats) -> float:
        """The sum over units of their squared projections on a direction [d]; >= 0."""
        if self.sums is not None:
            projections = self.sums @ direction
            return float(projections @ projections)
        # Rounding alone passes below 0 where no unit moves along it.
        return max(0.0, float(direction @ np.asarray(self.scatter) @ direction))


def spread_of(side: EmbeddedSet) -> Spread:
    """A set's spread by unit, computed once per set, so that the interval of its next pair reads no row.

    Raises InvalidEmbeddingsError on a zero row. Cost: 2·n·d² operations, once. Memory: see `Spread`, and one block of
    1,024 rows in float64.
    """
    found = side.memo.get(MEMO)
    if not isinstance(found, Spread):
        units = own_units(side).units
        if units < side.dim:
            found = Spread(units=units, sums=np.concatenate(list(_unit_sums(side))))
        else:
            scatter = np.zeros((side.dim, side.dim))
            for sums in _unit_sums(side):
                scatter += sums.T @ sums
            found = Spread(units=units, scatter=scatter)
        side.memo[MEMO] = found
    return found


def _unit_sums(side: EmbeddedSet) -> Iterator[Floats]:
    """Sums by unit of the unit rows less the mean one, block by block: float64 [some, d], every unit once."""
    twins, mean = own_units(side), directions_of(side).mean
    alone = twins.units == len(side)
    order = np.arange(len(side)) if alone else np.argsort(twins.unit, kind="stable")
    # The last unit of a block may go on in the next.
    open_sum, open_unit = np.zeros((0, side.dim)), -1
    for start in range(0, len(order), TILE_ROWS):
        rows = order[start : start + TILE_ROWS]
        sums = side.unit_at(rows) - mean
        if not alone:
            unit = twins.unit[rows]
            starts = np.flatnonzero(np.r_[True, np.diff(unit) != 0])
            sums = np.add.reduceat(sums, starts, axis=0)
            if unit[0] == open_unit:
                sums[0] += open_sum[0]
            else:
                sums = np.concatenate([open_sum, sums])
            sums, open_sum, open_unit = sums[:-1], sums[-1:], int(unit[-1])
        yield sums
    yield open_sum


def mean_cosine_interval(reference: EmbeddedSet, candidate: EmbeddedSet) -> tuple[float, float] | None:
    """95 % interval of the mean cosine; None where a side has fewer than two independent images.

    The delete-one jackknife of both sides in closed form (the statistic is linear in each side's rows, so it is the
    variance of the rows' projections on the other side's mean): ± 1.96·√(s²_A/n + s²_B/m). Rows of one unit (copies, a
    group) are deleted together; a unit that is on both sides moves the cosine twice, and counts as both at once.
    Range [-1, 1]; contains the mean cosine. It comes from what `spread_of` keeps of each side; rows are read again only
    of images on both sides. Memory: see `Spread`. Checked against: the rows' projections (1e-9).
    """
    a, b = spread_of(reference), spread_of(candidate)
    fewest = min(a.units, b.units)
    if fewest < FEWEST_UNITS:
        return None
    toward_a, toward_b = directions_of(reference).mean, directions_of(candidate).mean
    variance = a.along(toward_b) * a.units / (a.units - 1) / len(reference) ** 2
    variance += b.along(toward_a) * b.units / (b.units - 1) / len(candidate) ** 2
    variance += _together(reference, candidate, layout_of(reference, candidate)) * fewest / (fewest - 1)
    centre, half = mean_cosine(reference, candidate), Z_95 * math.sqrt(max(0.0, variance))
    low, high = np.clip((centre - half, centre + half), -1.0, 1.0)  # both ends: rounding alone passes 1
    return float(low), float(high)


def interval_reason(reference: EmbeddedSet, candidate: EmbeddedSet) -> str | None:
    """In words, why a mean cosine has no interval; None where it has one."""
    return too_few_units((own_units(reference).units, own_units(candidate).units), FEWEST_UNITS)


def _effects(side: EmbeddedSet, other: EmbeddedSet, rows: NDArray[np.intp]) -> Floats:
    """By how much some rows move the mean cosine, each: its projection on the other's mean less the mean one, ÷ n."""
    toward = directions_of(other).mean
    blocks = [rows[i : i + TILE_ROWS] for i in range(0, len(rows), TILE_ROWS)]
    along = np.concatenate([side.unit_at(block) @ toward for block in blocks])
    return np.asarray((along - directions_of(side).mean @ toward) / len(side))


def _together(reference: EmbeddedSet, candidate: EmbeddedSet, layout: Layout) -> float:
    """What units on both sides add to the sum of the sides' own variances: their effects are added before squaring."""
    if layout.sides_independent:
        return 0.0
    joint, own = np.zeros(len(layout.spanning)), 0.0
    for side, other, twins in (
        (reference, candidate, layout.reference),
        (candidate, reference, layout.candidate),
    ):
        rows = np.flatnonzero(np.isin(twins.unit, layout.spanning))
        effects = _effects(side, other, rows)
        joint += np.bincount(
            np.searchsorted(layout.spanning, twins.unit[rows]), weights=effects, minlength=len(layout.spanning)
        )
        alone = np.bincount(own_units(side).unit[rows], weights=effects)
        own += float(alone @ alone)
    return float(joint @ joint) - own
