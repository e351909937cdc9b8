"""The headline: S = 2·E k(a, b) / (E k(a, a') + E k(b, b')), 1 where the two sets have the same distribution.

S = 1 - MMD² / (E k(a, a') + E k(b, b')) for the Gaussian kernel on unit rows (Gretton et al. 2012); its
Cauchy–Schwarz form E k(a, b) / √(E k(a, a')·E k(b, b')) stands beside it as `similarity_cs`, which is blind to
spread. Pairs of equal content or equal group count in none of the three means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError
from semsim_pipeline.metrics.base import METRICS, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.gap_interval import similarity_interval
from semsim_pipeline.metrics.kernel_passes import CosineWatch, PairSums, Wanted, pair_sums, sums_within
from semsim_pipeline.metrics.kernel_sums import (
    ROUNDING,
    WeightedRows,
    kernel_dtype,
    kernel_sums,
    median_squared_distance,
)
from semsim_pipeline.metrics.large_sets import for_pairs
from semsim_pipeline.metrics.resampling import (
    PairWeights,
    permutation_swaps,
    set_code,
    split_halves,
)
from semsim_pipeline.metrics.similarity_spread import (
    Means,
    ceiling_of_splits,
    jackknife,
    permutation_p_value,
)
from semsim_pipeline.metrics.units import Layout, excluded_weight, layout_of, own_units
from semsim_pipeline.records import Background, MetricValue
from semsim_pipeline.seeding import generator

MIN_UNITS = 20
MAX_DENOMINATOR_ERROR = 0.1
BATCHES = (99, 999, 2499, 4999, 9999, 14_999, 19_999)
"""Where permutations pause to see whether enough of them were as extreme; the answer does not depend on the pauses."""

SimilarityStatus = Literal["ok", "uncalibrated", "unreliable", "not_computed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What S shows between random halves of one set: the best that any candidate could score at this n.

    None where a half would have fewer than 10 independent images.
    """

    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """The headline with everything that makes it readable, before its verdict in words.

    raw: S, may exceed 1 by noise. value: min(1, max(0, raw)), None where `status` is `unreliable`. interval: 95 %, raw
    scale, contains raw. floor: what unrelated sets of this diversity score, None without a calibrated background.
    p_value: of the hypothesis that both sets are samples of one distribution; never 0. overlap: shared contents.
    sampled: images of each side that all but `overlap` is computed from, None where all were; see `large_sets`.
    k_ab, k_aa, k_bb: the three kernel means. units: independent images (or groups) of the reference and candidate.
    """

    value: float | None
    raw: float
    interval: tuple[float, float]
    cauchy_schwarz: float
    cauchy_schwarz_interval: tuple[float, float]
    floor: float | None
    ceiling_reference: Ceiling
    ceiling_candidate: Ceiling
    p_value: float
    permutations: int
    status: SimilarityStatus
    reason: str | None
    overlap: int
    units: tuple[int, int]
    k_ab: float
    k_aa: float
    k_bb: float
    background: Background
    sampled: tuple[int, int] | None = None


def similarity_of(pair: Pair, *, watch: CosineWatch | None = None) -> Similarity:
    """The headline of a pair, computed once and kept in the pair's memo. watch: sees the tiles of cosines meanwhile.

    Raises: TooFewSamplesError where a side has no two independent images; InvalidEmbeddingsError on zero rows.
    Cost: two passes of tiles, (n² + m²)/2 + n·m kernel values, against some hundred columns of resampling weights;
    one pass where the first permutations decide.
    Memory: beside the unit rows, one byte per row and column: about 1,300·(n + m) bytes.
    Checked against: the closed form on stored kernel means (1e-9), a plain-loop oracle, simulated coverage.
    """
    thin = for_pairs(pair)
    if thin is not pair:
        found = similarity_of(thin, watch=watch)
        overlap = layout_of(pair.reference, pair.candidate).overlap
        return replace(found, overlap=overlap, sampled=(len(thin.reference), len(thin.candidate)))
    kept = pair.memo.get(("similarity",))
    if isinstance(kept, Similarity):
        return kept
    computed = _similarity(pair, watch)
    pair.memo["similarity",] = computed
    return computed


def background_of(pair: Pair) -> Background:
    """The pair's background; without one, the uncalibrated s² = ¼ · median squared distance within the reference.

    Raises TooFewSamplesError where the reference has no two different rows.
    """
    if pair.background is not None:
        return pair.background
    rng = generator(pair.seed, "bandwidth", set_code(pair.reference))
    s2 = median_squared_distance(pair.reference.unit, rng) / 4
    if s2 <= 0:
        raise TooFewSamplesError(
            "no background was given and the reference's own median distance is zero, so the kernel has no scale; "
            "give --background or --bandwidth"
        )
    return Background(
        id=f"uncalibrated-s2={s2:.6g}", bandwidth=s2, source="median distance within the reference", calibrated=False
    )


def _similarity(pair: Pair, watch: CosineWatch | None) -> Similarity:
    a, b = pair.reference, pair.candidate
    background = background_of(pair)
    layout = layout_of(a, b)
    units = (layout.reference.units, layout.candidate.units)
    half = min(own_units(a).units, own_units(b).units) // 2
    columns = [_swaps(pair, layout, next(batches(pair.permutations)))]
    halves = (_halves(a, half, pair.seed), _halves(b, half, pair.seed))
    [swapped] = pair_sums(pair, background, layout, columns, halves=halves, watch=watch)
    means = swapped.point_means(layout)
    means.require_pairs(a.name, b.name)
    errors = jackknife(layout, swapped.aa, swapped.ab, swapped.bb, means, _inner_sums(pair, background, layout))
    permuted = Means.of_swaps(layout, swapped.weights, swapped.aa, swapped.ab, swapped.bb)
    raw, cauchy_schwarz = means.similarity, means.cauchy_schwarz
    p_value, used = _p_value(pair, background, layout, means, swapped)
    status, reason = _status(background, errors.relative_denominator, units)
    floor = None if background.kappa is None else 2 * background.kappa / (means.k_aa + means.k_bb)
    return Similarity(
        value=None if status == "unreliable" else min(1.0, max(0.0, raw)),
        raw=raw,
        interval=similarity_interval(raw, errors.similarity, permuted.similarities()),
        cauchy_schwarz=cauchy_schwarz,
        cauchy_schwarz_interval=similarity_interval(cauchy_schwarz, errors.cauchy_schwarz, permuted.cauchy_schwarzes()),
        floor=floor,
        ceiling_reference=_ceiling(a, background, half, pair.seed),
        ceiling_candidate=_ceiling(b, background, half, pair.seed),
        p_value=p_value,
        permutations=used,
        status=status,
        reason=reason,
        overlap=layout.overlap,
        units=units,
        k_ab=means.k_ab,
        k_aa=means.k_aa,
        k_bb=means.k_bb,
        background=background,
    )


def _status(
    background: Background, relative_error: float, units: tuple[int, int]
) -> tuple[SimilarityStatus, str | None]:
    if min(units) < MIN_UNITS:
        side = "reference" if units[0] <= units[1] else "candidate"
        return "unreliable", f"needs at least {MIN_UNITS} independent images a side; {side} has {min(units)}"
    if relative_error > MAX_DENOMINATOR_ERROR:
        return "unreliable", (
            f"the sets' own kernel means are only known to {relative_error:.0%} (at most {MAX_DENOMINATOR_ERROR:.0%} "
            "is allowed): add images"
        )
    if not background.calibrated:
        return "uncalibrated", (
            f"no background of the encoder was given (s² from {background.source}), so the score has no floor"
        )
    return "ok", None


def _inner_sums(pair: Pair, background: Background, layout: Layout) -> dict[int, tuple[float, float, float]]:
    """Kernel sums inside units that hold counted pairs: images connected only through a third (rare)."""
    out: dict[int, tuple[float, float, float]] = {}
    for unit in layout.chained_units():
        picked = []
        for side, twins in ((pair.reference, layout.reference), (pair.candidate, layout.candidate)):
            rows = np.flatnonzero(twins.unit == unit)
            picked.append(
                WeightedRows(unit=side.unit[rows], twins=twins.take(rows), weights=np.zeros((len(rows), 0), np.uint8))
            )
        left, right = picked
        out[unit] = (
            kernel_sums(left, left, background.bandwidth).total,
            kernel_sums(left, right, background.bandwidth).total,
            kernel_sums(right, right, background.bandwidth).total,
        )
    return out


def _p_value(pair: Pair, background: Background, layout: Layout, means: Means, first: PairSums) -> tuple[float, int]:
    """Permutations batch by batch, so that equal sets stop after the first; (p, permutations used).

    first: the sums of the first batch.
    """
    statistics: list[NDArray[np.float64]] = []
    tie = ROUNDING[kernel_dtype(pair.reference.unit, pair.candidate.unit, background.bandwidth)]
    for columns in batches(pair.permutations):
        sums = first if columns.start == 0 else _batch(pair, background, layout, columns)
        statistics.append(Means.of_swaps(layout, sums.weights, sums.aa, sums.ab, sums.bb).similarities())
        p_value, used, decided = permutation_p_value(means.similarity, np.concatenate(statistics), tie)
        if decided:
            break
    return p_value, used


def batches(permutations: int) -> Iterator[range]:
    """The numbers 0 … permutations - 1 in runs that end at BATCHES; beyond the last, runs as long as the last one.

    >>> list(batches(1200))
    [range(0, 99), range(99, 999), range(999, 1200)]
    """
    start = 0
    while start < permutations:
        step = BATCHES[-1] - BATCHES[-2]
        stop = min(permutations, next((end for end in BATCHES if end > start), start + step))
        yield range(start, stop)
        start = stop


def _swaps(pair: Pair, layout: Layout, columns: range) -> tuple[str, PairWeights]:
    """Permutations with the name that their sums are kept under."""
    sizes = sorted([len(layout.only_reference), len(layout.only_candidate)])
    swaps = permutation_swaps(pair.reference, pair.candidate, layout, pair.seed, columns)
    return f"swaps {sizes} {columns.start} {columns.stop}", swaps


def _batch(pair: Pair, background: Background, layout: Layout, columns: range) -> PairSums:
    return pair_sums(pair, background, layout, [_swaps(pair, layout, columns)])[0]


def _halves(side: EmbeddedSet, half: int, seed: int) -> list[Wanted]:
    """The weights of a side's ceiling: random halves of `half` units each; none where those would be too small."""
    if 2 * half < MIN_UNITS:
        return []
    twins = own_units(side)
    return [Wanted(key=("halves", str(half), str(seed)), weights=lambda: split_halves(side, twins.unit, half, seed))]


def _ceiling(side: EmbeddedSet, background: Background, half: int, seed: int) -> Ceiling:
    """S between random halves of `half` units each, kept with the side."""
    wanted = _halves(side, half, seed)
    if not wanted:
        return Ceiling(value=None, interval=None)
    key = ("ceiling", repr(background.bandwidth), str(half), str(seed))
    found = side.memo.get(key)
    if not isinstance(found, Ceiling):
        twins, weights = own_units(side), wanted[0].weights()
        forms = sums_within(side, twins, background, wanted)[0].forms
        sizes = weights.sum(axis=0, dtype=np.float64)
        counted = sizes * sizes - excluded_weight(twins, twins, weights, weights, same=True)
        value, interval = ceiling_of_splits(forms, counted)
        found = Ceiling(value=value, interval=interval)
        side.memo[key] = found
    return found


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """The score-card rows `similarity` (raw scale) and `similarity_cs`."""
    found = similarity_of(pair)
    if found.value is None:
        row = MetricValue(value=None, status="not_computed", reason=found.reason)
    else:
        row = MetricValue(value=found.raw, interval=found.interval, null=1.0)
    cs = MetricValue(value=found.cauchy_schwarz, interval=found.cauchy_schwarz_interval, null=1.0)
    return {"similarity": row, "similarity_cs": cs}


METRICS.add(
    "similarity",
    MetricFamily(
        name="similarity",
        facts=(
            MetricFacts(
                name="similarity",
                group="headline",
                cost="blocks",
                symmetric=True,
                higher_is_closer=True,
                range=(0.0, float("inf")),
                at_identity=1.0,
                rotation_invariant=True,
                min_samples=2,
                needs=("background",),
                meaning="1 = samples of one distribution; the floor = unrelated sets. The headline.",
                source="1 - MMD²/(E k(a,a') + E k(b,b')), Gaussian kernel; Gretton et al. 2012, JMLR 13",
            ),
            MetricFacts(
                name="similarity_cs",
                group="distribution",
                cost="blocks",
                symmetric=True,
                higher_is_closer=True,
                range=(0.0, float("inf")),
                at_identity=1.0,
                rotation_invariant=True,
                min_samples=2,
                needs=("background",),
                meaning="The headline's Cauchy–Schwarz form: compares shape and place but is blind to spread.",
                source="Cauchy–Schwarz divergence; Jenssen et al. 2006",
            ),
        ),
        compute=compute,
    ),
)
