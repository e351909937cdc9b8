from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from semsim_pipeline.training.augment import augment
from semsim_pipeline.training.recipe import Augmentation

NOTHING = Augmentation(scale=(1.0, 1.0), jitter=0, grey=0, blur=0, coarse=0, cutout=0)
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(60, 196, (64, 32, 32, 3), dtype=np.uint8))


def varied(how: Augmentation, side: int = 32, seed: int = 0, images: torch.Tensor = IMAGES) -> torch.Tensor:
    return augment(images, side, how, torch.Generator().manual_seed(seed))


def test_shape_range_layout_and_seed() -> None:
    found = varied(Augmentation(), 24)
    assert found.shape == (64, 3, 24, 24)
    assert found.dtype == torch.float32
    assert 0 <= float(found.min()) < float(found.max()) <= 1
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, varied(Augmentation(), 24))
    assert not torch.equal(found, varied(Augmentation(), 24, seed=1))


def test_nothing_but_the_place_changes_without_variation() -> None:
    # A flat image stays what it is, however it is moved.
    flat = torch.full((8, 32, 32, 3), 100, dtype=torch.uint8)
    torch.testing.assert_close(varied(NOTHING, images=flat), torch.full((8, 3, 32, 32), 100 / 255))


def test_half_of_the_images_are_mirrored() -> None:
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8).view(1, 1, 32, 1).expand(400, 32, 32, 3)
    found = varied(NOTHING, images=ramp)
    falling = (found[:, 0, 16, 24] < found[:, 0, 16, 8]).float().mean()
    assert 0.4 < float(falling) < 0.6


def test_grey_images_have_no_colour() -> None:
    found = varied(replace(NOTHING, grey=1.0))
    assert float((found.max(dim=1).values - found.min(dim=1).values).max()) < 1e-5
    coloured = varied(NOTHING)
    assert float((coloured.max(dim=1).values - coloured.min(dim=1).values).mean()) > 0.1


def test_the_square_has_its_size_and_softening_lowers_contrast() -> None:
    flat = torch.full((300, 32, 32, 3), 255, dtype=torch.uint8)
    covered = (varied(replace(NOTHING, cutout=0.5), images=flat)[:, 0] == 0.5).float().mean(dim=(1, 2))
    assert float(covered.max()) == 0.25  # wholly inside: a quarter of the image
    assert float(covered.min()) >= 0.0625  # its centre is inside: at least a quarter of the square
    plain = varied(NOTHING).std()
    assert varied(replace(NOTHING, blur=1.0)).std() < 0.8 * plain
    assert varied(replace(NOTHING, coarse=1.0)).std() < 0.8 * plain


def test_jitter_changes_brightness_both_ways() -> None:
    means = varied(replace(NOTHING, jitter=0.4)).mean(dim=(1, 2, 3)) / varied(NOTHING).mean(dim=(1, 2, 3))
    assert float(means.min()) < 0.8
    assert float(means.max()) > 1.2
