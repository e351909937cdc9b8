"""Can the sides be told apart without looking at a picture: by size, shape, file format, or how hard they are pressed?

An encoder sees a file after it was decoded and resized, and still notices whether it was a thumbnail or a bad JPEG.
Where one of these facts alone separates the sides, a low similarity may say so and nothing about what is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

LEAST_AUC = 0.75
"""From here on a fact is called a confound: it takes the right side for three of four pairs of images."""

LEAST_AUC_OF_BYTES = 0.95
"""Detail costs bytes, so content alone moves bytes per pixel: between honest classes of CIFAKE, all of one size and
pressed alike, up to 0.85 (REAL) and 0.92 (FAKE)."""

LEAST_SIGMAS = 4.0
FEATURES = ("width", "height", "aspect ratio", "bytes per pixel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confound:
    """One fact of the files that separates the sides.

    auc: chance in [0.5, 1] that it puts an image of each side into the right order; 1 separates them wholly.
    reference, candidate: what is typical of each side: a median, or its commonest format with its share.
    """

    feature: str
    auc: float
    reference: str
    candidate: str


def confounds(reference: pl.DataFrame, candidate: pl.DataFrame) -> tuple[Confound, ...]:
    """What separates the sides, the strongest first; empty where nothing does, or too few images could show it.

    Both: rows with `size` (bytes), `width`, `height` (pixels) and `format`, an image each. AUC by ranks (Mann and
    Whitney 1947), of the format by its best ordering; told only from 4 standard deviations of chance on.
    Memory: some 40 bytes an image.
    """
    found = [*_numbers(_facts(reference), _facts(candidate)), *_formats(reference["format"], candidate["format"])]
    return tuple(sorted(found, key=lambda each: -each.auc))


def _facts(rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    width, height, size = (pl.col(name).cast(pl.Float64) for name in ("width", "height", "size"))
    return rows.select(
        width, height, (width / height).alias("aspect ratio"), (size / (width * height)).alias("bytes per pixel")
    )


def _numbers(reference: pl.DataFrame, candidate: pl.DataFrame) -> Iterator[Confound]:
    for name in FEATURES:
        one, other = (side[name].drop_nulls().drop_nans() for side in (reference, candidate))
        if not len(one) or not len(other):
            continue
        auc = _auc(one, other)
        least = LEAST_AUC_OF_BYTES if name == "bytes per pixel" else LEAST_AUC
        if _beyond(auc, least, len(one), len(other)):
            yield Confound(feature=name, auc=auc, reference=_median(one), candidate=_median(other))


def _auc(one: pl.Series, other: pl.Series) -> float:
    """P(x < y) + P(x = y) / 2, or its complement where that is larger."""
    import polars as pl

    ranks = pl.concat([one, other]).rank("average")
    n, m = len(one), len(other)
    below = (float(ranks[:n].sum()) - n * (n + 1) / 2) / (n * m)
    return max(below, 1 - below)


def _formats(reference: pl.Series, candidate: pl.Series) -> Iterator[Confound]:
    one, other = (dict(side.drop_nulls().value_counts().iter_rows()) for side in (reference, candidate))
    n, m = sum(one.values()), sum(other.values())
    if not n or not m:
        return
    shares = [(one.get(name, 0) / n, other.get(name, 0) / m) for name in sorted(set(one) | set(other))]
    shares.sort(key=lambda pair: pair[1] / (pair[0] + pair[1]))  # from the reference's formats to the candidate's
    auc = seen = 0.0
    for p, q in shares:
        auc += q * (seen + p / 2)
        seen += p
    if _beyond(auc, LEAST_AUC, n, m):
        yield Confound(feature="format", auc=auc, reference=_commonest(one, n), candidate=_commonest(other, m))


def _beyond(auc: float, least: float, n: int, m: int) -> bool:
    return auc >= least and auc - 0.5 > LEAST_SIGMAS * math.sqrt((n + m + 1) / (12 * n * m))


def _median(values: pl.Series) -> str:
    return f"{float(values.median()):.4g}"  # type: ignore[arg-type]  # of numbers


def _commonest(counts: dict[str, int], n: int) -> str:
    name = max(sorted(counts), key=counts.__getitem__)
    return f"{name} {counts[name] / n:.0%}"
