"""Agreement of two encoders on one set of images, rows paired by image; never a comparison of two datasets.

Three questions: do they see the same overall geometry (linear CKA), do they give an image the same neighbours
(mutual k-NN), and, among shared neighbours, the same geometry (CKNNA)?
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import TILE_ROWS, Embeddings
from semsim_pipeline.errors import DimensionMismatchError, TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import DEFAULT_WORKING_MEMORY, EmbeddedSet

Index = NDArray[np.intp]
Floats = NDArray[np.float64]
DEFAULT_K = 10
FEWEST = 4
"""Images that the unbiased HSIC divides by one less than: n(n - 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two encoders agree on n images.

    linear_cka: unbiased, at most about 1; 0 expected where unrelated, so also below. mutual_knn: in [0, 1], the mean
    share of an image's k nearest that both encoders name; `mutual_knn_null` = k/(n - 1) is what chance gives.
    cknna: as linear_cka, on shared neighbours only; None where no two images are neighbours in both.
    repeated: images left out because both their rows occurred before (copies would be each other's neighbours).
    """

    images: int
    repeated: int
    k: int
    linear_cka: float
    mutual_knn: float
    mutual_knn_null: float
    cknna: float | None


def encoder_agreement(
    first: EmbeddedSet,
    second: EmbeddedSet,
    *,
    k: int = DEFAULT_K,
    working_memory: int = DEFAULT_WORKING_MEMORY,
) -> Agreement:
    """All three for one dataset under two encoders; row i of both sets is the same image, widths may differ.

    Images whose rows repeat under both encoders are counted once. CKA on the rows as given; neighbours and CKNNA by
    cosine, on unit rows, as their paper does.
    Raises: DimensionMismatchError where the sets are not of the same images; TooFewSamplesError below k + 2 distinct
    images; UndefinedMetricError where an encoder gives all images one row; InvalidEmbeddingsError on a zero row.
    Memory: the unit rows, `working_memory`, 24·k·n bytes. Source: Kornblith 2019; Song 2012; Huh 2024.
    """
    _require_paired(first, second)
    kept = _distinct(first, second)
    if len(kept) < max(k + 2, FEWEST):
        raise TooFewSamplesError(f"needs at least {max(k + 2, FEWEST)} distinct images; found {len(kept)}")
    rows = [side.rows if len(kept) == len(side) else side.rows[kept] for side in (first, second)]
    unit = [side.unit if len(kept) == len(side) else side.unit[kept] for side in (first, second)]
    near = [_nearest(each, k, working_memory) for each in unit]
    return Agreement(
        images=len(kept),
        repeated=len(first) - len(kept),
        k=k,
        linear_cka=linear_cka(rows[0], rows[1]),
        mutual_knn=float(_shared(near[0], near[1]).mean()),
        mutual_knn_null=k / (len(kept) - 1),
        cknna=_cknna(unit[0], unit[1], near[0], near[1]),
    )


def _require_paired(first: EmbeddedSet, second: EmbeddedSet) -> None:
    if len(first) != len(second):
        raise DimensionMismatchError(
            f"'{first.name}' holds {len(first)} images and '{second.name}' {len(second)}: agreement is of two encoders "
            "on the same images, row by row."
        )
    named = first.has_content and second.has_content
    if named and not np.array_equal(first.content_codes, second.content_codes):
        at = int(np.flatnonzero(first.content_codes != second.content_codes)[0])
        raise DimensionMismatchError(
            f"Row {at} of '{first.name}' and of '{second.name}' are different images; sort both by image."
        )


def _distinct(first: EmbeddedSet, second: EmbeddedSet) -> Index:
    """Places, ascending, of the first image of each pair of rows."""
    codes = np.column_stack([first.content_codes, second.content_codes])
    _, at = np.unique(codes, axis=0, return_index=True)
    return np.sort(at)


# ---- linear CKA


def linear_cka(first: Embeddings, second: Embeddings) -> float:
    """HSIC₁(K, L) / √(HSIC₁(K, K)·HSIC₁(L, L)) for K = XXᵀ, L = YYᵀ, HSIC₁ the unbiased estimate.

    Args: float32 or float64 [n, d] and [n, e], row i of both the same image, n >= 4. Unchanged by rotation, offset
    and overall scale of either. Computed in float64 from d × e cross products, never n × n.
    Returns: about 1 at most, expectation near 0 for unrelated rows, so often negative there: not clipped. The biased
    estimate, by contrast, tends to 1 for any rows where n < d.
    Raises: TooFewSamplesError; DimensionMismatchError; UndefinedMetricError where a side does not vary.
    Memory: (d + e)²·8 bytes and 32 bytes a row. Source: Kornblith 2019; Song 2012, equation 5.
    Checked against: a plain n × n loop (1e-9).
    """
    if len(first) != len(second):
        raise DimensionMismatchError(f"CKA needs the same images on both sides; found {len(first)} and {len(second)}.")
    if len(first) < FEWEST:
        raise TooFewSamplesError(f"needs at least {FEWEST} images; found {len(first)}")
    a, b = _Side.of(first), _Side.of(second)
    own_a, own_b = _hsic(a, a, _cross(a, a)), _hsic(b, b, _cross(b, b))
    if min(own_a, own_b) <= 1e-14:
        raise UndefinedMetricError(
            "undefined: under one encoder the images do not differ, or not above chance, so there is no geometry"
        )
    return _hsic(a, b, _cross(a, b)) / math.sqrt(own_a) / math.sqrt(own_b)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """Rows as given, the mean and scale that centre them (HSIC₁ does not change, its digits do), and per row:
    squares: ‖x‖². sums: Σ_{j≠i} x_i·x_j, both of the centred, scaled rows."""

    rows: Embeddings
    mean: Floats
    scale: float
    squares: Floats
    sums: Floats

    @classmethod
    def of(cls, rows: Embeddings) -> _Side:
        mean = rows.mean(axis=0, dtype=np.float64)
        largest = max(float(np.abs(rows[i : i + TILE_ROWS] - mean).max()) for i in range(0, len(rows), TILE_ROWS))
        bare = cls(rows=rows, mean=mean, scale=largest or 1.0, squares=np.empty(0), sums=np.empty(0))
        squares = np.concatenate([np.einsum("ij,ij->i", x, x) for x in bare.blocks()])
        total = sum((x.sum(axis=0) for x in bare.blocks()), np.zeros(rows.shape[1]))
        sums = np.concatenate([x @ total for x in bare.blocks()]) - squares
        # Rows of root mean square length 1, so that one threshold says what does not vary.
        root = math.sqrt(float(squares.mean())) or 1.0
        return cls(rows=rows, mean=mean, scale=bare.scale * root, squares=squares / root**2, sums=sums / root**2)

    def blocks(self) -> Iterator[Floats]:
        for start in range(0, len(self.rows), TILE_ROWS):
            yield (self.rows[start : start + TILE_ROWS] - self.mean) / self.scale


def _cross(a: _Side, b: _Side) -> float:
    """‖XᵀY‖² of the centred rows, the sum of all products K_ij·L_ij."""
    product = np.zeros((a.rows.shape[1], b.rows.shape[1]))
    for x, y in zip(a.blocks(), b.blocks(), strict=True):
        product += x.T @ y
    return float((product * product).sum())


def _hsic(a: _Side, b: _Side, cross: float) -> float:
    return _hsic_of_sums(
        len(a.rows),
        product=cross - float(a.squares @ b.squares),
        total=float(a.sums.sum()) * float(b.sums.sum()),
        chain=float(a.sums @ b.sums),
    )


def _hsic_of_sums(n: int, *, product: float, total: float, chain: float) -> float:
    """Song 2012, equation 5, from Σ K_ij L_ij, (Σ K_ij)(Σ L_ij) and Σ_i (Σ_j K_ij)(Σ_j L_ij), diagonals left out."""
    return (product + total / ((n - 1) * (n - 2)) - 2 * chain / (n - 2)) / (n * (n - 3))


# ---- neighbours


def _nearest(unit: Embeddings, k: int, working_memory: int) -> Index:
    """intp [n, k], sorted: each row's k nearest others by cosine. Equally near ones are taken as they come."""
    n = len(unit)
    out = np.empty((n, k), np.intp)
    step = max(1, min(TILE_ROWS, working_memory // (16 * n)))
    for start in range(0, n, step):
        products = unit[start : start + step] @ unit.T
        products[np.arange(len(products)), np.arange(start, start + len(products))] = -np.inf
        out[start : start + len(products)] = np.argpartition(products, n - k, axis=1)[:, n - k :]
    out.sort(axis=1)
    return out


def _shared(near_a: Index, near_b: Index) -> NDArray[np.bool_]:
    """bool [n, k]: which of the first's neighbours are the second's too."""
    n = len(near_a)
    offset = np.arange(n)[:, None] * n
    return np.isin(near_a + offset, near_b + offset)


def mutual_knn(
    first: Embeddings, second: Embeddings, *, k: int = DEFAULT_K, working_memory: int = DEFAULT_WORKING_MEMORY
) -> float:
    """Mean share of an image's k nearest others (by inner product: give unit rows for the cosine) that both encoders
    name; in [0, 1], k/(n - 1) expected by chance.

    Raises: TooFewSamplesError below k + 1 images; DimensionMismatchError. Memory: `working_memory`, 16·k·n bytes.
    Source: Huh 2024. Checked against: a plain loop (equal).
    """
    _require_neighbours(first, second, k)
    shared = _shared(_nearest(first, k, working_memory), _nearest(second, k, working_memory))
    return float(shared.mean())


def cknna(
    first: Embeddings, second: Embeddings, *, k: int = DEFAULT_K, working_memory: int = DEFAULT_WORKING_MEMORY
) -> float | None:
    """CKA on the pairs that are k-nearest neighbours under both encoders; unbiased, on unit rows; about 1 at most.

    A side against itself uses its own neighbours. None where the encoders share no neighbours at all.
    Raises: TooFewSamplesError below k + 1 or four images, ValueError at k < 2; UndefinedMetricError where a side's own
    value is not positive; DimensionMismatchError. Memory: `working_memory`, 24·k·n bytes.
    Source: Huh 2024 (their released code, without its 1e-6 in the denominator). Checked against: a plain loop (1e-9).
    """
    _require_neighbours(first, second, max(k, FEWEST - 1))
    if k < 2:
        raise ValueError(f"CKNNA needs k of at least 2; found {k}")
    near_a, near_b = _nearest(first, k, working_memory), _nearest(second, k, working_memory)
    return _cknna(first, second, near_a, near_b)


def _require_neighbours(first: Embeddings, second: Embeddings, k: int) -> None:
    if len(first) != len(second):
        raise DimensionMismatchError(f"Needs the same images on both sides; found {len(first)} and {len(second)}.")
    if len(first) < k + 1:
        raise TooFewSamplesError(f"needs at least {k + 1} images; found {len(first)}")


def _cknna(first: Embeddings, second: Embeddings, near_a: Index, near_b: Index) -> float | None:
    shared = _shared(near_a, near_b)
    if not shared.any():
        return None
    everywhere = np.ones_like(shared)
    own_a = _sparse_hsic(first, first, near_a, everywhere)
    own_b = _sparse_hsic(second, second, near_b, everywhere)
    if min(own_a, own_b) <= 0:
        raise UndefinedMetricError("undefined: under one encoder all neighbours are equally near; raise k")
    return _sparse_hsic(first, second, near_a, shared) / math.sqrt(own_a) / math.sqrt(own_b)


def _sparse_hsic(first: Embeddings, second: Embeddings, near: Index, chosen: NDArray[np.bool_]) -> float:
    """HSIC₁ of the two kernels with all but the chosen neighbours set to zero."""
    n = len(near)
    row, slot = np.nonzero(chosen)
    column = near[row, slot]
    from scipy.sparse import csr_array  # dear to import, and pages name results of this module

    a, b = (csr_array((_products(rows, row, column), (row, column)), shape=(n, n)) for rows in (first, second))
    return _hsic_of_sums(
        n,
        # The kernels are not symmetric once masked: the paper's trace pairs K_ij with L_ji, column sums with row sums.
        product=float(a.multiply(b.T).sum()),
        total=float(a.sum()) * float(b.sum()),
        chain=float(np.asarray(a.sum(axis=0)) @ np.asarray(b.sum(axis=1))),
    )


def _products(rows: Embeddings, left: Index, right: Index) -> Floats:
    out = np.empty(len(left))
    for start in range(0, len(left), TILE_ROWS):
        part = slice(start, start + TILE_ROWS)
        out[part] = np.einsum("ij,ij->i", rows[left[part]], rows[right[part]], dtype=np.float64)
    return out
