"""One pair of embedded sets, every number side by side: ours, and what the packages that people use would print.

All of them see the same rows. So `fid` is FID's formula on these rows and not on Inception's, and `cmmd` CMMD's
formula and not on CLIP's. torch-fidelity computes `fid` and `kid`, `prdc` its four, scikit-learn the cosine. No
package ships CMMD; `cmmd` is ours, which tests hold to cmmd-pytorch's values at 1e-9.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from semsim_pipeline.comparison.assess import EncoderIdentity, assess
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.similarity import Similarity, similarity_of
from semsim_pipeline.records import Background


@dataclass(frozen=True, slots=True)
class Entry:
    """A column: its name, who computes it, and whether larger means closer."""

    name: str
    by: str
    higher_is_closer: bool


ENTRIES: tuple[Entry, ...] = (
    Entry("similarity", "ours", True),
    Entry("fid", "torch-fidelity", False),
    Entry("kid", "torch-fidelity", False),
    Entry("cmmd", "ours, equal to cmmd-pytorch", False),
    Entry("mean_cosine", "scikit-learn", True),
    Entry("precision", "prdc", True),
    Entry("recall", "prdc", True),
    Entry("density", "prdc", True),
    Entry("coverage", "prdc", True),
)
NAMES = tuple(entry.name for entry in ENTRIES)


def headline(a: EmbeddedSet, b: EmbeddedSet, background: Background, *, permutations: int = 199) -> dict[str, Any]:
    """The headline with u, interval and p, and its verdict in words, all as `semsim compare` would say it."""
    identity = EncoderIdentity(name="evidence", fingerprint="", background=background)
    found = assess(a, b, identity, metrics=["similarity"], permutations=permutations)
    if found.similarity is None:
        raise RuntimeError(f"a case of a benchmark has a headline; found {found.reason}")
    return {**_plain(found.similarity), "verdict": found.verdict.text}


def headline_numbers(a: EmbeddedSet, b: EmbeddedSet, background: Background) -> dict[str, Any]:
    """As `headline`, without the words and the classifier that they look at."""
    return _plain(similarity_of(Pair(reference=a, candidate=b, background=background, permutations=19)))


def _plain(found: Similarity) -> dict[str, Any]:
    floor = found.floor or 0.0
    return {
        "similarity": found.raw,
        "u": (found.raw - floor) / (1 - floor),
        "interval": list(found.interval),
        "floor": floor,
        "p_value": found.p_value,
    }


def peers(a: EmbeddedSet, b: EmbeddedSet) -> dict[str, float]:
    """Every entry but the headline."""
    from sklearn.metrics.pairwise import cosine_similarity

    from semsim_pipeline.metrics.cmmd import cmmd

    return {
        "fid": _fid(a, b),
        "kid": _kid(a, b),
        "cmmd": cmmd(a, b),
        "mean_cosine": float(cosine_similarity(a.rows, b.rows).mean(dtype=np.float64)),
        **_prdc(a, b),
    }


def all_entries(a: EmbeddedSet, b: EmbeddedSet, background: Background) -> dict[str, Any]:
    """`headline_numbers` and `peers` together."""
    return {**headline_numbers(a, b, background), **peers(a, b)}


def _fid(a: EmbeddedSet, b: EmbeddedSet) -> float:
    import torch
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    sides = [fid_features_to_statistics(torch.from_numpy(side.rows.astype(np.float64))) for side in (a, b)]
    return float(fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID])


def _kid(a: EmbeddedSet, b: EmbeddedSet) -> float:
    """All rows where both sides have as many, and at most 1,000; else its mean over ten seeded subsets."""
    import torch
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    size = min(len(a), len(b), 1000)
    found = kid_features_to_metric(
        *(torch.from_numpy(side.rows.astype(np.float64)) for side in (a, b)),
        kid_subsets=1 if len(a) == len(b) == size else 10,
        kid_subset_size=size,
        rng_seed=0,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN])


def _prdc(a: EmbeddedSet, b: EmbeddedSet) -> dict[str, float]:
    from prdc import compute_prdc

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), warnings.catch_warnings():  # noqa: PTH123
        warnings.simplefilter("ignore")  # scikit-learn's, about prdc's threads
        found = compute_prdc(a.rows.astype(np.float64), b.rows.astype(np.float64), nearest_k=5)
    return {name: float(found[name]) for name in ("precision", "recall", "density", "coverage")}
