"""Slow plain loops, written from the papers' definitions and not from our code."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np


def square(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of squared differences in float64."""
    return float(sum((float(p) - float(q)) ** 2 for p, q in zip(x, y, strict=True)))


def kth_square(rows: np.ndarray, i: int, k: int) -> float:
    """Squared distance from row i to its k-th nearest other row, itself left out by index."""
    return sorted(square(rows[i], rows[j]) for j in range(len(rows)) if j != i)[k - 1]


def prdc(reference: np.ndarray, candidate: np.ndarray, k: int, *, inclusive: bool = False) -> dict[str, float]:
    """Naeem 2020, equations 3 to 6; strict unless `inclusive` (Kynkäänniemi 2019)."""

    def inside(distance: float, radius: float) -> bool:
        return distance <= radius if inclusive else distance < radius

    ra = [kth_square(reference, i, k) for i in range(len(reference))]
    rb = [kth_square(candidate, j, k) for j in range(len(candidate))]
    cross = [[square(a, b) for b in candidate] for a in reference]
    n, m = len(reference), len(candidate)
    return {
        "precision": sum(any(inside(cross[i][j], ra[i]) for i in range(n)) for j in range(m)) / m,
        "recall": sum(any(inside(cross[i][j], rb[j]) for j in range(m)) for i in range(n)) / n,
        "density": sum(inside(cross[i][j], ra[i]) for i in range(n) for j in range(m)) / (k * m),
        "coverage": sum(any(inside(cross[i][j], ra[i]) for j in range(m)) for i in range(n)) / n,
    }


def mixing_shares(reference: np.ndarray, candidate: np.ndarray, k: int) -> tuple[float, float]:
    """Share of other-side rows among the k nearest, for each side; ties at the k-th place share what is left."""
    rows = [*reference, *candidate]
    side = [0] * len(reference) + [1] * len(candidate)
    shares: list[list[float]] = [[], []]
    for i, row in enumerate(rows):
        near = sorted((square(row, rows[j]), side[j] != side[i]) for j in range(len(rows)) if j != i)
        limit = near[k - 1][0]
        nearer = [other for d, other in near if d < limit]
        tied = [other for d, other in near if d == limit]
        shares[side[i]].append((sum(nearer) + (k - len(nearer)) * sum(tied) / len(tied)) / k)
    return sum(shares[0]) / len(shares[0]), sum(shares[1]) / len(shares[1])


def kid(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Gretton 2012, Lemma 6, under ((x·y)/d + 1)³."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(np.dot(x, y)) / len(x) + 1) ** 3

    def within(rows: np.ndarray) -> float:
        pairs = [kernel(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return math.fsum(pairs) / len(pairs)

    cross = [kernel(a, b) for a in reference for b in candidate]
    return within(reference) + within(candidate) - 2 * math.fsum(cross) / len(cross)


def auc_and_delong(negatives: np.ndarray, positives: np.ndarray) -> tuple[float, float]:
    """Mann-Whitney AUC and DeLong 1988's variance by double loops."""
    psi = [[1.0 if p > q else 0.5 if p == q else 0.0 for q in negatives] for p in positives]
    table = np.array(psi)
    variance = table.mean(axis=1).var(ddof=1) / len(positives) + table.mean(axis=0).var(ddof=1) / len(negatives)
    return float(table.mean()), float(variance)


def clustered_auc_variance(
    negatives: np.ndarray, positives: np.ndarray, unit_negative: np.ndarray, unit_positive: np.ndarray
) -> float:
    """Obuchowski 1997's variance of the AUC by double loops, with a covariance across the sides of at least 0."""
    psi = np.array([[1.0 if p > q else 0.5 if p == q else 0.0 for q in negatives] for p in positives])
    auc = psi.mean()
    total, covariance = 0.0, 0.0
    for sums, units in ((psi.mean(axis=1), unit_positive), (psi.mean(axis=0), unit_negative)):
        names = sorted(set(units.tolist()))
        effects = [sum(s - auc for s, u in zip(sums, units, strict=True) if u == name) for name in names]
        total += len(names) / (len(names) - 1) * sum(effect**2 for effect in effects) / len(units) ** 2
    for name in set(unit_positive.tolist()) & set(unit_negative.tolist()):
        covariance += (psi[unit_positive == name].mean(axis=1) - auc).sum() * (
            psi[:, unit_negative == name].mean(axis=0) - auc
        ).sum()
    return float(total + 2 * max(0.0, covariance / len(positives) / len(negatives)))


def mean_cosines(reference: np.ndarray, candidate: np.ndarray) -> tuple[float, float, float]:
    """(cross, within reference, within candidate), self-pairs left out, by double loops."""

    def cosine(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.dot(x, y) / math.sqrt(np.dot(x, x) * np.dot(y, y)))

    def within(rows: np.ndarray) -> float:
        return float(np.mean([cosine(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j]))

    return float(np.mean([cosine(a, b) for a in reference for b in candidate])), within(reference), within(candidate)


def vendi(rows: np.ndarray) -> float:
    """Friedman & Dieng 2023: exp of the Shannon entropy of the n eigenvalues of K/n, K the cosines."""
    n = len(rows)
    kernel = np.array([[np.dot(x, y) / math.sqrt(np.dot(x, x) * np.dot(y, y)) for y in rows] for x in rows])
    shares = [float(v) for v in np.linalg.eigvalsh(kernel / n) if v > 1e-14]
    return math.exp(-math.fsum(v * math.log(v) for v in shares))


def quantile_w2_square(left: list[float], right: list[float]) -> float:
    """W₂² of two samples on a line: the integral of the squared gap of their quantile functions, in fractions."""
    left, right = sorted(left), sorted(right)
    n, m = len(left), len(right)
    levels = sorted({Fraction(i, n) for i in range(n + 1)} | {Fraction(j, m) for j in range(m + 1)})
    total = 0.0
    for low, high in itertools.pairwise(levels):
        middle = (low + high) / 2
        gap = left[math.floor(middle * n)] - right[math.floor(middle * m)]
        total += float(high - low) * gap**2
    return total


def sliced_wasserstein(reference: np.ndarray, candidate: np.ndarray, onto: np.ndarray) -> float:
    """Bonneel 2015, p = 2: the root of the mean of W₂² over the given directions."""
    squares = [
        quantile_w2_square([float(np.dot(x, line)) for x in reference], [float(np.dot(y, line)) for y in candidate])
        for line in onto
    ]
    return math.sqrt(math.fsum(squares) / len(squares))


def energy_v_statistic(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Székely & Rizzo 2013: means over all pairs, self-pairs included."""

    def mean(left: np.ndarray, right: np.ndarray) -> float:
        return math.fsum(math.sqrt(square(x, y)) for x in left for y in right) / (len(left) * len(right))

    return 2 * mean(reference, candidate) - mean(reference, reference) - mean(candidate, candidate)


def near_twins(reference: np.ndarray, candidate: np.ndarray) -> tuple[int, float]:
    """(count, threshold): rows new to the reference, nearer to it than the 0.1 % quantile of its own nearest."""
    own = [min(math.sqrt(square(x, y)) for j, y in enumerate(reference) if j != i) for i, x in enumerate(reference)]
    own.sort()
    place = 0.001 * (len(own) - 1)
    low = math.floor(place)
    threshold = own[low] + (place - low) * (own[low + 1] - own[low])
    known = {tuple(x) for x in reference}
    near = [min(math.sqrt(square(x, y)) for x in reference) < threshold for y in candidate]
    return sum(is_near and tuple(y) not in known for is_near, y in zip(near, candidate, strict=True)), threshold


def hsic_unbiased(k: np.ndarray, other: np.ndarray) -> float:
    """Song 2012, equation 5, on full kernel matrices; the trace is of the matrix product."""
    n = len(k)
    k, other = k - np.diag(np.diag(k)), other - np.diag(np.diag(other))
    one = np.ones(n)
    value = np.trace(k @ other) + (one @ k @ one) * (one @ other @ one) / ((n - 1) * (n - 2))
    return float((value - 2 * (one @ k @ other @ one) / (n - 2)) / (n * (n - 3)))


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Kornblith 2019 with the unbiased HSIC."""
    a, b = first @ first.T, second @ second.T
    return hsic_unbiased(a, b) / math.sqrt(hsic_unbiased(a, a) * hsic_unbiased(b, b))


def nearest_by_product(rows: np.ndarray, k: int) -> list[set[int]]:
    """Each row's k others of the largest inner product."""
    out = []
    for i, x in enumerate(rows):
        products = {j: float(np.dot(x, y)) for j, y in enumerate(rows) if j != i}
        out.append(set(sorted(products, key=lambda j: -products[j])[:k]))
    return out


def mutual_knn(first: np.ndarray, second: np.ndarray, k: int) -> float:
    """Huh 2024: the mean overlap of k-nearest lists."""
    lists = zip(nearest_by_product(first, k), nearest_by_product(second, k), strict=True)
    return float(np.mean([len(a & b) / k for a, b in lists]))


def cknna(first: np.ndarray, second: np.ndarray, k: int) -> float:
    """Huh 2024: CKA of the kernels masked to pairs that are neighbours in both."""

    def alignment(a: np.ndarray, b: np.ndarray) -> float:
        mask = np.zeros((len(a), len(a)))
        for i, (one, other) in enumerate(zip(nearest_by_product(a, k), nearest_by_product(b, k), strict=True)):
            mask[i, list(one & other)] = 1
        return hsic_unbiased(mask * (a @ a.T), mask * (b @ b.T))

    return alignment(first, second) / math.sqrt(alignment(first, first) * alignment(second, second))


def cmmd(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Jayasumana 2024: 1000 times the V-statistic under exp(-d²/200) on unit rows, by double loops.

    exp(x) - 1 in place of exp(x): the ones cancel, and with them eleven digits would.
    """

    def unit(rows: np.ndarray) -> list[np.ndarray]:
        return [row / math.sqrt(float(row @ row)) for row in rows.astype(np.float64)]

    def mean(left: list[np.ndarray], right: list[np.ndarray]) -> float:
        terms = [math.expm1(-square(x, y) / 200) for x in left for y in right]
        return math.fsum(terms) / len(terms)

    a, b = unit(reference), unit(candidate)
    return 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))


def effective_rank(rows: np.ndarray) -> float:
    """Roy & Vetterli 2007 on the covariance: exp(-Σ p ln p) over its eigenvalues' shares, by singular values."""
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2
    shares = [float(v) / float(values.sum()) for v in values]
    return math.exp(-sum(p * math.log(p) for p in shares if p > 1e-14))


def covariance_overlap(reference: np.ndarray, candidate: np.ndarray) -> float:
    """tr √(S₁S₂) / √(tr S₁ tr S₂) through scipy's root of the (non-symmetric) product; full rank only."""
    from scipy.linalg import sqrtm

    a, b = np.cov(reference.T), np.cov(candidate.T)
    return float(np.trace(sqrtm(a @ b)).real / math.sqrt(np.trace(a) * np.trace(b)))


def frechet(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Heusel 2017 as torch-fidelity computes it."""
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in (reference, candidate)]
    return float(fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"])


def share_in_balls(points: np.ndarray, centres: np.ndarray, k: int) -> float:
    """Share of points strictly inside a ball around some centre, its radius the k-th nearest other centre's."""
    radii = [kth_square(centres, i, k) for i in range(len(centres))]
    inside = [any(square(c, p) < r for c, r in zip(centres, radii, strict=True)) for p in points]
    return sum(inside) / len(inside)
