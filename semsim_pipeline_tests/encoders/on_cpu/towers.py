"""Small towers of both libraries, and when two results are alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from semsim_pipeline.encoders.on_cpu.layers import has_packing

rearranged_here = pytest.mark.skipif(not has_packing(torch.float32), reason="oneDNN does not lay out weights here")
in_bfloat16 = pytest.mark.skipif(not has_packing(torch.bfloat16), reason="this CPU has no bfloat16")
DTYPES = [torch.float32, pytest.param(torch.bfloat16, marks=in_bfloat16)]
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def assert_alike(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Up to rounding, of the largest value."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    most = float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())
    assert most <= TOLERANCES[ours.dtype], most


def timm_tower(**more: Any) -> Any:
    import timm

    tower = timm.create_model("test_vit", pretrained=False, num_classes=0, **{"global_pool": "token", **more}).eval()
    return tower.requires_grad_(False)


def open_clip_tower(**more: Any) -> Any:
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    described = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 16, **more}
    return _build_vision_tower(24, CLIPVisionCfg(**described)).eval().requires_grad_(False)


def convolutional() -> nn.Module:
    """With tokens and a linear layer at its end, as FastViT and EfficientFormer have them."""
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Flatten(2), nn.Linear(31 * 31, 8))
    return layers.eval().requires_grad_(False)
