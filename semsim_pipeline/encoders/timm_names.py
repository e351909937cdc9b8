"""The short names of timm's weights: a table, held to the installed library by a test.

Everything is stated here, so that facts and fingerprints need no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from semsim_pipeline.encoders.network import CLASS_TOKEN, IMAGENET_MEAN, IMAGENET_STD, POOLED

HALF = (0.5, 0.5, 0.5)
DINOV2_SOURCE = "Oquab et al. 2023, arXiv:2304.07193; run at 224 px (trained up to 518), position embeddings resampled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One set of weights. arch: timm's NAME.TAG, and its repository's. side: of the square input, in pixels.

    crop_fraction: of the resized shortest side that the central square keeps. dim: of a row.
    """

    name: str
    arch: str
    dim: int
    licence: str
    source: str
    side: int = 224
    crop_fraction: float = 1.0
    pooling: str = POOLED
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channels_last: bool = False


TABLE = (
    # 224 px instead of the published 518: 7.6 times cheaper, and position embeddings made to be resampled.
    Published(
        name="dinov2-s-14",
        arch="vit_small_patch14_dinov2.lvd142m",
        dim=384,
        licence="Apache-2.0",
        source=DINOV2_SOURCE,
        pooling=CLASS_TOKEN,
    ),
    Published(
        name="dinov2-b-14",
        arch="vit_base_patch14_dinov2.lvd142m",
        dim=768,
        licence="Apache-2.0",
        source=DINOV2_SOURCE,
        pooling=CLASS_TOKEN,
    ),
    # The class token, as its authors pool it; timm by itself would average the patches.
    Published(
        name="dinov3-s-16",
        arch="vit_small_patch16_dinov3.lvd1689m",
        dim=384,
        licence="DINOv3 License (dinov3-license)",
        source="Siméoni et al. 2025, arXiv:2508.10104",
        side=256,
        pooling=CLASS_TOKEN,
    ),
    Published(
        name="swin-t",
        arch="swin_tiny_patch4_window7_224.ms_in1k",
        dim=768,
        licence="MIT",
        source="Liu et al. 2021, arXiv:2103.14030",
        crop_fraction=0.9,
    ),
    # torchvision's weights: FID's are another network (`inception-fid`); numbers do not compare.
    Published(
        name="inception-v3",
        arch="inception_v3.tv_in1k",
        dim=2048,
        licence="Apache-2.0 (as timm states it)",
        source="Szegedy et al. 2015, arXiv:1512.00567; torchvision's weights, not published FID's",
        side=299,
        crop_fraction=0.875,
        mean=HALF,
        std=HALF,
        channels_last=True,
    ),
)
