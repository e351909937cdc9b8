"""Each layer against torch's own, or its library's."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from semsim_pipeline.encoders.on_cpu import layers
from semsim_pipeline.encoders.on_cpu.layers import (
    PackedAttention,
    PackedLinear,
    PackedPatches,
    SelfAttention,
    are_patches,
    attend,
)
from semsim_pipeline_tests.encoders.on_cpu.towers import (
    DTYPES,
    TOLERANCES,
    assert_alike,
    rearranged_here,
    timm_tower,
)

pytestmark = rearranged_here


@pytest.mark.parametrize("dtype", DTYPES)
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


@pytest.mark.parametrize("dtype", DTYPES)
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


@pytest.mark.parametrize("dtype", DTYPES)
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


@pytest.mark.parametrize("dtype", DTYPES)
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
