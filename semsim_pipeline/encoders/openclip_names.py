"""The short names of open_clip's weights: a table, held to the installed library by a test.

Everything is stated here, so that facts and fingerprints need no torch. Sizes, means, filters and repositories are
open_clip's own records of the tag.
"""

from __future__ import annotations

from dataclasses import dataclass

from semsim_pipeline.encoders.network import OPENAI_MEAN, OPENAI_STD
from semsim_pipeline.encoders.preprocess import Fit, Interpolation

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One set of weights. arch, tag: open_clip's names. side: of the square input, in pixels. dim: of a row.

    quick_gelu: whether the weights were trained with OpenAI's activation.
    """

    name: str
    arch: str
    tag: str
    repo: str
    dim: int
    licence: str
    source: str
    side: int = 224
    fit: Fit = "shortest"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD
    quick_gelu: bool = False


OPENAI = "Radford et al. 2021, arXiv:2103.00020 (OpenAI's weights)"
LAION = "Schuhmann et al. 2022, arXiv:2210.08402; Cherti et al. 2023, arXiv:2212.07143 (LAION-2B's weights)"

TABLE = (
    Published(
        name="clip-vit-b-32",
        arch="ViT-B-32-quickgelu",
        tag="openai",
        repo="timm/vit_base_patch32_clip_224.openai",
        dim=512,
        licence="MIT",
        source=OPENAI,
        quick_gelu=True,
    ),
    Published(
        name="clip-vit-b-16",
        arch="ViT-B-16-quickgelu",
        tag="openai",
        repo="timm/vit_base_patch16_clip_224.openai",
        dim=512,
        licence="MIT",
        source=OPENAI,
        quick_gelu=True,
    ),
    Published(
        name="clip-vit-l-14",
        arch="ViT-L-14-quickgelu",
        tag="openai",
        repo="timm/vit_large_patch14_clip_224.openai",
        dim=768,
        licence="MIT",
        source=OPENAI,
        quick_gelu=True,
    ),
    Published(
        name="clip-vit-b-32-laion2b",
        arch="ViT-B-32",
        tag="laion2b_s34b_b79k",
        repo="laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        dim=512,
        licence="MIT",
        source=LAION,
    ),
    Published(
        name="clip-vit-b-16-laion2b",
        arch="ViT-B-16",
        tag="laion2b_s34b_b88k",
        repo="laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
        dim=512,
        licence="MIT",
        source=LAION,
    ),
    # Trained with Inception's mean and std, unlike every other CLIP here.
    Published(
        name="clip-vit-l-14-laion2b",
        arch="ViT-L-14",
        tag="laion2b_s32b_b82k",
        repo="laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
        dim=768,
        licence="MIT",
        source=LAION,
        mean=HALF,
        std=HALF,
    ),
    Published(
        name="siglip2-b-16",
        arch="ViT-B-16-SigLIP2",
        tag="webli",
        repo="timm/ViT-B-16-SigLIP2",
        dim=768,
        licence="Apache-2.0",
        source="Tschannen et al. 2025, arXiv:2502.14786",
        fit="squash",
        mean=HALF,
        std=HALF,
    ),
    Published(
        name="mobileclip2-s0",
        arch="MobileCLIP2-S0",
        tag="dfndr2b",
        repo="timm/MobileCLIP2-S0-OpenCLIP",
        dim=512,
        licence="Apple Machine Learning Research Model licence (research only)",
        source="Faghri et al. 2025, arXiv:2508.20691",
        side=256,
        interpolation="bilinear",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    ),
)
