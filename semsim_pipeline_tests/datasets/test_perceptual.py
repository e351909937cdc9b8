from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from skimage import data

from semsim_pipeline.datasets.perceptual import HASH_WORDS, PLAIN, perceptual_hash
from semsim_pipeline.metrics.near_duplicates import TWIN_BITS

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "page", "text", "moon", "brick", "grass")


def photo(name: str) -> np.ndarray:
    image = np.asarray(getattr(data, name)(), dtype=np.uint8)
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]


def hashed(image: np.ndarray) -> np.ndarray:
    found = perceptual_hash(image)
    assert found is not None
    return found


def bits(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.bitwise_count(one ^ other).sum())


def jpeg(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file).convert("RGB"))


def resized(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((128, 128), Image.Resampling.LANCZOS))


def brighter(image: np.ndarray) -> np.ndarray:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(1.2))


@pytest.mark.parametrize("change", [jpeg, resized, brighter])
def test_a_changed_copy_stays_within_the_threshold(change: Callable[[np.ndarray], np.ndarray]) -> None:
    for name in PHOTOS:
        image = photo(name)
        assert bits(hashed(image), hashed(change(image))) <= TWIN_BITS, name


def test_different_photographs_are_far_beyond_it() -> None:
    hashes = [hashed(photo(name)) for name in PHOTOS]
    least = min(bits(a, b) for i, a in enumerate(hashes) for b in hashes[:i])
    assert least > 3 * TWIN_BITS


def test_it_is_the_transform_against_its_median_by_the_definition() -> None:
    from scipy.fft import dctn

    image = photo("chelsea")
    grey = Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    low = dctn(np.asarray(grey, dtype=np.float64), type=2)[:16, :16]
    wanted = np.packbits((low > np.median(low)).reshape(-1)).view(">u8")
    assert bits(hashed(image), wanted.astype(np.uint64)) <= 1  # a coefficient that is the median itself


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_surface_has_no_hash(level: int) -> None:
    flat = np.full((40, 30, 3), level, np.uint8)
    assert perceptual_hash(flat) is None
    noise = np.random.default_rng(0).integers(-1, 2, flat.shape)
    assert perceptual_hash(np.clip(flat + noise, 0, 255).astype(np.uint8)) is None
    drawn = flat.copy()
    drawn[5:20, 5:20] = 255 - level if level != 128 else 0
    assert drawn.std() > PLAIN
    assert perceptual_hash(drawn) is not None


@pytest.mark.parametrize("shape", [(1, 1), (1, 600), (600, 1), (2000, 700)])
def test_any_size_is_hashed_or_flat(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = perceptual_hash(image)
    assert found is None if shape == (1, 1) else found is not None
    if found is not None:
        assert (found.shape, found.dtype) == ((HASH_WORDS,), np.uint64)
