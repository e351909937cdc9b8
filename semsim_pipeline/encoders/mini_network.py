"""The network of `mini`: 3x3 convolutions at 32, 16, 8 and 4 pixels, its mean over the last 16 positions, centred.

Built twice from one description: with batch normalisation to be trained, and with each normalisation folded into the
convolution before it, as it is shipped. The two give equal rows to rounding (a test says so).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

WIDTHS = (32, 64, 160)
"""Channels at 32 and 16, at 8 and at 4 pixels: half of the multiplications would be at 32 pixels with equal widths."""
DIM = WIDTHS[-1]
SIDE = 32
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
"""RGB of CIFAR-10's training images, in 0..1."""


def build_mini(*, folded: bool) -> nn.Module:
    """The network, weights as torch draws them: float32 [b, 3, s, s] (s a multiple of 8, at least 16) to [b, DIM].

    folded: without normalisation layers, for inference; else to be trained.
    """
    from torch import nn

    first, second, third = WIDTHS
    layers: list[nn.Module] = [
        _step(3, first, pooled=True, folded=folded),
        _step(first, second, pooled=True, folded=folded),
        _residual(second, folded=folded),
        _step(second, third, pooled=True, folded=folded),
        _residual(third, folded=folded),
        _head(folded=folded),
    ]
    return nn.Sequential(*layers)


def _step(inputs: int, outputs: int, *, pooled: bool, folded: bool) -> nn.Module:
    """Convolution, perhaps a pooling, normalisation, ReLU. Pooling comes before the normalisation: a quarter of it.

    The normalisation has no factor of its own, only a shift: a negative factor could not be moved in front of the
    pooling when it is folded.
    """
    from torch import nn

    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=folded)]
    if pooled:
        layers.append(nn.MaxPool2d(2))
    if not folded:
        norm = nn.BatchNorm2d(outputs)
        norm.weight.requires_grad_(False)
        layers.append(norm)
    layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _residual(channels: int, *, folded: bool) -> nn.Module:
    from torch import nn

    class Residual(nn.Module):
        """x + two steps of x."""

        def __init__(self) -> None:
            super().__init__()
            self.first = _step(channels, channels, pooled=False, folded=folded)
            self.second = _step(channels, channels, pooled=False, folded=folded)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = x + self.second(self.first(x))
            return out

    return Residual()


def _head(*, folded: bool) -> nn.Module:
    """The mean over positions, then each column at mean 0 and deviation 1 over the training images.

    Without that every column is positive, and the cosine of any two images too.
    """
    import torch
    from torch import nn

    class Centre(nn.Module):
        """x · scale + shift, both [DIM]."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(DIM))
            self.shift = nn.Parameter(torch.zeros(DIM))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale + self.shift

    last = Centre() if folded else nn.BatchNorm1d(DIM, affine=False)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
