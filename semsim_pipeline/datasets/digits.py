"""The source `digits`: scikit-learn's bundled handwritten digits, 1,797 grey images of 8×8 in ten classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import SOURCES, SourceKind
from semsim_pipeline.datasets.embedded import EmbeddedArrays, LabelledArrays, no_location

CLASSES = tuple("0123456789")
DEEPEST = 16
"""The digits' own grey levels are 0..16."""


@cache
def load() -> LabelledArrays:
    """All digits in scikit-learn's order: images uint8 [1797, 8, 8] in 0..255, labels "0".."9"."""
    levels, classes = levels_and_classes()
    return LabelledArrays(images=as_grey(levels), labels=tuple(str(label) for label in classes))


def levels_and_classes() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixel levels int64 [1797, 8, 8] in 0..16 as published, and classes int64 [1797]."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    return bundle.images.astype(np.int64), bundle.target.astype(np.int64)


def as_grey(levels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Levels 0..16 as uint8: the nearest of 0..255, halves up."""
    return ((levels * 255 * 2 + DEEPEST) // (2 * DEEPEST)).astype(np.uint8)


def build(location: str, options: Mapping[str, str]) -> EmbeddedArrays:
    """The digits. Raises WrongCallError for a location or an option."""
    no_location("digits", location, options)
    return EmbeddedArrays(kind="digits", load=load)


SOURCES.add(
    "digits",
    SourceKind(
        name="digits",
        summary="1,797 real handwritten digits, 8×8 grey, ten classes (bundled with scikit-learn)",
        example="semsim compare 'digits[label=3]' 'digits[label=8]'",
        licence="CC BY 4.0 (UCI: Optical Recognition of Handwritten Digits)",
        build=build,
        embedded=True,
        classes={"label": CLASSES},
    ),
)
