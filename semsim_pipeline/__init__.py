"""How semantically similar are two image datasets?

    import semsim_pipeline as semsim

    result = semsim.compare("photos/2023", "photos/2024")
    print(result.value, result.verdict.text)

    result = semsim.score(real_embeddings, generated_embeddings)

Importing this package loads neither torch nor pandas nor plotting; each function imports what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from semsim_pipeline.comparison.results import Comparison
    from semsim_pipeline.extract.records import Extraction
    from semsim_pipeline.records import Background

__all__ = ["compare", "compare_encoders", "embed", "score"]


def compare(
    reference: str | Path,
    candidate: str | Path,
    *,
    encoder: str = DEFAULT_ENCODER,
    limit: int | None = None,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
    clusters: bool = False,
    home: Path | None = None,
) -> Comparison:
    """Score how similar the candidate dataset is to the reference, under one encoder.

    reference, candidate: a path (folder, zip, tar, Parquet) or a name, each with an optional view
    (`"photos[label=cat]"`). limit: a fair, seeded sample of at most so many images a side. metrics: a name or
    several from `semsim list metrics`; None for the whole card, with the table of classes where both sides have
    labels. clusters: match k-means clusters where they have none.
    Returns: the headline with its interval and verdict, and the score card; `to_json()` is contract 2.
    Raises: subclasses of `semsim_pipeline.errors.SemsimError`, each with one clear line.
    Memory: both views' embeddings (n·d·4 bytes) and their unit rows; images are streamed.
    """
    from semsim_pipeline.comparison.run import CompareOptions, compare_views

    metrics = (metrics,) if isinstance(metrics, str) else metrics
    options = CompareOptions(limit=limit, seed=seed, metrics=metrics, clusters=clusters, home=home)
    return compare_views(str(reference), str(candidate), (encoder,), options)[0]


def compare_encoders(
    reference: str | Path,
    candidate: str | Path,
    encoders: Sequence[str],
    *,
    limit: int | None = None,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
    home: Path | None = None,
) -> list[Comparison]:
    """The same pair under several encoders, in order; see `compare`.

    Returns: a comparison for each; its `agreement` says how far its encoder agrees with each of the others on each
    side's images (unbiased linear CKA, mutual k-NN, CKNNA; at most 4,000 images, paired by content), and what that
    makes of their verdicts in one sentence.
    Raises: as `compare`.
    """
    from semsim_pipeline.comparison.run import CompareOptions, compare_views

    metrics = (metrics,) if isinstance(metrics, str) else metrics
    options = CompareOptions(limit=limit, seed=seed, metrics=metrics, home=home)
    return compare_views(str(reference), str(candidate), tuple(encoders), options)


def score(
    reference: ArrayLike | Path,
    candidate: ArrayLike | Path,
    *,
    metrics: Sequence[str] | None = None,
    background: Background | None = None,
    bandwidth: float | None = None,
    seed: int = 0,
    clusters: bool = False,
) -> Comparison:
    """The same score card from embeddings [n, d] and [m, d], as arrays or as files (.npy, .npz, Parquet).

    A str is a path. metrics: a name, or several. background: the encoder's; bandwidth: s² instead. With neither, files
    that semsim wrote bring their own (an array beside one is taken for the same encoder's), and anything else is
    scored on the reference's own scale (status `uncalibrated`). clusters: also match k-means clusters of the two sides.
    Raises: InvalidEmbeddingsError (NaN, empty, pickled, no table), DimensionMismatchError, WrongCallError.
    """
    from semsim_pipeline.comparison.score import score_sides

    sides = [Path(side) if isinstance(side, str) else side for side in (reference, candidate)]
    return score_sides(
        (sides[0], sides[1]),
        metrics=metrics,
        background=background,
        bandwidth=bandwidth,
        seed=seed,
        clusters=clusters,
    )


def embed(spec: str | Path, *, encoder: str = DEFAULT_ENCODER, home: Path | None = None) -> Extraction:
    """Embed a dataset or view and keep it under SEMSIM_HOME; what is there already is not made again.

    Returns: counts (seen = embedded + failed), the manifest's version and the folder of Parquet parts.
    Raises: subclasses of `semsim_pipeline.errors.SemsimError`.
    """
    from semsim_pipeline.catalog import open_named
    from semsim_pipeline.encoders.network import ensure_weights
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.run import embed_view

    chosen, view = resolve_encoder(encoder), open_named(str(spec), home)
    ensure_weights(chosen)
    return embed_view(view, chosen, home)
