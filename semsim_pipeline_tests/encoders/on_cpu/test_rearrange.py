"""Towers before and after they are rearranged."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from semsim_pipeline.encoders.on_cpu import rearrange
from semsim_pipeline.encoders.on_cpu.last_block import OpenClipLastBlock, TimmLastBlock, shorten
from semsim_pipeline.encoders.on_cpu.layers import PackedLinear
from semsim_pipeline_tests.encoders.on_cpu.towers import (
    assert_alike,
    convolutional,
    open_clip_tower,
    rearranged_here,
    timm_tower,
)

pytestmark = rearranged_here


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


def test_patches_are_those_of_a_transformer() -> None:
    for tower, side, patches in ((timm_tower, 160, 100), (open_clip_tower, 32, 16), (convolutional, 64, 0)):
        network = tower()
        with torch.inference_mode(), rearrange.watched(network, 2) as seen:
            network(torch.randn(2, 3, side, side))
        assert seen.patches == patches
