"""KID as papers print it: the mean over 100 random subsets of 1,000 images a side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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
from semsim_pipeline.metrics.blocks import cross_sum, inner_product_tiles, tile_rows, within_sum
from semsim_pipeline.metrics.kid import KernelTotal, cubic_kernel, keep_cross, keep_within, kid_null, working_rows
from semsim_pipeline.metrics.resampling import content_order, set_code
from semsim_pipeline.metrics.unit_pairs import UNKNOWN
from semsim_pipeline.records import MetricValue
from semsim_pipeline.seeding import generator

SUBSETS = 100
SUBSET_SIZE = 1000

Places = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetKid:
    """mean: of the subsets' KIDs. std: their standard deviation (ddof = 0, as printed): how far *one* subset of this
    size strays. Not a standard error: subsets share images, and more of them do not bring it down."""

    mean: float
    std: float


def subset_places(side: EmbeddedSet, stream: str, seed: int, subsets: int, size: int) -> Places:
    """Rows of each subset, intp [subsets, size], drawn without replacement by content and seed."""
    order = content_order(side)
    draws = [
        generator(seed, "kid subsets", set_code(side), stream, number).choice(len(side), size, replace=False)
        for number in range(subsets)
    ]
    return np.sort(order[np.array(draws)], axis=1)


def _marks(places: Places, rows: int) -> NDArray[np.bool_]:
    marks = np.zeros((rows, len(places)), bool)
    marks[places, np.arange(len(places))[:, None]] = True
    return marks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sides:
    """Rows [n, d] and [m, d] with the places of each subset in them, intp [C, s]. own: one set with itself, self-pairs
    left out; said, not found out, since both sides of a pair may hold the very same array."""

    left: Embeddings
    right: Embeddings
    at: Places
    across: Places
    own: bool

    def all_at_once(self, tile: int, whole: KernelTotal) -> Floats:
        """Σ k(xᵢ, yⱼ) over each subset's pairs, float64 [C]: every pair of rows once, two products a tile.

        whole: gets the sum over all rows, which `kid` is made of.
        """
        wl, wr = _marks(self.at, len(self.left)), _marks(self.across, len(self.right))
        total = np.zeros(len(self.at))
        kernel = cubic_kernel(self.left.shape[1])
        for i, j, products in inner_product_tiles(self.left, self.right, tile, upper=self.own):
            values = kernel(products)
            if self.own and i == j:
                np.fill_diagonal(values, 0)
            whole.add(i, j, values)
            rows = values @ wr[j : j + values.shape[1]].astype(values.dtype)
            rows *= wl[i : i + values.shape[0]]
            total += rows.sum(axis=0, dtype=np.float64) * (2 if self.own and i != j else 1)
        return total

    def one_by_one(self, tile: int) -> Floats:
        """The same numbers, subset by subset."""
        kernel = cubic_kernel(self.left.shape[1])
        if self.own:
            return np.array([within_sum(self.left[rows], kernel, tile=tile) for rows in self.at])
        pairs = zip(self.at, self.across, strict=True)
        return np.array([cross_sum(self.left[i], self.right[j], kernel, tile=tile) for i, j in pairs])

    def sums(self, tile: int) -> tuple[Floats, float | None]:
        """The same numbers by whichever way has fewer products, and the sum over all rows where that was found too.

        That sum is what `kid` asks for, nearly always beside the subsets: one by one, they leave that pass to come.
        """
        size = self.at.shape[1]
        if len(self.left) * len(self.right) / self.left.shape[1] > size * size:
            return self.one_by_one(tile), None
        whole = KernelTotal(own=self.own)
        return self.all_at_once(tile, whole), whole.total()


def _within(side: EmbeddedSet, places: Places, tile: int) -> Floats:
    """Sums within each subset, kept with the set: they serve all its pairs. Memory: 8 bytes a subset."""
    from hashlib import blake2b

    key = ("kid_subsets", "within", blake2b(places.tobytes(), digest_size=16).hexdigest())
    found = side.memo.get(key)
    if not isinstance(found, np.ndarray):
        rows = working_rows(side)
        found, whole = _Sides(left=rows, right=rows, at=places, across=places, own=True).sums(tile)
        if whole is not None:
            keep_within(side, whole)
        side.memo[key] = found
    return found


def subset_kids(
    reference: EmbeddedSet,
    candidate: EmbeddedSet,
    at: Places,
    across: Places,
    *,
    working_memory: int = DEFAULT_WORKING_MEMORY,
) -> Floats:
    """The unbiased KID of each pair of subsets, float64 [C], for given rows: intp [C, s] of each side.

    Raises UndefinedMetricError where cubes overflow float64. Cost and memory: see `kid_subsets`.
    """
    size, tile = at.shape[1], tile_rows(working_memory)
    with np.errstate(over="ignore", invalid="ignore"):
        left, right = working_rows(reference), working_rows(candidate)
        cross, whole = _Sides(left=left, right=right, at=at, across=across, own=False).sums(tile)
        if whole is not None:
            keep_cross(reference, candidate, whole)
        own = _within(reference, at, tile) + _within(candidate, across, tile)
        values = own / (size * (size - 1)) - 2 * cross / size**2
    if not math.isfinite(float(values.sum())):
        raise UndefinedMetricError("The cubes of the inner products overflow float64; scale the embeddings down.")
    return np.asarray(values, np.float64)


def kid_subsets(
    reference: EmbeddedSet,
    candidate: EmbeddedSet,
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
    working_memory: int = DEFAULT_WORKING_MEMORY,
) -> SubsetKid:
    """Mean and standard deviation of the unbiased KID over seeded subsets, drawn without replacement on each side.

    Returns: as `kid`, whose expectation it shares; noisier than `kid` on all rows, and printed for comparison with
    papers. A subset's size is never lowered: at 1,000 rows a side all subsets are the same and std is 0.
    Sides are drawn independently, also where both hold the same images (`kid` of a set with itself is expected then).
    Raises: TooFewSamplesError with fewer than `subset_size` images on a side, or a subset_size below 2;
    UndefinedMetricError where cubes overflow float64.
    Cost: the pairs of all rows, where `kid` looks first, up to subset_size·√d rows a side; of the subsets above.
    Memory: as `made_ahead` and a tile, (n + m)·subsets bytes.
    Source: Bińkowski 2018. Checked against: torch-fidelity on equal subsets
    (1e-6).
    """
    for word, side in (("reference", reference), ("candidate", candidate)):
        if len(side) < subset_size:
            raise TooFewSamplesError(
                f"needs at least {subset_size} images a side; {word} has {len(side)}. `kid` uses all rows and needs 2."
            )
    if subset_size < 2:
        raise TooFewSamplesError(f"a subset needs at least 2 images; found subset_size {subset_size}")
    # Streams differ only where the sides hold the same images, so that exchanging sides changes nothing.
    again = "again" if set_code(reference) == set_code(candidate) else ""
    at = subset_places(reference, "", seed, subsets, subset_size)
    across = subset_places(candidate, again, seed, subsets, subset_size)
    values = subset_kids(reference, candidate, at, across, working_memory=working_memory)
    return SubsetKid(mean=float(values.mean()), std=float(values.std()))


def subsets_of(pair: Pair) -> SubsetKid:
    """A pair's subsets, computed once; `kid` on all rows comes out of the same pass up to 1,000·√d rows a side."""
    key = ("kid_subsets",)
    found = pair.memo.get(key)
    if not isinstance(found, SubsetKid):
        found = kid_subsets(pair.reference, pair.candidate, seed=pair.seed, working_memory=pair.working_memory)
        pair.memo[key] = found
    return found


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """100 subsets of 1,000; detail: `subset_std`, which is not a standard error."""
    found = subsets_of(pair)
    detail = {"subset_std": found.std, "subsets": float(SUBSETS), "subset_size": float(SUBSET_SIZE)}
    null = kid_null(pair.reference, pair.candidate, working_memory=pair.working_memory)
    reason = UNKNOWN if null is None else None
    return {"kid_subsets_mean": MetricValue(value=found.mean, null=null, detail=detail, reason=reason)}


METRICS.add(
    "kid_subsets",
    MetricFamily(
        name="kid_subsets",
        facts=(
            MetricFacts(
                name="kid_subsets_mean",
                group="distribution",
                cost="subsample",
                symmetric=True,
                higher_is_closer=False,
                range=(-np.inf, np.inf),
                at_identity=None,
                # Subsets are drawn by content: a rotation makes other bits, and other subsets.
                rotation_invariant=False,
                min_samples=SUBSET_SIZE,
                meaning="KID as papers print it, the mean of 100 subsets of 1,000; `kid` on all rows is less noisy.",
                source="Bińkowski 2018",
            ),
        ),
        compute=compute,
    ),
)
