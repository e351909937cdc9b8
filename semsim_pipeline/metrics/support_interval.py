"""A 95 % interval for precision and recall at a pair's own sizes."""

from __future__ import annotations

import math

from semsim_pipeline.metrics.base import Z_95

CENTRES_NOISE = 0.6
"""How much of p(1 - p)/n the draw of the n ball centres adds to the variance: 0.3 to 0.7 in simulations (Gaussians in
3 to 32 dimensions, k = 5, equal and unlike sets, n : m from 1 : 5 to 5 : 1). The binomial alone covers 67 to 93 %; the
delete-one jackknife gives the balls two to three times their variance."""


def share_interval(share: float, points: int, centres: int) -> tuple[float, float]:
    """Wilson's interval for a share of `points` inside the balls of `centres`; within [0, 1], contains the share.

    points, centres: independent images (copies and groups count once). Of other samples of these sizes, not of
    infinitely many: precision and recall depend on n. Effective number of draws: 1/(1/points + 0.6/centres).
    Source: Wilson 1927; CENTRES_NOISE by simulation (`benchmarks/simulation_study.py`).

    >>> [round(end, 3) for end in share_interval(0.8, 100, 100)]
    [0.685, 0.88]
    """
    draws = 1 / (1 / points + CENTRES_NOISE / centres)
    z2 = Z_95 * Z_95
    centre = (share + z2 / (2 * draws)) / (1 + z2 / draws)
    half = Z_95 / (1 + z2 / draws) * math.sqrt(share * (1 - share) / draws + z2 / (4 * draws * draws))
    # Rounding alone could leave the share of 0 or 1 outside.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))
