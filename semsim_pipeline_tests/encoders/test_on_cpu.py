"""Layers rearranged for a CPU against torch's own, and towers against those of their libraries."""

from __future__ import annotations

import logging
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from semsim_pipeline.encoders import torch_runtime
from semsim_pipeline.encoders.on_cpu import layers, rearrange
from semsim_pipeline.encoders.on_cpu.last_block import OpenClipLastBlock, TimmLastBlock, shorten
from semsim_pipeline.encoders.on_cpu.layers import (
    PackedAttention,
    PackedLinear,
    PackedPatches,
    SelfAttention,
    are_patches,
    attend,
    can_pack,
)
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.torch_runtime import NetworkRuntime, drift

pytestmark = pytest.mark.skipif(not can_pack(torch.float32), reason="networks are not rearranged on this CPU")
BFLOAT16 = pytest.param(
    torch.bfloat16, marks=pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this CPU has no bfloat16")
)
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)


def assert_alike(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Up to rounding, of the largest value."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    most = float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())
    assert most <= TOLERANCES[ours.dtype], most


@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_layer_multiplies_as_torch_does(dtype: torch.dtype, gelu: bool, bias: bool) -> None:
    plain = nn.Linear(48, 80, bias=bias).to(dtype)
    packed = PackedLinear(plain.weight, plain.bias, rows=40, gelu=gelu)
    x = torch.randn(4, 10, 48, dtype=dtype)
    with torch.inference_mode():
        for given in (
            x,
            x[:, :1],
            x[:1],
            x[:1, :1],
            x[:, ::3],
            x[:0],
        ):  # other numbers of rows, and rows that do not lie together
            expected = plain(given)
            found = packed(given)
            if len(given):
                assert_alike(found, functional.gelu(expected) if gelu else expected)
            else:
                assert found.shape == expected.shape


def test_a_packed_layer_keeps_no_weight_of_the_plain_one() -> None:
    plain = nn.Linear(48, 80)
    x = torch.randn(5, 48)
    with torch.inference_mode():
        expected = plain(x)
    packed = PackedLinear(plain.weight, plain.bias, rows=5)
    weights = weakref.ref(plain.weight)
    assert (packed.weight.numel(), packed.weight.dtype) == (0, torch.float32)
    with torch.no_grad():
        plain.weight.zero_()
        plain.bias.zero_()
    del plain
    assert weights() is None
    with torch.inference_mode():
        assert_alike(packed(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
@pytest.mark.parametrize("side", [(32, 32), (40, 27), (8, 8)])
def test_patches_are_the_convolution(side: tuple[int, int], dtype: torch.dtype) -> None:
    plain = nn.Conv2d(3, 20, 8, stride=8).to(dtype)
    assert are_patches(plain)
    x = torch.randn(3, 3, *side, dtype=dtype)
    with torch.inference_mode():
        packed = PackedPatches(plain, images=3, positions=16)
        assert_alike(packed(x), plain(x))
        assert_alike(packed(x.contiguous(memory_format=torch.channels_last)), plain(x))


@pytest.mark.parametrize(
    "other",
    [
        {"stride": 4},
        {"padding": 1},
        {"dilation": 2},
        {"kernel_size": (8, 16), "stride": (8, 16)},
        {"kernel_size": 4, "stride": 4},
        {"in_channels": 6},
        {"padding": "valid"},
    ],
)
def test_other_convolutions_stay(other: dict[str, Any]) -> None:
    assert not are_patches(nn.Conv2d(**{"in_channels": 3, "out_channels": 12, "kernel_size": 8, "stride": 8, **other}))


@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
@pytest.mark.parametrize("most", [1, 700, 3000, 1 << 22])
@pytest.mark.parametrize("queries", [1, 9])
def test_attention_is_torchs_however_much_at_once(
    queries: int, most: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "SCORES_BYTES", most)
    query, key, value = (torch.randn(5, n, 4, 16, dtype=dtype) for n in (queries, 9, 9))
    theirs = functional.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    expected = theirs.transpose(1, 2).reshape(5, queries, 64)
    assert_alike(attend(query, key, value), expected)
    assert_alike(attend(query, key, value, scores=torch.float32), expected)


def test_large_scores_in_bfloat16_want_float32() -> None:
    """What timm's towers get from torch's fused attention they get from ours; products in bfloat16 would not do."""
    query, key, value = (torch.randn(2, 40, 2, 64).mul(scale).bfloat16() for scale in (6, 6, 1))
    exact = attend(query.double(), key.double(), value.double(), scores=torch.float64)
    off = {at: float((attend(query, key, value, scores=at).double() - exact).abs().max()) for at in TOLERANCES}
    assert off[torch.float32] < 0.02
    assert off[torch.bfloat16] > 4 * off[torch.float32]


@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
@pytest.mark.parametrize("queries", [1, 7])
def test_packed_attention_is_torchs_module(queries: int, dtype: torch.dtype) -> None:
    plain = nn.MultiheadAttention(32, 4, batch_first=True).to(dtype)
    nn.init.normal_(plain.in_proj_bias)
    nn.init.normal_(plain.out_proj.bias)
    assert PackedAttention.serves(plain)
    packed = PackedAttention(plain, images=3, queries=queries, tokens=7)
    x = torch.randn(3, 7, 32, dtype=dtype)
    query = x if queries == 7 else x[:, :queries]
    with torch.inference_mode():
        assert_alike(packed(query, x, x)[0], plain(query, x, x, need_weights=False)[0])
    for asked in ({"need_weights": True}, {"attn_mask": torch.zeros(7, 7)}):
        with pytest.raises(RuntimeError, match="more than"):
            packed(query, x, x, **asked)
    with pytest.raises(RuntimeError, match="more than"):
        packed(query, x, x.clone())
    with pytest.raises(RuntimeError, match="more than"):
        packed(x.clone() if queries == 7 else x, x, x)


@pytest.mark.parametrize(
    "other",
    [{"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 16}, {"batch_first": False}],
)
def test_other_attention_stays(other: dict[str, Any]) -> None:
    assert not PackedAttention.serves(nn.MultiheadAttention(32, 4, **{"batch_first": True, **other}))


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


def test_attention_with_positions_of_its_own_stays() -> None:
    """SAM's, in timm, is called `Attention` too, and has the same layers."""
    import timm

    sam = timm.create_model("samvit_base_patch16_224", pretrained=False, num_classes=0, depth=1, embed_dim=48)
    found = [module for module in sam.modules() if type(module).__name__ == "Attention"]
    assert found
    assert not any(map(SelfAttention.serves, found))


@pytest.mark.parametrize("qk_norm", [False, True])
def test_timms_attention_with_attention_of_our_own(qk_norm: bool) -> None:
    plain = timm_tower(qk_norm=qk_norm).blocks[0].attn
    assert SelfAttention.serves(plain)
    x = torch.randn(2, 9, plain.num_heads * plain.head_dim)
    with torch.inference_mode():
        assert_alike(SelfAttention(plain)(x), plain(x))
    with pytest.raises(RuntimeError, match="mask"):
        SelfAttention(plain)(x, attn_mask=torch.zeros(9, 9))
    assert not SelfAttention.serves(nn.MultiheadAttention(32, 4))
    plain.gate = nn.Linear(4, 4)
    assert not SelfAttention.serves(plain)


@pytest.mark.parametrize(
    ("tower", "side", "kind"),
    [(timm_tower, 160, TimmLastBlock), (open_clip_tower, 32, OpenClipLastBlock)],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_the_class_token_needs_no_other_token_at_the_end(tower: Any, side: int, kind: type, scaled: bool) -> None:
    more = {"init_values" if tower is timm_tower else "ls_init_value": 0.3} if scaled else {}
    network = tower(**more)
    x = torch.randn(3, 3, side, side)
    with torch.inference_mode():
        expected = network(x)
        last = shorten(network)
        assert isinstance(last, kind)
        assert_alike(network(x), expected)


def test_towers_that_use_every_token_stay_whole() -> None:
    assert shorten(timm_tower(global_pool="avg")) is None
    assert shorten(timm_tower(global_pool="map")) is None
    assert shorten(open_clip_tower(pool_type="avg")) is None
    assert shorten(open_clip_tower(attentional_pool=True)) is None
    assert shorten(open_clip_tower(output_tokens=True)) is None
    assert shorten(open_clip_tower(block_type="custom")) is None
    assert shorten(nn.Sequential(nn.Linear(2, 2))) is None


class Odd(nn.Module):
    """Calls its layers as no library here does: by their weights, twice, and an activation after two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.called, self.used, self.shared = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.again = self.shared
        self.first, self.second, self.gelu = nn.Linear(8, 8), nn.Linear(8, 8), nn.GELU()
        self.after, self.own = nn.Linear(8, 8), nn.GELU()
        self.twice, self.once, self.named = nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8)
        self.rough = nn.GELU(approximate="tanh")
        self.torchs = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.never = nn.Linear(8, 8)
        self.asked = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.linear(self.called(x), self.used.weight, self.used.bias)
        x = self.shared(x) + self.again(x)
        x = self.gelu(self.first(x)) + self.gelu(self.second(x))  # one activation for both
        x = self.own(self.after(x)) + self.rough(x)
        x = self.once(self.twice(x)) + self.twice(x)  # activated after one call alone
        x = self.named(input=x)
        x = self.torchs(x) + self.asked(x, x, x)[0]
        return x.mean(dim=1)


def test_what_is_called_otherwise_stays() -> None:
    network = Odd().eval().requires_grad_(False)
    x = torch.randn(2, 5, 8)
    with torch.inference_mode():
        with rearrange.watched(network, 2) as seen:
            expected = network(x)
        rearrange.rearrange(network, seen, images=2)
        assert_alike(network(x), expected)
    packed = {name for name, module in network.named_modules(remove_duplicate=False) if type(module) is PackedLinear}
    assert packed == {"called", "shared", "again", "first", "second", "after", "twice"}
    assert network.shared is network.again
    assert isinstance(network.own, nn.Identity)
    assert isinstance(network.gelu, nn.GELU)
    assert isinstance(network.once, nn.GELU)
    assert isinstance(network.rough, nn.GELU)
    assert isinstance(network.asked, nn.MultiheadAttention), "its weights were wanted"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("tower", "side", "expected"),
    [
        (timm_tower, 160, {"PackedPatches": 1, "PackedLinear": 1 + 6 * 4, "SelfAttention": 6, "TimmLastBlock": 1}),
        (
            open_clip_tower,
            32,
            {"PackedPatches": 1, "PackedLinear": 1 + 2 * 4 + 1, "PackedAttention": 2, "OpenClipLastBlock": 1},
        ),
    ],
)
def test_a_tower_is_rearranged_from_end_to_end(tower: Any, side: int, expected: dict[str, int]) -> None:
    network = tower()
    x = torch.randn(2, 3, side, side)
    weights = weakref.ref(next(module for module in network.modules() if type(module) is nn.Linear))
    with torch.inference_mode():
        with rearrange.watched(network, 2) as seen:
            before = network(x)
        rearrange.rearrange(network, seen, images=2)
        assert_alike(network(x), before)
        assert_alike(network(x[:1]), before[:1])
    kinds = [type(module).__name__ for module in network.modules()]
    assert {kind: kinds.count(kind) for kind in expected} == expected
    assert not [kind for kind in kinds if kind in {"Linear", "Conv2d", "MultiheadAttention", "GELU"}]
    assert weights() is None, "a layer's weights are freed with it"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 that may be rearranged, on a processor with AMX too (where `medium` would be bfloat16: it is not set)."""
    from semsim_pipeline.encoders.exact_float32 import ExactFloat32

    monkeypatch.setattr(torch_runtime, "has_exact_medium", lambda: True)
    monkeypatch.setattr(ExactFloat32, "_multiply", lambda self: None)


def packed_in(loaded: Any) -> int:
    return sum(type(module) is PackedLinear for module in loaded._module.modules())


BATCH: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (5, 160, 160, 3), dtype=np.uint8)
needs_cpu = pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="networks run on the device here")


@needs_cpu
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


@needs_cpu
@pytest.mark.usefixtures("fast")
def test_where_weights_cannot_be_laid_out_the_network_stays(
    timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "can_pack", lambda dtype: False)
    assert packed_in(resolve_encoder(f"timm:test_vit/{timm_checkpoint}").load()) == 0


@needs_cpu
def test_float32_stays_as_built_where_torchs_own_way_is_the_fast_one(
    timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_runtime, "has_exact_medium", lambda: False)
    assert packed_in(resolve_encoder(f"timm:test_vit/{timm_checkpoint}").load()) == 0


@needs_cpu
@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this CPU has no bfloat16")
def test_few_patches_take_larger_batches_in_bfloat16(timm_checkpoint: Path, open_clip_checkpoint: Path) -> None:
    def size(name: str) -> int:
        loaded: Any = resolve_encoder(name).load()
        return int(loaded.batch_size)

    assert size(f"open_clip:ViT-S-32-alt/{open_clip_checkpoint}+bf16") == 16  # 49 patches
    assert size(f"open_clip:ViT-S-32-alt/{open_clip_checkpoint}") == 8
    assert size(f"timm:test_vit/{timm_checkpoint}+bf16") == 8  # 100


def test_patches_are_those_of_a_transformer() -> None:
    for tower, side, patches in ((timm_tower, 160, 100), (open_clip_tower, 32, 16), (convolutional, 64, 0)):
        network = tower()
        with torch.inference_mode(), rearrange.watched(network, 2) as seen:
            network(torch.randn(2, 3, side, side))
        assert seen.patches == patches


@needs_cpu
@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this CPU has no bfloat16")
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
