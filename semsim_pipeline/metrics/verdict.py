"""The headline in words: bands of u = (S - floor) / (1 - floor), and when no band may be named."""

from __future__ import annotations

import math
from dataclasses import dataclass

from semsim_pipeline.metrics.similarity import Similarity

BANDS: tuple[tuple[float, str], ...] = (
    (0.98, "indistinguishable"),
    (0.85, "very similar"),
    (0.5, "related"),
    (0.15, "different"),
    (-math.inf, "unrelated"),
)
"""Lower bounds of u, best first."""

INDISTINGUISHABLE, INDISTINGUISHABLE_WORD = BANDS[0]
CAP_WITHOUT_MIXING = 2
"""Index in BANDS of `related`: the best verdict where the sets do not mix among nearest neighbours."""

LEAST_HEADROOM = 0.25
LOW_FLOOR = 0.1
SEPARABLE_AUC = 0.9
LEAST_MIXING = 0.5
ALPHA = 0.05
MOST_IMAGES_NAMED = 10_000_000
"""A score on the very edge of a band asks for more images than there are; then no number is named."""


TOO_DIVERSE = "too diverse for one number"

DIFFERENT_YET_ALIKE = (
    "the sets do differ beyond chance, by little on this scale; a part of a few percent that one of them lacks is "
    "that little too: look at recall, coverage and the classes"
)
"""What stands beside *indistinguishable*, a claim about size, where the test finds a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """text: one of the bands, or why none can be named. reason: one sentence where text alone would puzzle.
    images_needed: a side, to resolve what this n cannot; None where more images would not help or are not needed."""

    text: str
    reason: str | None = None
    images_needed: int | None = None


def verdict_of(found: Similarity, *, mixing: tuple[float, float] | None, c2st_auc: float | None) -> Verdict:
    """The verdict of a headline.

    mixing: `knn_mixing` seen from the reference and from the candidate, None where it could not be computed.
    c2st_auc: out-of-fold AUC of a classifier that tells the sides apart, None likewise.
    """
    if found.status == "unreliable":
        return Verdict(text="unreliable", reason=found.reason)
    if found.floor is None:
        return uncalibrated_verdict(found.p_value)
    if 1 - found.floor < LEAST_HEADROOM:
        return Verdict(
            text=TOO_DIVERSE,
            reason=f"unrelated sets as diverse as these would already score {found.floor:.2f}",
        )
    if found.floor < LOW_FLOOR and c2st_auc is not None and c2st_auc > SEPARABLE_AUC:
        return Verdict(
            text="narrow domain: calibrate with a panel of it",
            reason="both sets are far narrower than the background panel, so small differences look large; "
            "`semsim encoders calibrate` measures a background of your own domain",
        )
    return _band(found, found.floor, mixing)


def band_of(u: float) -> int:
    """Index in BANDS of a value of u."""
    return next(index for index, (least, _) in enumerate(BANDS) if u >= least)


def uncalibrated_verdict(p_value: float, tests: int = 1) -> Verdict:
    """What a test alone allows to say. p_value: adjusted where it is one of several `tests`."""
    among = f", adjusted over {tests:,} tests" if tests > 1 else ""
    if p_value <= ALPHA:
        return Verdict(text="distinguishable", reason=f"p = {p_value:.3g}{among}; no background, so no floor or band")
    return Verdict(
        text="not distinguishable", reason=f"p = {p_value:.3g}{among} at this n; this is no proof of equality"
    )


def _band(found: Similarity, floor: float, mixing: tuple[float, float] | None) -> Verdict:
    u, low, high = ((s - floor) / (1 - floor) for s in (found.raw, *found.interval))
    best, worst = band_of(high), band_of(low)
    point = band_of(u)
    if worst - best >= 2:
        # It resolves once it covers two bands at most, so once the second nearest edge is out of reach; in the best
        # band, only once the interval lies within it.
        margin = sorted(abs(u - bound) for bound, _ in BANDS if math.isfinite(bound))[1] if point else _inside_best(u)
        reason = f"the interval reaches from {BANDS[worst][1]!r} to {BANDS[best][1]!r}"
        return _unresolved(
            reason, images_needed(found.units, u - low if point == 0 else max(u - low, high - u), margin)
        )
    capped = max(point, CAP_WITHOUT_MIXING) if mixing is not None and min(mixing) < LEAST_MIXING else point
    if capped != point:
        return Verdict(
            text=BANDS[capped][1],
            reason="the score is high, but the sets' nearest neighbours hardly mix: they stay apart at close range",
        )
    if point == 0 and low < INDISTINGUISHABLE:
        reason = (
            "at least very similar; to claim that they are indistinguishable the interval's lower end must "
            f"reach u = {INDISTINGUISHABLE}, it is {low:.3f}"
        )
        return _unresolved(reason, images_needed(found.units, u - low, _inside_best(u)))
    return Verdict(text=BANDS[point][1])


def _inside_best(u: float) -> float:
    """How far u, which exceeds 1 by noise only, lies within the best band."""
    return min(u, 1.0) - INDISTINGUISHABLE


def _unresolved(reason: str, needed: int | None) -> Verdict:
    if needed is None:
        reason += "; the score lies on the edge of a band, where no number of images settles it"
    return Verdict(text="unresolved at this n", reason=reason, images_needed=needed)


def images_needed(units: tuple[int, int], half_width: float, margin: float) -> int | None:
    """Independent images *a side* at which an interval is as narrow as the margin; two figures, rounded up.

    units: independent images of the reference and the candidate now. half_width: from the score to the interval's end
    that matters, on the scale of margin. The variance of a difference of two samples goes like 1/n + 1/m, so n and m
    count through their harmonic mean: with 100 against 10,000 images nearly all the noise is the hundred's. Near
    equality intervals shrink faster than 1/√n: the number is then an upper bound. None where the margin is zero or the
    answer beyond MOST_IMAGES_NAMED.

    >>> images_needed((100, 100), 0.02, 0.01), images_needed((100, 10_000), 0.02, 0.01)
    (400, 800)
    """
    if margin <= 0 or not math.isfinite(half_width):
        return None
    asked = 2 / (1 / units[0] + 1 / units[1]) * (half_width / margin) ** 2
    if asked > MOST_IMAGES_NAMED:
        return None
    needed = math.ceil(asked * (1 - 1e-9))  # not one more for a rounding error
    # Two figures say as much as this extrapolation knows.
    digits = max(0, len(str(needed)) - 2)
    return int(math.ceil(needed / 10**digits) * 10**digits)
