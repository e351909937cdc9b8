"""The embedded default: shapes (HOG) and colours (Lab), computed, so that it needs no weights and no network.

Three parts of a 32x32 copy of the image, each of unit length before its weight: what the edges do (HOG), which colours
there are (a soft Lab histogram), and where (a 4x4 thumbnail in Lab without its mean lightness). It sees no meaning:
two classes are close where they look alike. Chosen on 10 x 300 real CIFAR-10 images and a panel of 21 bundled
photographs (525 crops): 10-NN class accuracy 0.49 (chance 0.10), kappa 0.025, and similarity tells
animal-animal and machine-machine pairs of classes from animal-machine pairs without an error. HOG with a hard RGB
histogram alone: 0.44, 0.038, 0.95, and floors above 1, because class and panel were then equally spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.encoders.base import ENCODERS, Concurrency, EncoderFacts, EncoderKind
from semsim_pipeline.encoders.preprocess import ResizeSpec, resize_image
from semsim_pipeline.fingerprint import digest_of

NAME = "classical"
REVISION = 1
"""Raised with every change of this file that changes a number."""

SIDE = 32
RESIZE = ResizeSpec(crop=(SIDE, SIDE), scale=(SIDE, SIDE), fit="squash", interpolation="bicubic")
ORIENTATIONS, CELL, BLOCK = 9, 8, 2
HISTOGRAM_BINS = 4
CHROMA_REACH = 64.0
"""a* and b* beyond ±64 count as ±64: few photographs have such saturation, and bins there would stay empty."""
LAYOUT_CELLS = 4
FAINT_LAYOUT = 0.02
"""The length (Lab / 100) at which a thumbnail counts for 0.7 of its weight: a flat grey image has hardly any, and at
full weight one grey level around L = 50 would turn it over."""
COLOUR_WEIGHT, LAYOUT_WEIGHT = 0.5, 0.5
"""Beside HOG's 1. A heavier histogram lowers class accuracy (0.49 to 0.46 at 1), a heavier layout lowers the score of
related pairs (cat-dog 0.959 to 0.956) without gain."""

HOG_DIM = (SIDE // CELL - BLOCK + 1) ** 2 * BLOCK**2 * ORIENTATIONS
HISTOGRAM_DIM = HISTOGRAM_BINS**3
LAYOUT_DIM = 3 * LAYOUT_CELLS**2 + 1
DIM = HOG_DIM + HISTOGRAM_DIM + LAYOUT_DIM

FACTS = EncoderFacts(
    name=NAME,
    family="classical",
    dim=DIM,
    input_size=SIDE,
    preprocessing=RESIZE.in_words(),
    pooling="HOG (9 orientations, 8x8 cells, 2x2 blocks, L2-Hys), soft 4x4x4 Lab histogram, 4x4 Lab thumbnail",
    precision="float64 inside, float32 out",
    weights="none: computed",
    licence="Apache-2.0 (this package)",
    source="HOG: Dalal and Triggs 2005; colour layout after MPEG-7 (Kasutani and Yamada 2001)",
)


@dataclass(frozen=True, slots=True)
class ClassicalEncoder:
    """See the module: an `Encoder` without weights."""

    name: str = NAME
    facts: EncoderFacts = FACTS
    concurrency: Concurrency = "processes"
    batch_size: int = 64

    def fingerprint(self) -> str:
        # Minor versions of the two libraries are part of it: scikit-image has changed `hog` and its colour constants
        # between minor releases, Pillow its resampling; bug-fix releases of either are taken to keep the numbers.
        # The price of a false alarm is small here: 2,000 images a second a core.
        return digest_of(
            {
                "family": "classical",
                "revision": REVISION,
                "resize": RESIZE.plain(),
                "hog": [ORIENTATIONS, CELL, BLOCK],
                "histogram": [HISTOGRAM_BINS, CHROMA_REACH],
                "layout": [LAYOUT_CELLS, FAINT_LAYOUT],
                "weights": [COLOUR_WEIGHT, LAYOUT_WEIGHT],
                "scikit-image": _minor_version("scikit-image"),
                "pillow": _minor_version("pillow"),
            }
        )

    def load(self) -> LoadedClassical:
        return LoadedClassical()


class LoadedClassical:
    """A `LoadedEncoder`. A row depends on its own image alone, to the bit: images are computed one at a time."""

    dim = DIM

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return resize_image(image, RESIZE)

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if batch.dtype != np.uint8 or batch.shape[1:] != (SIDE, SIDE, 3):
            raise ValueError(f"a batch is uint8 [b, {SIDE}, {SIDE}, 3]; found {batch.dtype} {list(batch.shape)}")
        out = np.empty((len(batch), DIM), np.float32)
        for row, image in zip(out, batch, strict=True):
            lab = _lab(image)
            row[:HOG_DIM] = _unit(_shapes(image))
            row[HOG_DIM : HOG_DIM + HISTOGRAM_DIM] = COLOUR_WEIGHT * _colours(lab)
            row[HOG_DIM + HISTOGRAM_DIM :] = LAYOUT_WEIGHT * _unit(_layout(lab), FAINT_LAYOUT)
        return out


def _shapes(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """HOG of the strongest channel at each pixel, float64 [324]; all zeros on an image without an edge."""
    from skimage.feature import hog

    features: NDArray[np.float64] = hog(
        image,
        orientations=ORIENTATIONS,
        pixels_per_cell=(CELL, CELL),
        cells_per_block=(BLOCK, BLOCK),
        block_norm="L2-Hys",
        channel_axis=-1,
    )
    return features


def _lab(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE Lab (D65, 2°), float64 [32, 32, 3]: L in 0..100, a and b about -100..100."""
    from skimage.color import rgb2lab

    lab: NDArray[np.float64] = rgb2lab(image)
    return lab


def _colours(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square roots of the shares of 4x4x4 Lab bins, float64 [64], unit length by construction, so never zero.

    Each pixel is shared among the eight bins around it by distance (trilinear): with hard bins, one grey level moves a
    whole sky into the next bin.
    The square root makes a dot product the Bhattacharyya coefficient of two histograms.
    """
    last = HISTOGRAM_BINS - 1
    scaled = np.empty((3, lab.shape[0] * lab.shape[1]))
    scaled[0] = lab[..., 0].ravel() / 100.0
    scaled[1:] = (lab[..., 1:].reshape(-1, 2).T + CHROMA_REACH) / (2 * CHROMA_REACH)
    position = np.clip(scaled * HISTOGRAM_BINS - 0.5, 0.0, last)
    lower = np.minimum(position.astype(np.intp), last - 1)
    share = position - lower
    upper_lower = (1.0 - share, share)
    first = (lower[0] * HISTOGRAM_BINS + lower[1]) * HISTOGRAM_BINS + lower[2]
    bins = np.empty((8, first.size), np.intp)
    mass = np.empty((8, first.size))
    for corner, (i, j, k) in enumerate(np.ndindex(2, 2, 2)):
        bins[corner] = first + (i * HISTOGRAM_BINS + j) * HISTOGRAM_BINS + k
        mass[corner] = upper_lower[i][0] * upper_lower[j][1] * upper_lower[k][2]
    histogram = np.bincount(bins.ravel(), weights=mass.ravel(), minlength=HISTOGRAM_DIM)
    # Rounding may leave -1e-17 in a bin that holds nothing.
    roots: NDArray[np.float64] = np.sqrt(np.maximum(histogram, 0.0) / first.size)
    return roots


def _layout(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean Lab of 4x4 cells, lightness relative to the image's own mean, and that mean: float64 [49].

    With lightness left absolute every thumbnail points the same way, and unrelated images look related.
    """
    side = SIDE // LAYOUT_CELLS
    cells = lab.reshape(LAYOUT_CELLS, side, LAYOUT_CELLS, side, 3).mean(axis=(1, 3)).reshape(-1, 3) / 100.0
    lightness = cells[:, 0].mean()
    cells[:, 0] -= lightness
    return np.concatenate([cells.ravel(), [lightness - 0.5]])


def _unit(part: NDArray[np.float64], faint: float = 0.0) -> NDArray[np.float64]:
    """`part` at length 1, or less where it is not much longer than `faint`.

    Zeros (no edge anywhere) stay zeros; the histogram keeps the row from being zero.
    """
    length = float(np.sqrt(part @ part + faint * faint))
    return part / length if length > 0 else part


def _minor_version(distribution: str) -> str:
    return ".".join(version(distribution).split(".")[:2])


def _resolve(name: str) -> ClassicalEncoder:
    return ClassicalEncoder(name=name)


ENCODERS.add(NAME, EncoderKind(name=NAME, facts=FACTS, example=NAME, resolve=_resolve))
