"""`score`: two sets of ready embeddings in, one comparison out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from semsim_pipeline.comparison.assess import EncoderIdentity, assess, check_metrics
from semsim_pipeline.comparison.backgrounds import known_background, named_background
from semsim_pipeline.comparison.ready import ReadyEmbeddings, load_ready, ready_array
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.errors import InvalidEmbeddingsError, WrongCallError
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.records import Background

BANDWIDTHS = (1e-9, 1e9)
"""Squared distances of unit rows are within 0 and 4; beyond these s² the kernel is nothing but rounding."""
UNNAMED = "ready embeddings"
SIDES = ("reference", "candidate")


def score_files(  # noqa: PLR0913 - one keyword an option
    reference: Path,
    candidate: Path,
    *,
    metrics: Sequence[str] | None = None,
    background: str | Background | None = None,
    bandwidth: float | None = None,
    seed: int = 0,
    clusters: bool = False,
) -> Comparison:
    """Score two files of embeddings (see `load_ready`).

    background: an encoder's name, whose background gives the scale, or a background. bandwidth: s² itself. With
    neither, the fingerprint in both files' metadata finds the background; else the score is `uncalibrated`.
    Raises, before anything is read: UnknownNameError. Then: WrongCallError, MissingPathError, InvalidEmbeddingsError,
    DimensionMismatchError.
    """
    return score_sides(
        (reference, candidate),
        metrics=metrics,
        background=background,
        bandwidth=bandwidth,
        seed=seed,
        clusters=clusters,
    )


def score_arrays(
    reference: ArrayLike,
    candidate: ArrayLike,
    *,
    metrics: Sequence[str] | None = None,
    background: Background | None = None,
    seed: int = 0,
    names: tuple[str, str] = SIDES,
) -> Comparison:
    """Score two arrays of embeddings, [n, d] and [m, d], float32 or float64.

    Raises: InvalidEmbeddingsError, DimensionMismatchError, UnknownNameError.
    """
    return score_sides((reference, candidate), metrics=metrics, background=background, seed=seed, names=names)


def score_sides(  # noqa: PLR0913 - one keyword an option
    sides: tuple[Path | ArrayLike, Path | ArrayLike],
    *,
    metrics: Sequence[str] | None = None,
    background: str | Background | None = None,
    bandwidth: float | None = None,
    seed: int = 0,
    names: tuple[str, str] = SIDES,
    clusters: bool = False,
) -> Comparison:
    """As `score_files`, each side (reference, candidate) a file or an array.

    names: of the arrays. metrics: one name may stand alone. clusters: also match k-means clusters of the two sides.

    An array cannot say who embedded it: beside a file it is taken for the work of that file's encoder.
    Image ids decide what is a copy only where both sides have them, else the rows' bits do.
    """
    metrics = (metrics,) if isinstance(metrics, str) else metrics
    check_metrics(metrics)
    scale = _scale(background, bandwidth)
    left, right = (
        load_ready(side) if isinstance(side, Path) else ready_array(name, side)
        for name, side in zip(names, sides, strict=True)
    )
    if left.fingerprint and right.fingerprint and left.fingerprint != right.fingerprint:
        raise InvalidEmbeddingsError(
            f"{left.side.name} was embedded by {left.encoder} and {right.side.name} by {right.encoder} (other weights "
            "or settings): their rows cannot be compared. Embed both with the same encoder."
        )
    if left.by_image != right.by_image:
        left, right = left.by_rows(), right.by_rows()
    return assess(left.side, right.side, _identity(left, right, scale), metrics=metrics, seed=seed, clusters=clusters)


def bandwidth_background(bandwidth: float) -> Background:
    """A scale given by hand: no panel, so no floor and no band."""
    least, most = BANDWIDTHS
    if not least <= bandwidth <= most:
        raise WrongCallError(
            f"A bandwidth is the s² of exp(-‖x-y‖²/s²) on unit rows, {least:g} to {most:g}; found {bandwidth:g}."
        )
    return Background(id=f"s2={bandwidth:g}", bandwidth=bandwidth, source="the bandwidth given", calibrated=False)


def _scale(background: str | Background | None, bandwidth: float | None) -> EncoderIdentity | None:
    """The scale that was asked for, with the encoder that it belongs to; None where the files are to say."""
    if bandwidth is not None and background is not None:
        raise WrongCallError("Give a background or a bandwidth, not both.")
    if bandwidth is not None:
        return EncoderIdentity(name=UNNAMED, fingerprint="", background=bandwidth_background(bandwidth))
    if isinstance(background, str):
        name, fingerprint, found = named_background(background)
        return EncoderIdentity(name=name, fingerprint=fingerprint, background=found)
    return None if background is None else EncoderIdentity(name=UNNAMED, fingerprint="", background=background)


def _identity(left: ReadyEmbeddings, right: ReadyEmbeddings, scale: EncoderIdentity | None) -> EncoderIdentity:
    """Who made the rows, and on which scale they are scored.

    Raises WrongCallError where the scale is another encoder's than the one that the files name, or of another width.
    """
    name = left.encoder or right.encoder or UNNAMED
    agreed = left.fingerprint == right.fingerprint or left.in_memory or right.in_memory
    fingerprint = left.fingerprint or right.fingerprint if agreed else None
    if scale is None:
        found = known_background(fingerprint) if fingerprint else None
        return EncoderIdentity(name=name, fingerprint=fingerprint or "", background=found)
    for ready in (left, right):
        if scale.fingerprint and ready.fingerprint and scale.fingerprint != ready.fingerprint:
            raise WrongCallError(
                f"{ready.side.name} was embedded by {ready.encoder}, not by {scale.name} as it is here: another "
                "encoder's background would be a wrong scale. Leave --background out, and the file brings its own."
            )
    _check_width(scale.background, left.side)
    if scale.fingerprint:
        return scale
    return EncoderIdentity(name=name, fingerprint=fingerprint or "", background=scale.background)


def _check_width(background: Background | None, side: EmbeddedSet) -> None:
    if background is not None and background.mean is not None and len(background.mean) != side.dim:
        raise WrongCallError(
            f"The background is of an encoder of width {len(background.mean)}; {side.name} has {side.dim} columns. "
            "Name the encoder that embedded it, or give a bandwidth."
        )
