"""From an image of any size to an encoder's own size, with Pillow's antialiased filters, as the peers' transforms do.

Pillow widens its filter when it shrinks, so that 600x450 noise becomes grey at 64 px; a resize without that
(OpenCV's cubic, torch's interpolate by default) keeps the noise and shifts every score that is computed from it.

A large JPEG may arrive decoded at a half, a quarter or an eighth (`datasets.decode`), of both sides exactly: the sizes
computed here, and with them the part of the picture that is kept, are then those of the whole. What it changes besides
is in docs/sources.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semsim_pipeline.fingerprint import Plain

Fit = Literal["shortest", "squash", "cover", "contain"]
Interpolation = Literal["bicubic", "bilinear", "lanczos", "tf1-bilinear"]

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
TF1_BILINEAR: Literal["tf1-bilinear"] = "tf1-bilinear"
"""TensorFlow 1's bilinear resize as FID was defined with it: not antialiased, its result is not rounded to whole grey
levels. Not a filter of Pillow: the encoder's own runtime applies it."""

LEAST_TIMES = 2
WIDEST_ASPECT = 16
"""Beyond this ratio the ends of the long side are cut before resizing: a 1x10,000 strip whose short side becomes 224
would otherwise need 1.5 GB, to keep 224 of 2,240,000 columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeSpec:
    """How an image becomes `crop` pixels: resize to `scale`, then the centre.

    crop, scale: (height, width) in pixels. fit: `shortest` (the short side becomes scale[0], the long side is
    truncated to whole pixels: torchvision's Resize of one number), `squash` (both sides, aspect ratio lost), `cover`
    and `contain` (aspect ratio kept, sides rounded, so that `scale` is covered or contained: timm's ResizeKeepRatio).
    fill: RGB where the resized image is smaller than the crop.
    """

    crop: tuple[int, int]
    scale: tuple[int, int]
    fit: Fit
    interpolation: Interpolation
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if min(*self.crop, *self.scale) < 1:
            raise ValueError(f"crop and scale are at least one pixel; found {self.crop} and {self.scale}")
        known = (*FILTERS, TF1_BILINEAR)
        if self.interpolation not in known:
            raise ValueError(f"interpolation is one of {', '.join(known)}; found {self.interpolation!r}")

    @property
    def least_side(self) -> int:
        """Pixels of the short side that a photo decoded small must keep: twice what the resize makes of it.

        The antialiased filter then still averages over the pixels of several, as it would on the whole photo.
        """
        return LEAST_TIMES * max(self.scale)

    def plain(self) -> dict[str, Plain]:
        """Everything that changes a pixel, for a fingerprint."""
        return {
            "crop": self.crop,
            "scale": self.scale,
            "fit": self.fit,
            "interpolation": self.interpolation,
            "fill": self.fill,
        }

    def in_words(self) -> str:
        """One line for a person."""
        as_tf1 = self.interpolation == TF1_BILINEAR
        filters = "TensorFlow 1's bilinear, not antialiased" if as_tf1 else f"{self.interpolation}, antialiased"
        size = f"{self.scale[0]}x{self.scale[1]}"
        first = f"shortest side to {self.scale[0]} px" if self.fit == "shortest" else f"{self.fit} {size} px"
        if self.crop == self.scale and self.fit == "squash":
            return f"{first} ({filters})"
        return f"{first} ({filters}), centre crop {self.crop[0]}x{self.crop[1]}"


def resize_image(image: NDArray[np.uint8], spec: ResizeSpec) -> NDArray[np.uint8]:
    """RGB uint8 [h, w, 3] of any size to uint8 [H, W, 3], C-contiguous and writeable; safe from several threads.

    Raises ValueError: another dtype or shape, or no pixels (decoding turns every image into RGB before this); a filter
    that is not Pillow's.
    Checked against: open_clip's image_transform and timm's create_transform, equal to the bit up to an aspect ratio
    of 16.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image is RGB uint8 [h, w, 3]; found {image.dtype} {list(image.shape)}")
    if spec.interpolation not in FILTERS:
        raise ValueError(f"{spec.interpolation!r} gives no whole grey levels; an encoder's own runtime applies it")
    picture = Image.fromarray(np.ascontiguousarray(image))
    if spec.fit != "squash":
        picture = _without_far_ends(picture)
    height, width = scaled_size(picture.height, picture.width, spec)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), FILTERS[spec.interpolation])
    return _centre(np.asarray(picture), spec)


def scaled_size(height: int, width: int, spec: ResizeSpec) -> tuple[int, int]:
    """(height, width) after the resize, before the crop."""
    if spec.fit == "squash":
        return spec.scale
    if spec.fit == "shortest":
        side = spec.scale[0]
        if width <= height:
            return int(side * height / width), side
        return side, int(side * width / height)
    ratios = height / spec.scale[0], width / spec.scale[1]
    ratio = min(ratios) if spec.fit == "cover" else max(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def crop_scale(size: int, crop_fraction: float) -> int:
    """The side to resize to so that a centre crop of `size` keeps `crop_fraction` of it, as timm rounds it (down)."""
    return math.floor(size / crop_fraction)


def _without_far_ends(picture: Image.Image) -> Image.Image:
    """The picture with both ends of a very long side cut equally, so that its centre stays where it was."""
    width, height = picture.size
    excess = max(width, height) - WIDEST_ASPECT * min(width, height)
    if excess <= 1:
        return picture
    cut = excess // 2
    box = (cut, 0, width - cut, height) if width > height else (0, cut, width, height - cut)
    return picture.crop(box)


def _centre(pixels: NDArray[np.uint8], spec: ResizeSpec) -> NDArray[np.uint8]:
    """The central `crop` pixels, padded with `fill` where there are fewer; always a copy that owns its memory."""
    height, width = pixels.shape[:2]
    rows, columns = spec.crop
    out = np.empty((rows, columns, 3), np.uint8)
    if height < rows or width < columns:
        out[:] = spec.fill
    source_rows, target_rows = _overlap(height, rows)
    source_columns, target_columns = _overlap(width, columns)
    out[target_rows, target_columns] = pixels[source_rows, source_columns]
    return out


def _overlap(have: int, want: int) -> tuple[slice, slice]:
    """Which part of one axis is taken and where it goes; torchvision's roundings (half to even; padding floors)."""
    if have < want:
        start = (want - have) // 2
        return slice(0, have), slice(start, start + have)
    start = round((have - want) / 2.0)
    return slice(start, start + want), slice(0, want)
