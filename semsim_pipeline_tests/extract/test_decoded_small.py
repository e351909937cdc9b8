"""A photo decoded small becomes the pixels that the whole photo becomes: the same part of it, at the same place."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semsim_pipeline.datasets.decode import decode, scaled_down
from semsim_pipeline.encoders.openclip import SHORT_NAMES as OPEN_CLIP
from semsim_pipeline.encoders.preprocess import ResizeSpec, resize_image, scaled_size
from semsim_pipeline.encoders.timm import SHORT_NAMES as TIMM
from semsim_pipeline.extract.hashes import HASHED_SIDE
from semsim_pipeline.extract.prepare import Arrived, Preparation, prepare
from semsim_pipeline.fingerprint import image_id_of

CLIP = OPEN_CLIP["clip-vit-b-32"].recipe.resize
SPECS = sorted({encoder.recipe.resize for encoder in [*OPEN_CLIP.values(), *TIMM.values()]}, key=str) + [
    ResizeSpec(crop=(224, 200), scale=(224, 200), fit=fit, interpolation="bicubic")
    for fit in ("cover", "contain")  # type: ignore[arg-type]
]
SIZES = [(2000, 1333), (2000, 1334), (3001, 2001), (2000, 1336), (1999, 1600), (1500, 1000), (2400, 1801), (4032, 3024)]
"""Width and height; the first three were moved by a pixel or stretched once."""
EXIF_ORIENTATION = 0x0112


@cache
def photo(width: int, height: int, *, orientation: int = 1) -> bytes:
    """Smooth shapes of several sizes, seeded, with the colours at half the size, as cameras write them."""
    rng = np.random.default_rng(width * 7919 + height)
    planes = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 60), (7, 30), (20, 20), (60, 10)):
        for channel in range(3):
            coarse = Image.fromarray(rng.normal(0, strength, (cells, cells)).astype(np.float32))
            planes[:, :, channel] += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    out = io.BytesIO()
    picture = Image.fromarray(np.clip(planes + 128, 0, 255).astype(np.uint8))
    picture.save(out, "JPEG", quality=90, subsampling="4:2:0", exif=exif)
    return out.getvalue()


def centred_cosine(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    a, b = (each.astype(np.float64).ravel() - each.mean() for each in (one, other))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def check(content: bytes, spec: ResizeSpec) -> None:
    whole, small = decode(content), decode(content, least_side=spec.least_side)
    by = scaled_down(content, spec.least_side)
    assert [by * side for side in small.shape[:2]] == list(whole.shape[:2])
    assert scaled_size(*small.shape[:2], spec) == scaled_size(*whole.shape[:2], spec)
    ours, expected = resize_image(small, spec), resize_image(whole, spec)
    # 2 grey levels and 0.99995 are what libjpeg's own averages cost here; a pixel's shift costs 66 levels and more.
    assert np.abs(ours.astype(int) - expected).max() <= 4
    assert centred_cosine(ours, expected) >= 0.9999


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("turned", [False, True])
def test_the_picture_keeps_its_place(size: tuple[int, int], turned: bool) -> None:
    width, height = size[::-1] if turned else size
    check(photo(width, height), CLIP)


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
@pytest.mark.parametrize("size", [(2000, 1333), (1334, 2000), (1600, 1000)])
def test_also_where_exif_turns_it(size: tuple[int, int], orientation: int) -> None:
    check(photo(*size, orientation=orientation), CLIP)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_under_every_preprocessing(spec: ResizeSpec) -> None:
    for width, height in ((2400, 1604), (1802, 2000), (2047, 1366)):
        check(photo(width, height), spec)


@pytest.mark.parametrize(
    ("size", "by"),
    [((4032, 3024), 4), ((6000, 4000), 8), ((6002, 4000), 2), ((6000, 4004), 4), ((6001, 4000), 1), ((6000, 4001), 1)],
)
def test_by_the_most_that_divides_both_sides(size: tuple[int, int], by: int) -> None:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, "JPEG")
    assert scaled_down(out.getvalue(), 448) == by
    assert decode(out.getvalue(), least_side=448).shape == (size[1] // by, size[0] // by, 3)


@pytest.mark.parametrize("size", [(2000, 1333), (2000, 1336)])
@pytest.mark.parametrize("least", [None, 64, 512])
def test_a_hash_is_the_same_whichever_encoder_met_the_photo(size: tuple[int, int], least: int | None) -> None:
    content = photo(*size)

    def hashes(least_side: int | None) -> list[int]:
        how = Preparation(preprocess=lambda image: image[:1, :1], least_side=least_side, hashed=True)
        run = [Arrived(place=0, content=content, image_id=image_id_of(content))]
        found: list[int] = prepare(how, run).hashes[0].tolist()
        return found

    assert hashes(least) == hashes(HASHED_SIDE)
