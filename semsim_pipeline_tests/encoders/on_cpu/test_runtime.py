"""Networks as they are loaded: which are rearranged, and what becomes of one that does not bear it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from semsim_pipeline.encoders import torch_runtime
from semsim_pipeline.encoders.on_cpu import layers, rearrange
from semsim_pipeline.encoders.on_cpu.layers import PackedLinear
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.torch_runtime import NetworkRuntime, drift
from semsim_pipeline_tests.encoders.on_cpu.towers import in_bfloat16, rearranged_here

pytestmark = [
    rearranged_here,
    pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="networks run on the device here"),
]
BATCH: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (5, 160, 160, 3), dtype=np.uint8)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 that may be rearranged, on a processor with AMX too (where `medium` would be bfloat16: it is not set)."""
    from semsim_pipeline.encoders.exact_float32 import ExactFloat32

    monkeypatch.setattr(torch_runtime, "has_exact_medium", lambda: True)
    monkeypatch.setattr(ExactFloat32, "_multiply", lambda self: None)


def packed_in(loaded: Any) -> int:
    return sum(type(module) is PackedLinear for module in loaded._module.modules())


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("breaks", ["wrong", "raises"])
def test_a_network_that_does_not_bear_it_runs_as_it_was_built(
    breaks: str, timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encoder: Any = resolve_encoder(f"timm:test_vit/{timm_checkpoint}")
    whole = encoder.load()
    assert packed_in(whole) > 20
    expected = whole.encode(BATCH)

    def broken(network: Any, seen: Any, *, images: int) -> None:
        if breaks == "raises":
            raise NotImplementedError("another release of torch")
        network.blocks[0].attn.proj = nn.Identity()

    monkeypatch.setattr(rearrange, "rearrange", broken)
    with caplog.at_level(logging.WARNING):
        loaded = encoder.load()
    assert packed_in(loaded) == 0
    np.testing.assert_allclose(loaded.encode(BATCH), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert "slower" in caplog.text
    assert ("another release" in caplog.text) == (breaks == "raises")


@pytest.mark.usefixtures("fast")
def test_where_weights_cannot_be_laid_out_the_network_stays(
    timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "can_pack", lambda dtype: False)
    assert packed_in(resolve_encoder(f"timm:test_vit/{timm_checkpoint}").load()) == 0


def test_float32_stays_as_built_where_torchs_own_way_is_the_fast_one(
    timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_runtime, "has_exact_medium", lambda: False)
    assert packed_in(resolve_encoder(f"timm:test_vit/{timm_checkpoint}").load()) == 0


@in_bfloat16
def test_few_patches_take_larger_batches_in_bfloat16(timm_checkpoint: Path, open_clip_checkpoint: Path) -> None:
    def size(name: str) -> int:
        loaded: Any = resolve_encoder(name).load()
        return int(loaded.batch_size)

    assert size(f"open_clip:ViT-S-32-alt/{open_clip_checkpoint}+bf16") == 16  # 49 patches
    assert size(f"open_clip:ViT-S-32-alt/{open_clip_checkpoint}") == 8
    assert size(f"timm:test_vit/{timm_checkpoint}+bf16") == 8  # 100


@in_bfloat16
def test_bfloat16_rearranged_drifts_no_more_than_bfloat16(open_clip_checkpoint: Path) -> None:
    encoder: Any = resolve_encoder(f"open_clip:ViT-S-32-alt/{open_clip_checkpoint}+bf16")
    exact = resolve_encoder(f"open_clip:ViT-S-32-alt/{open_clip_checkpoint}").load()
    batch = np.random.default_rng(1).integers(0, 256, (24, 224, 224, 3), dtype=np.uint8)
    built = encoder.build(encoder.recipe, open_clip_checkpoint)
    plain = NetworkRuntime(built, encoder.recipe, name=encoder.name, rearranged=False)
    rows = exact.encode(batch)
    assert packed_in(plain) == 0
    loaded = encoder.load()
    assert packed_in(loaded) > 20
    assert drift(rows, loaded.encode(batch)) < 2 * drift(rows, plain.encode(batch))
