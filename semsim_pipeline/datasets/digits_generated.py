"""The source `digits-generated`: draws from a density fitted to the real digits, as CIFAKE's FAKE to its REAL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets import digits
from semsim_pipeline.datasets.base import SOURCES, SourceKind
from semsim_pipeline.datasets.embedded import EmbeddedArrays, LabelledArrays, no_location
from semsim_pipeline.seeding import generator

SEED = 0
BANDWIDTH = 0.45
"""Share of a class's own spread that the kernel adds: below 0.3 the draws are retouched digits, above 0.7 blots."""


@cache
def load() -> LabelledArrays:
    """1,797 draws in the real digits' order of classes: images uint8 [1797, 8, 8], labels "0".."9".

    No draw equals a real digit or another draw. The same in every process (`generator` of a fixed seed; the square
    root of the covariance is taken symmetrically, so that it does not depend on the signs of eigenvectors).
    """
    levels, classes = digits.levels_and_classes()
    taken = {image.tobytes() for image in levels}
    drawn = np.empty_like(levels)
    for label in range(10):
        density = _ClassDensity(levels[classes == label].reshape(-1, 64).astype(np.float64))
        rng = generator(SEED, "digits-generated", label)
        for row in np.flatnonzero(classes == label):
            image = density.draw(rng)
            while image.tobytes() in taken:
                image = density.draw(rng)
            taken.add(image.tobytes())
            drawn[row] = image
    return LabelledArrays(images=digits.as_grey(drawn), labels=tuple(str(label) for label in classes))


class _ClassDensity:
    """A Gaussian kernel density with the class's covariance as its kernel's shape, kept at that covariance.

    A draw is mean + √(1-h²)·(a real digit - mean) + h·Σ^½·z. Source: smoothed bootstrap with shrinkage, Silverman
    1986, section 6.4.1. (A single Gaussian a class draws blots: the classes have several ways of writing.)
    """

    def __init__(self, rows: NDArray[np.float64]) -> None:
        self._mean = rows.mean(axis=0)
        self._centred = rows - self._mean
        values, vectors = np.linalg.eigh(self._centred.T @ self._centred / (len(rows) - 1))
        self._root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """One image, levels int64 [8, 8] in 0..16."""
        kernel_centre = self._centred[rng.integers(len(self._centred))]
        noise = self._root @ rng.standard_normal(64)
        values = self._mean + np.sqrt(1 - BANDWIDTH**2) * kernel_centre + BANDWIDTH * noise
        image: NDArray[np.int64] = np.clip(np.rint(values), 0, digits.DEEPEST).astype(np.int64).reshape(8, 8)
        return image


def build(location: str, options: Mapping[str, str]) -> EmbeddedArrays:
    """The generated digits. Raises WrongCallError for a location or an option."""
    no_location("digits-generated", location, options)
    return EmbeddedArrays(kind="digits-generated", load=load)


SOURCES.add(
    "digits-generated",
    SourceKind(
        name="digits-generated",
        summary="1,797 digits drawn from a density fitted to `digits`, seeded; no copies",
        example="semsim compare digits digits-generated",
        licence="CC BY 4.0 (derived from UCI: Optical Recognition of Handwritten Digits)",
        build=build,
        embedded=True,
        classes={"label": digits.CLASSES},
    ),
)
