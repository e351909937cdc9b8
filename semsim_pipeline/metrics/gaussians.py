"""Gaussians fitted to rows, in the form that is exact for them, and the Fréchet distance between two of them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.arrays import row_blocks
from semsim_pipeline.errors import TooFewSamplesError, UndefinedMetricError
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.moments import Moments, moments_of

Floats = NDArray[np.float64]

GRAM_ERROR = 1e-9
"""What rounding may cost a trace of roots, as a share of it, where it is taken from eigenvalues of M Mᵀ (three times
cheaper than M's singular values, but the root of a small eigenvalue has lost digits). Of a bound that adds all errors
with one sign; below 1e-13 was seen under it."""

EIGENVALUE_ROUNDING = 12 * float(np.finfo(np.float64).eps)
"""Error of an eigenvalue of M Mᵀ as a share of the largest one: the most seen for d = 64 and 512, flat to steep
spectra."""

LARGEST_TRACE = 1e150
NEGATIVE_TOLERANCE = 1e-9
"""Share of the total variance below zero that rounding explains; anything lower is an error, not a zero."""

MEMO = ("gaussians",)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gaussian:
    """n >= 2 rows seen, their mean float64 [d], and their covariance S (ddof = 1) as one of two.

    root: F [n - 1, d] with FᵀF = S, where n < d: keeps the rank exactly. full: S itself, [d, d], else.
    Memory: min(n, d)·d·8 bytes, twice that once `factor` was asked for.
    """

    n: int
    mean: Floats
    root: Floats | None = None
    full: Floats | None = None

    @classmethod
    def from_moments(cls, moments: Moments) -> Gaussian:
        """The covariance form. Raises TooFewSamplesError below two rows."""
        return cls(n=moments.n, mean=moments.mean, full=moments.covariance())

    @classmethod
    def from_rows(cls, rows: NDArray[np.generic]) -> Gaussian:
        """The form of centred rows, scaled by 1/√(n-1). Raises TooFewSamplesError below two rows. Memory: n·d·8 bytes.

        n centred rows have rank n - 1 at most: a reflection that turns (1, …, 1) into the first axis leaves the first
        row empty, and what it makes of the others is `root`. Without it every trace of roots would meet a zero.
        """
        if len(rows) < 2:
            raise TooFewSamplesError(f"A covariance needs at least 2 images; found {len(rows)}.")
        root = rows.astype(np.float64)
        mean = root.mean(axis=0)
        root -= mean
        # What rounding left of the mean, taken back: matters at offsets above 1e8.
        rest = root.mean(axis=0)
        root -= rest
        n = len(root)
        root /= math.sqrt(n - 1)
        root[1:] -= root[0] / (1 + math.sqrt(n))
        return cls(n=n, mean=mean + rest, root=root[1:])

    @property
    def d(self) -> int:
        """Width of the rows."""
        return len(self.mean)

    @property
    def nbytes(self) -> int:
        """Bytes of S or its root."""
        return sum(array.nbytes for array in (self.root, self.full) if array is not None)

    @cached_property
    def trace(self) -> float:
        """tr S, the total variance."""
        with np.errstate(over="ignore"):
            if self.root is not None:
                return float(np.einsum("ij,ij->", self.root, self.root))
            return float(np.trace(np.asarray(self.full)))

    @cached_property
    def factor(self) -> Floats:
        """F [r, d] with FᵀF = S and r <= min(n, d): from centred rows, or a Cholesky factor with diagonal pivoting.

        The factor ends where what is left of S is rounding (d·eps of its largest variance), so r is S's rank; a plain
        Cholesky factorisation fails there, and eigenvectors cost ten times as much.
        """
        return self.root if self.root is not None else _pivoted_cholesky(np.asarray(self.full))

    @cached_property
    def spectrum(self) -> Floats:
        """S's eigenvalues, >= 0, ascending; min(n, d) of them."""
        matrix = self.full if self.root is None else self.root @ self.root.T
        return np.asarray(np.maximum(np.linalg.eigvalsh(np.asarray(matrix)), 0.0), np.float64)

    @cached_property
    def effective_rank(self) -> float:
        """exp of the entropy of S's eigenvalue shares, in [1, min(n - 1, d)]: how many directions share the variance.

        Raises UndefinedMetricError where all rows are equal. Source: Roy & Vetterli 2007.
        """
        if self.trace <= 0 or not math.isfinite(self.trace):
            raise UndefinedMetricError("undefined: a side has no variance, or more than float64 holds")
        shares = self.spectrum / self.spectrum.sum()
        shares = shares[shares > 0]
        return math.exp(-float(shares @ np.log(shares)))


def _pivoted_cholesky(matrix: Floats) -> Floats:
    """F [r, d] with FᵀF = a symmetric positive semidefinite matrix [d, d] of rank r. Source: Higham 2002, 10.3."""
    from scipy.linalg.lapack import dpstrf

    # The transpose of a symmetric matrix is itself, and laid out as LAPACK wants it.
    lower, order, rank, _ = dpstrf(matrix.T, lower=1)
    factor = np.zeros((rank, len(matrix)))
    factor[:, order - 1] = np.tril(lower)[:, :rank].T
    return factor


def gaussian_of(side: EmbeddedSet) -> Gaussian:
    """A set's mean and covariance, computed once per set. Memory: see `Gaussian`, kept with the set.

    Raises TooFewSamplesError below two rows.
    """
    found = side.memo.get(MEMO)
    if not isinstance(found, Gaussian):
        found = Gaussian.from_rows(side.rows) if len(side) < side.dim else Gaussian.from_moments(moments_of(side))
        side.memo[MEMO] = found
    return found


def gaussian_where(*parts: tuple[EmbeddedSet, NDArray[np.bool_]]) -> Gaussian:
    """Mean and covariance of the marked rows of one or more sets together (a random half, a permuted side).

    Raises TooFewSamplesError below two rows. Memory: d²·8 bytes and one block, or n·d·8 where n < d.
    """
    if sum(int(chosen.sum()) for _, chosen in parts) < parts[0][0].dim:
        return Gaussian.from_rows(np.concatenate([side.rows[chosen] for side, chosen in parts]))
    return Gaussian.from_moments(functools.reduce(Moments.merge, (moments_where(*part) for part in parts)))


def moments_where(side: EmbeddedSet, chosen: NDArray[np.bool_]) -> Moments:
    """Moments of a set's marked rows. Memory: one block of rows, and d²·8 bytes."""
    total = Moments.empty(side.dim)
    for start, block in row_blocks(side.rows):
        total = total.merge(Moments.from_chunk(block[chosen[start : start + len(block)]]))
    return total


def trace_root(left: Gaussian, right: Gaussian) -> float:
    """tr √(S₁S₂) = sum of the singular values of F₁F₂ᵀ, for covariances S = FᵀF (ddof = 1); >= 0, never complex.

    From the eigenvalues of M Mᵀ, M = F₁F₂ᵀ, where all of them are large enough that their roots keep their digits
    (1e-9 of the trace, by a bound); otherwise M's singular values themselves, exact for rank-deficient
    covariances (n < d), where `sqrtm` of the product returns NaN, complex numbers, or 1e-6 of noise.
    Raises: UndefinedMetricError where float64 overflows. Memory: 4·d²·8 bytes, or (n + m)·d·8 + n·m·8 where n < d.
    Source: Olkin & Pukelsheim 1982; Bhatia, Jain & Lim 2019. Checked against: scipy sqrtm (1e-9), mpmath 40 digits.
    """
    total = left.trace * (left.n - 1) + right.trace * (right.n - 1)
    if not math.isfinite(total) or total > LARGEST_TRACE:
        raise UndefinedMetricError("The rows' variance is outside what float64 can square; scale the embeddings down.")
    if min(len(left.factor), len(right.factor)) == 0:
        return 0.0
    small, large = sorted([left.factor, right.factor], key=len)
    product = small @ large.T
    values = np.linalg.eigvalsh(product @ product.T)
    if _gram_error(values) <= GRAM_ERROR:
        return float(np.sqrt(values).sum())
    return float(np.linalg.svd(product, compute_uv=False).sum())


def _gram_error(values: Floats) -> float:
    """How far rounding of eigenvalues (ascending) may move the sum of their roots, as a share; inf where unknown."""
    if values[0] <= EIGENVALUE_ROUNDING * values[-1]:
        return math.inf
    roots = np.sqrt(values)
    return float(EIGENVALUE_ROUNDING * values[-1] / 2 * (1 / roots).sum() / roots.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class FrechetParts:
    """mean_term = ‖μ₁-μ₂‖²; covariance_term = tr S₁ + tr S₂ - 2·tr √(S₁S₂); both >= 0, squared units of the rows."""

    mean_term: float
    covariance_term: float
    trace_reference: float
    trace_candidate: float
    trace_root: float

    @property
    def total(self) -> float:
        """The Fréchet distance (squared 2-Wasserstein distance of the Gaussians)."""
        return self.mean_term + self.covariance_term

    @property
    def overlap(self) -> float:
        """tr √(S₁S₂) / √(tr S₁ · tr S₂), in [0, 1]: the covariances' fidelity; 1 where they are proportional.

        Raises UndefinedMetricError where a side has no variance.
        """
        if min(self.trace_reference, self.trace_candidate) <= 0:
            raise UndefinedMetricError("undefined: all images of a side are equal, so it has no spread to compare")
        # Two roots, not the root of a product, which may underflow; rounding alone can pass 1.
        return min(1.0, self.trace_root / math.sqrt(self.trace_reference) / math.sqrt(self.trace_candidate))


def parts_between(reference: Gaussian, candidate: Gaussian) -> FrechetParts:
    """Both parts of the Fréchet distance of two fitted Gaussians.

    Raises: UndefinedMetricError on overflow. A covariance term below zero by rounding (1e-9 of the total variance) is
    returned as 0; further below, UndefinedMetricError: it cannot be. Memory: see `trace_root`.
    """
    root = trace_root(reference, candidate)
    gap = reference.mean - candidate.mean
    total = reference.trace + candidate.trace
    covariance_term = total - 2 * root
    if covariance_term < -NEGATIVE_TOLERANCE * total:
        raise UndefinedMetricError(
            f"The covariance term came out at {covariance_term:.3g} of a total variance {total:.3g}; it "
            "cannot be negative, so these covariances are beyond float64: scale the embeddings."
        )
    return FrechetParts(
        mean_term=float(gap @ gap),
        covariance_term=max(0.0, covariance_term),
        trace_reference=reference.trace,
        trace_candidate=candidate.trace,
        trace_root=root,
    )
