"""Classifier two-sample test: can a linear classifier tell the two sets apart on images that it has not seen?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import METRICS, NO_GROUP, EmbeddedSet, MetricFacts, MetricFamily, Pair
from semsim_pipeline.metrics.c2st_interval import auc_interval, training_noise
from semsim_pipeline.metrics.units import layout_of
from semsim_pipeline.records import MetricValue
from semsim_pipeline.seeding import generator

MOST_ROWS = 2000
FOLDS = 5
MAX_ITERATIONS = 2000
LARGEST_OFFSET = 20.0
"""Times the rows\' spread; an offset beyond it keeps the solver from the optimum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Separability:
    """auc: out-of-fold, in [0, 1]; interval: 95 %, DeLong's by unit with the noise of the training images; converged:
    did all five fits."""

    auc: float
    interval: tuple[float, float]
    rows_reference: int
    rows_candidate: int
    converged: bool


def _sample(side: EmbeddedSet, word: str, seed: int) -> NDArray[np.intp]:
    if len(side) <= MOST_ROWS:
        return np.arange(len(side))
    return np.sort(generator(seed, "c2st", word).choice(len(side), MOST_ROWS, replace=False))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Together:
    """What one fold must hold together, a code per row over both sides (an image alone has one of its own).

    grouped: some of it are groups, which may be large: folds are then dealt by size, not by count.
    """

    codes: NDArray[np.uint64]
    grouped: bool


def _together(sides: tuple[EmbeddedSet, EmbeddedSet], chosen: list[NDArray[np.intp]]) -> _Together | None:
    """Copies of one image, also across the sides; groups; what a chain of the two connects. None where there are
    neither."""
    content = np.concatenate([side.content_codes[rows] for side, rows in zip(sides, chosen, strict=True)])
    groups = _groups(sides, chosen)
    if len(np.unique(content)) == len(content):
        return None if groups is None else _Together(codes=groups, grouped=True)
    if groups is None:
        return _Together(codes=content, grouped=False)
    layout = layout_of(*sides)
    units = np.concatenate([layout.reference.unit[chosen[0]], layout.candidate.unit[chosen[1]]])
    return _Together(codes=units.astype(np.uint64), grouped=True)


def _groups(sides: tuple[EmbeddedSet, EmbeddedSet], chosen: list[NDArray[np.intp]]) -> NDArray[np.uint64] | None:
    """A group code per row over both sides (an ungrouped image is a group of its own); None without groups."""
    if all(side.group_codes is None for side in sides):
        return None
    codes = np.concatenate(
        [
            np.full(len(rows), NO_GROUP) if side.group_codes is None else side.group_codes[rows]
            for side, rows in zip(sides, chosen, strict=True)
        ]
    )
    _, places = np.unique(codes, return_inverse=True)
    loose = codes == NO_GROUP
    groups: NDArray[np.uint64] = places.astype(np.uint64)
    groups[loose] = np.arange(int(loose.sum()), dtype=np.uint64) + np.uint64(len(codes))
    return groups


def c2st(reference: EmbeddedSet, candidate: EmbeddedSet, *, seed: int = 0) -> Separability:
    """Out-of-fold AUC of a logistic classifier (C = 1, unscaled rows as given), candidate as the positive class.

    Rows that lie farther from the origin than 20 times their spread are centred first (see `_without_offset`).
    Five stratified shuffled folds (random_state 0), scores pooled over folds; folds keep the images of a group
    together, and copies of one image, also across the sides. Above 2,000 rows a side a sample is drawn, by `seed`.
    Never the training AUC. 0.5 expected where the classifier sees no difference, and where a set is compared with
    copies of itself.
    The interval is of other samples of these sizes (see `auc_interval`): DeLong's alone, which takes the scores as
    given, holds the truth in 78 to 90 % of samples. It counts units, not rows: copies and images of one group are one.
    Raises: TooFewSamplesError below five rows (or groups) a side; UndefinedMetricError where a fold has one side only.
    Memory: 4,000·d·8 bytes. Source: Lopez-Paz & Oquab 2017; interval: DeLong 1988, Obuchowski 1997.
    Checked against: scikit-learn's cross-validated AUC (1e-12).
    """
    sides = (reference, candidate)
    for word, side in zip(("reference", "candidate"), sides, strict=True):
        if len(side) < FOLDS:
            raise TooFewSamplesError(f"needs at least {FOLDS} images a side; {word} has {len(side)}")
    chosen = [_sample(side, word, seed) for side, word in zip(sides, ("reference", "candidate"), strict=True)]
    rows = np.concatenate([side.rows[at].astype(np.float64) for side, at in zip(sides, chosen, strict=True)])
    labels = np.repeat([0, 1], [len(at) for at in chosen])
    rows = _without_offset(rows)
    together = _together(sides, chosen)
    scores, weights, converged = _out_of_fold(rows, labels, together)
    units = None if together is None else (together.codes[labels == 0], together.codes[labels == 1])
    auc, variance = delong(scores[labels == 0], scores[labels == 1], units)
    noise = training_noise(rows, labels, weights)
    sizes = len(chosen[0]), len(chosen[1])
    independent = sizes if units is None else (len(np.unique(units[0])), len(np.unique(units[1])))
    return Separability(
        auc=auc,
        interval=auc_interval(auc, variance, noise, independent),
        rows_reference=sizes[0],
        rows_candidate=sizes[1],
        converged=converged,
    )


def _without_offset(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows; less their common mean where that is more than 20 times as long as they are spread.

    The intercept takes up any offset, so the best classifier is the same. The solver's first steps are not: from 100
    times the spread on it stopped, content, at an AUC of 0.48 where 0.80 was to be had.
    """
    mean = rows.mean(axis=0)
    centred = rows - mean
    spread = math.sqrt(float(np.einsum("ij,ij->", centred, centred)) / len(rows))
    return centred if float(np.linalg.norm(mean)) > LARGEST_OFFSET * spread else rows


def _folds(
    labels: NDArray[np.int64], together: _Together | None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(train, test) places of five stratified folds; with copies and no groups, each image is dealt once, as by
    its first copy, and the others follow it, so that the folds are those of a set without copies."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    plain = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    if together is None:
        yield from plain.split(labels, labels)
        return
    for word, label in (("reference", 0), ("candidate", 1)):
        found = len(np.unique(together.codes[labels == label]))
        if found < FOLDS:
            raise TooFewSamplesError(f"needs at least {FOLDS} independent images or groups a side; {word} has {found}")
    if together.grouped:
        yield from StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels, together.codes)
        return
    _, first, copy_of = np.unique(together.codes, return_index=True, return_inverse=True)
    dealt = np.sort(first)
    place = np.searchsorted(dealt, first)[copy_of]
    with warnings.catch_warnings():
        # Fewer candidate images without a copy in the reference than folds: they go where they fall.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(plain.split(dealt, labels[dealt]))
    for _, test in splits:
        inside = np.isin(place, test)
        yield np.flatnonzero(~inside), np.flatnonzero(inside)


def _out_of_fold(
    rows: NDArray[np.float64], labels: NDArray[np.int64], together: _Together | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """(out-of-fold scores [N], the classifiers' directions [folds, d], whether all fits converged)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scores = np.empty(len(rows))
    weights: list[NDArray[np.float64]] = []
    converged = True
    for train, test in _folds(labels, together):
        if len(np.unique(labels[train])) < 2 or len(test) == 0:
            raise UndefinedMetricError(
                "undefined: groups or copies leave a fold without images of one side; use finer groups"
            )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model = LogisticRegression(C=1.0, max_iter=MAX_ITERATIONS).fit(rows[train], labels[train])
        converged = converged and not any(issubclass(w.category, ConvergenceWarning) for w in caught)
        weights.append(np.asarray(model.coef_[0], np.float64))
        scores[test] = model.predict_proba(rows[test])[:, 1]
    return scores, np.array(weights), converged


Units = tuple[NDArray[np.generic], NDArray[np.generic]]
"""A code per negative and per positive: scores of one code, on either side, are not independent."""


def delong(
    negatives: NDArray[np.float64], positives: NDArray[np.float64], units: Units | None = None
) -> tuple[float, float]:
    """(AUC, its variance) from scores, ties counted half; both sides need two scores, of two units.

    units: scores of one unit are added up before they are squared, within a side; without, or where each score is a
    unit of its own, the variance is DeLong's, bit for bit.
    A unit on both sides counts as two where that is wider: scores of copies of one image rise and fall together, which
    steadies their AUC at 0.5, but says no more of the distributions. Where such units move the AUC the same way twice,
    that is added.
    Source: DeLong 1988 by mid-ranks, Sun & Xu 2014; units: Obuchowski 1997. Checked against: roc_auc_score (1e-12),
    plain double loops. Memory: a few vectors.
    """
    from scipy.stats import rankdata

    n, m = len(negatives), len(positives)
    together = rankdata(np.concatenate([negatives, positives]))
    # Share of negatives below each positive, and of positives above each negative.
    below = (together[n:] - rankdata(positives)) / n
    above = 1 - (together[:n] - rankdata(negatives)) / m
    auc = float(below.mean())
    found, unit = np.unique(np.arange(n + m) if units is None else np.concatenate(units), return_inverse=True)
    if len(found) == n + m:
        return auc, float(below.var(ddof=1) / m + above.var(ddof=1) / n)
    parts = unit.reshape(-1)[:n], unit.reshape(-1)[n:]
    effects = [
        np.bincount(part, weights=(shares - shares.mean()) / len(shares), minlength=len(found))
        for part, shares in zip(parts, (above, below), strict=True)
    ]
    counts = [len(np.unique(part)) for part in parts]
    variance = sum(float(effect @ effect) * count / (count - 1) for effect, count in zip(effects, counts, strict=True))
    return auc, variance + 2 * max(0.0, float(effects[0] @ effects[1]))


def compute(pair: Pair) -> Mapping[str, MetricValue]:
    """AUC, and 2(1 - AUC) clipped to [0, 1]; detail says how many rows were used and whether the fits converged."""
    found = c2st(pair.reference, pair.candidate, seed=pair.seed)
    detail = {
        "rows_reference": float(found.rows_reference),
        "rows_candidate": float(found.rows_candidate),
        "converged": float(found.converged),
    }
    low, high = (min(1.0, max(0.0, 2 * (1 - auc))) for auc in reversed(found.interval))
    return {
        "c2st_auc": MetricValue(value=found.auc, interval=found.interval, null=0.5, detail=detail),
        "c2st_similarity": MetricValue(
            value=min(1.0, max(0.0, 2 * (1 - found.auc))), interval=(low, high), null=1.0, detail=detail
        ),
    }


def _facts(name: str, meaning: str, *, higher_is_closer: bool) -> MetricFacts:
    return MetricFacts(
        name=name,
        group="separability",
        cost="subsample",
        # Exchanged sides are dealt into other folds: the value moves within its noise.
        symmetric=False,
        higher_is_closer=higher_is_closer,
        range=(0.0, 1.0),
        at_identity=None,
        rotation_invariant=True,
        min_samples=FOLDS,
        meaning=meaning,
        source="Lopez-Paz & Oquab 2017; DeLong 1988, Obuchowski 1997 (interval)",
    )


METRICS.add(
    "c2st",
    MetricFamily(
        name="c2st",
        facts=(
            _facts(
                "c2st_auc",
                "How well a linear classifier tells the sets apart: 0.5 not at all, 1 always.",
                higher_is_closer=False,
            ),
            _facts(
                "c2st_similarity",
                "The same turned round: 1 where a linear classifier cannot tell the sets apart, 0 where it always can.",
                higher_is_closer=True,
            ),
        ),
        compute=compute,
    ),
)
