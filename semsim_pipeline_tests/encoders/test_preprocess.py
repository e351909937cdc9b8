from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semsim_pipeline.encoders.preprocess import ResizeSpec, crop_scale, resize_image

SIZES = [(61, 87), (87, 61), (33, 32), (500, 333), (224, 224), (1, 9), (255, 257), (8, 8), (301, 299), (100, 1600)]


def _noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 7919 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _peer_pixels(transform: Any, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A peer's eval transform without its last step (Normalize), back in grey levels."""
    tensor = Image.fromarray(image)
    for step in transform.transforms[:-1]:
        tensor = step(tensor)
    return np.rint(tensor.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_open_clips_transform_to_the_bit(size: tuple[int, int], mode: str, interpolation: str) -> None:
    from open_clip.transform import image_transform

    from semsim_pipeline.encoders.openclip import FITS

    spec = ResizeSpec(crop=(224, 224), scale=(224, 224), fit=FITS[mode], interpolation=interpolation)  # type: ignore[arg-type]
    peer = image_transform(224, is_train=False, resize_mode=mode, interpolation=interpolation)
    image = _noise(*size)
    np.testing.assert_array_equal(resize_image(image, spec), _peer_pixels(peer, image))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("side", "fraction"), [(224, 0.9), (299, 0.875), (224, 1.0), (160, 0.95)])
def test_equals_timms_transform_to_the_bit(size: tuple[int, int], crop_mode: str, side: int, fraction: float) -> None:
    from timm.data import create_transform

    from semsim_pipeline.encoders.timm import _recipe
    from semsim_pipeline.encoders.timm_records import TimmRecord

    config = {
        "input_size": (3, side, side),
        "crop_pct": fraction,
        "crop_mode": crop_mode,
        "interpolation": "bicubic",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }
    image = _noise(*size)
    peer = create_transform(**config)
    record = TimmRecord(
        input_size=(3, side, side),
        crop_fraction=fraction,
        crop_mode=crop_mode,
        interpolation="bicubic",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    np.testing.assert_array_equal(resize_image(image, _recipe("any", record).resize), _peer_pixels(peer, image))


def test_noise_is_averaged_when_it_shrinks() -> None:
    # 600x450 noise to 64: an antialiased bicubic leaves a standard deviation of 7.5, one without antialias 49
    # (clean-fid's figures; another draw of noise moves the first by less than 0.3).
    spec = ResizeSpec(crop=(64, 64), scale=(64, 64), fit="squash", interpolation="bicubic")
    small = resize_image(_noise(450, 600), spec)
    assert small.std() == pytest.approx(7.47, abs=0.4)
    assert small.mean() == pytest.approx(127.4, abs=0.6)


def test_a_very_long_strip_costs_no_memory_and_keeps_its_centre() -> None:
    strip = np.zeros((1, 100_000, 3), np.uint8)
    strip[:, 50_000:] = 255
    spec = ResizeSpec(crop=(64, 64), scale=(64, 64), fit="shortest", interpolation="bilinear")
    left, right = np.hsplit(resize_image(strip, spec), 2)
    # Two of its pixels, each 64 wide after the resize, meet in the middle of the crop.
    assert left.mean() < 127 < right.mean()
    assert left.mean() + right.mean() == pytest.approx(255, abs=2)


def test_the_result_owns_its_memory_and_the_input_is_untouched() -> None:
    image = _noise(32, 32)
    before = image.copy()
    spec = ResizeSpec(crop=(32, 32), scale=(32, 32), fit="squash", interpolation="bicubic")
    out = resize_image(image, spec)
    out[:] = 0
    np.testing.assert_array_equal(image, before)
    assert out.flags.c_contiguous


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_shapes_are_refused(bad: NDArray[np.uint8]) -> None:
    spec = ResizeSpec(crop=(4, 4), scale=(4, 4), fit="squash", interpolation="bicubic")
    with pytest.raises(ValueError, match="RGB uint8"):
        resize_image(bad, spec)


def test_crop_scale_rounds_down_as_timm() -> None:
    assert (crop_scale(224, 0.9), crop_scale(299, 0.875), crop_scale(224, 1.0)) == (248, 341, 224)
