"""A batch of images varied at random, all at once: moved, scaled, mirrored, recoloured, blurred and covered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semsim_pipeline.training.recipe import Augmentation

if TYPE_CHECKING:
    import torch

GREY_WEIGHTS = (0.299, 0.587, 0.114)


def augment(images: torch.Tensor, side: int, how: Augmentation, random: torch.Generator) -> torch.Tensor:
    """uint8 [b, h, w, 3] to float32 [b, 3, side, side] in 0..1, channels last; every image differently.

    Depends on the generator's state alone. Memory: about six times the result.
    """
    import torch

    pixels = images.permute(0, 3, 1, 2).to(torch.float32).div_(255.0)
    pixels = _cropped(pixels, side, how, random)
    pixels = _softened(pixels, how, random)
    pixels = _recoloured(pixels, how, random)
    return _covered(pixels, how, random).contiguous(memory_format=torch.channels_last)


def _uniform(n: int, low: float, high: float, random: torch.Generator) -> torch.Tensor:
    import torch

    return torch.rand(n, generator=random) * (high - low) + low


def _chosen(n: int, probability: float, random: torch.Generator) -> torch.Tensor:
    """bool [n, 1, 1, 1]."""
    import torch

    return (torch.rand(n, generator=random) < probability).view(n, 1, 1, 1)


def _cropped(pixels: torch.Tensor, side: int, how: Augmentation, random: torch.Generator) -> torch.Tensor:
    """A square of random size and place, of `side` pixels, half of them mirrored; borders reflect."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    n = len(pixels)
    scale = _uniform(n, *how.scale, random)
    stretch = _uniform(n, 0.9, 1.1, random)
    # At least an eighth of the side to move in, so that an uncropped image is moved too.
    room = (1.0 - scale).abs().clamp_min(0.125)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = scale * stretch * (1.0 - 2.0 * (torch.rand(n, generator=random) < 0.5).float())
    theta[:, 1, 1] = scale / stretch
    theta[:, 0, 2] = room * _uniform(n, -1.0, 1.0, random)
    theta[:, 1, 2] = room * _uniform(n, -1.0, 1.0, random)
    grid = affine_grid(theta, [n, 3, side, side], align_corners=False)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _softened(pixels: torch.Tensor, how: Augmentation, random: torch.Generator) -> torch.Tensor:
    """Some images blurred, some made of 2x2 blocks: what compression, enlargement and cheap lenses do."""
    import torch
    from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line[None, :]).expand(3, 1, 3, 3)
    blurred = _chosen(len(pixels), how.blur, random).view(-1)
    coarse = _chosen(len(pixels), how.coarse, random).view(-1)
    out = pixels.clone()
    if bool(blurred.any()):
        out[blurred] = conv2d(pad(pixels[blurred], (1, 1, 1, 1), mode="reflect"), kernel, groups=3)
    if bool(coarse.any()):
        out[coarse] = interpolate(avg_pool2d(out[coarse], 2), scale_factor=2, mode="bilinear", align_corners=False)
    return out


def _recoloured(pixels: torch.Tensor, how: Augmentation, random: torch.Generator) -> torch.Tensor:
    """Saturation, contrast and brightness each multiplied at random; some images without colour."""
    import torch

    n = len(pixels)
    weights = torch.tensor(GREY_WEIGHTS).view(1, 3, 1, 1)
    low, high = 1.0 - how.jitter, 1.0 + how.jitter
    saturation = _uniform(n, low, high, random).view(n, 1, 1, 1)
    saturation = torch.where(_chosen(n, how.grey, random), torch.zeros_like(saturation), saturation)
    grey = (pixels * weights).sum(dim=1, keepdim=True)
    pixels = grey + (pixels - grey) * saturation
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * _uniform(n, low, high, random).view(n, 1, 1, 1)
    return (pixels * _uniform(n, low, high, random).view(n, 1, 1, 1)).clamp_(0.0, 1.0)


def _covered(pixels: torch.Tensor, how: Augmentation, random: torch.Generator) -> torch.Tensor:
    """One grey square an image, its centre anywhere."""
    import torch

    n, _, height, width = pixels.shape
    half = how.cutout * height / 2
    rows = torch.rand(n, generator=random).mul(height).view(n, 1, 1)
    columns = torch.rand(n, generator=random).mul(width).view(n, 1, 1)
    inside = (torch.arange(height).view(1, -1, 1) - rows).abs() < half
    inside = inside & ((torch.arange(width).view(1, 1, -1) - columns).abs() < half)
    return pixels.masked_fill_(inside.unsqueeze(1), 0.5)
