"""A 95 % interval for an out-of-fold AUC: DeLong's variance, and what other training images would have changed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.metrics.base import Z_95

Floats = NDArray[np.float64]


def training_noise(rows: Floats, labels: NDArray[np.int64], weights: Floats) -> float:
    """How much of the folds' classifiers is noise of their training images: 0 none, 1 all of it.

    Two of five training sets share three quarters of their images, so classifiers made of noise alone agree (their
    scores, within each side) to 3/4, and ones made of signal alone to 1: the share is 4·(1 - agreement).
    rows [N, d]; labels: 0 and 1 [N]; weights: the classifiers' directions [folds, d].
    """
    scores = rows @ weights.T
    for label in (0, 1):
        scores[labels == label] -= scores[labels == label].mean(axis=0)
    spread = np.sqrt(np.einsum("ij,ij->j", scores, scores))
    if not (spread > 0).all():
        return 1.0
    scores /= spread
    folds = len(weights)
    agreement = (float(np.square(scores.sum(axis=1)).sum()) - folds) / (folds * (folds - 1))
    return min(1.0, max(0.0, 4 * (1 - agreement)))


def auc_interval(auc: float, variance: float, noise: float, sizes: tuple[int, int]) -> tuple[float, float]:
    """The interval, on the logit scale; within [0, 1], contains the AUC.

    variance: DeLong's, by unit, which takes the scores as given. sizes: independent images a side (copies and images of
    one group count once), at least two. Where there is nothing to learn, every pair of folds counts
    twice (each is the other's training set), so the true variance is twice that; where the classifier is all signal
    it is that. Between, √noise of it is added: found by simulation. Student's t of the smaller side's n - 1.
    Of an AUC of exactly 0 or 1 nothing is known but that number: Wilson's end at it.
    Scores that all tie (of a set and itself) have no spread, which is no certainty either: Mann & Whitney's variance
    for equal distributions stands in.
    Source: DeLong 1988; Mann & Whitney 1947; Bengio & Grandvalet 2004 on folds.
    Checked: `benchmarks/simulation_study.py`.
    """
    from scipy.stats import t

    small = min(sizes)
    if not 0 < auc < 1:
        end = small / (small + Z_95 * Z_95)
        return (end, 1.0) if auc >= 1 else (0.0, 1 - end)
    if variance <= 0:
        variance = (sum(sizes) + 1) / (12 * sizes[0] * sizes[1])
    centre = math.log(auc / (1 - auc))
    half = float(t.ppf(0.975, small - 1)) * math.sqrt(variance * (1 + math.sqrt(noise))) / (auc * (1 - auc))
    low, high = (1 / (1 + math.exp(-end)) if end > -700 else 0.0 for end in (centre - half, centre + half))
    return min(auc, low), max(auc, high)
