"""Layers of a transformer as a CPU computes them fastest: weights laid out once, attention a few images at a time.

torch hands oneDNN a weight as it lies, which is then laid out anew for every product; and its fused attention is
written for long sequences. What all that is done here gains is in `benchmarks.rearranged_networks`: of ViT-B/32 on two
Zen 5 cores 31 % in float32 and 16 % in bfloat16. The arithmetic is the same up to rounding.

Uses two operations that torch's own compiler puts into a graph with frozen weights (`torch.ops.mkldnn`); they are not
documented, so `can_pack` asks for them, and the caller compares the rows of before and after.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from semsim_pipeline.encoders.processor import capabilities

SCORES_BYTES = 4 << 20
"""Of attention scores (float32) at once: they stay in a core's cache between the product, the softmax and the next
product. All of a batch of 8 at once take 1.2 times as long at 197 tokens and 12 heads, 2.5 times at 257 and 16."""


INSTRUCTIONS = ("avx512_bw", "avx512_vl", "avx512_dq")
"""Of processors where torch leaves products to oneDNN, and where packing was measured."""


def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies at `dtype` here at full speed and lets weights be laid out for it beforehand.

    float32: whether torch would have asked oneDNN at all is for the caller to know. False where torch is too old
    (before 2.10) to tell the processor's instructions. On Zen 3, without these instructions, ViT-B/32 gains 8 % and
    other networks nothing that can be told from noise: it is left as it is.
    """
    return has_packing(dtype) and all(capabilities().get(each) for each in INSTRUCTIONS)


def has_packing(dtype: torch.dtype) -> bool:
    """Whether the layers below compute at `dtype` at all on this x86 processor, fast or not."""
    operations, found = torch.ops.mkldnn, capabilities()
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(operations, "_reorder_linear_weight")
        and hasattr(operations, "_linear_pointwise")
        and found.get("architecture") == "x86_64"
        and (dtype != torch.bfloat16 or bool(found.get("avx512_bf16") or found.get("amx_bf16")))
    )


class PackedLinear(nn.Module):
    """[..., inputs] to [..., outputs], as `torch.nn.Linear`, at the dtype of its weight.

    weight: [outputs, inputs]; it is copied into oneDNN's layout, opaque to everything but its products. rows: of the
    input that it is laid out for, on one thread; other numbers are multiplied too. gelu: whether GELU (the exact one)
    follows, which then costs nothing: it is applied to what a core has just computed.

    `weight` is empty from then on: some towers ask a layer for the dtype of its weight.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, *, rows: int, gelu: bool = False) -> None:
        super().__init__()
        self._after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")  # no tanh
        # No buffers: `module.to(...)` and `state_dict` know nothing of the layout.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)
        # A copy: a slice would keep the whole of what it is cut from.
        self._bias = None if bias is None else bias.detach().clone()
        self.weight = weight.new_empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, *self._after)
        return out


class PackedPatches(nn.Module):
    """A convolution whose steps are as wide as its kernel, as one product: images cut into patches, a row each.

    [b, channels, H, W] to [b, outputs, H // p, W // p], the channels innermost in memory: what flattens them into
    tokens copies nothing.
    """

    def __init__(self, convolution: nn.Conv2d, *, images: int, positions: int) -> None:
        """images, positions: of a batch, and of patches in an image, as `PackedLinear`'s rows."""
        super().__init__()
        self._side = convolution.kernel_size[0]
        self._outputs = convolution.out_channels
        weight = convolution.weight.detach().reshape(self._outputs, -1)
        self._linear = PackedLinear(weight, convolution.bias, rows=images * positions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = x.shape
        side = self._side
        rows, columns = height // side, width // side
        cut = x[:, :, : rows * side, : columns * side].reshape(count, channels, rows, side, columns, side)
        patches = cut.permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, channels * side * side)
        out: torch.Tensor = self._linear(patches)
        return out.view(count, rows, columns, self._outputs).permute(0, 3, 1, 2)


def are_patches(convolution: nn.Conv2d) -> bool:
    """Whether `PackedPatches` computes this convolution, and gains by it: pixels in, patches of 8 pixels or more."""
    sides = set(convolution.kernel_size)
    return (
        len(sides) == 1
        and convolution.in_channels == 3
        and convolution.kernel_size[0] >= 8
        and tuple(convolution.stride) == tuple(convolution.kernel_size)
        and set(convolution.padding) == {0}
        and set(convolution.dilation) == {1}
        and convolution.groups == 1
    )


class PackedAttention(nn.Module):
    """A `torch.nn.MultiheadAttention` that is called as image towers do: no mask, no weights wanted, batch first.

    queries, tokens: of an image. The queries may be fewer than the tokens: those of the class token alone, at the end
    of a tower.
    """

    def __init__(self, attention: nn.MultiheadAttention, *, images: int, queries: int, tokens: int) -> None:
        super().__init__()
        width = attention.embed_dim
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        self._heads = attention.num_heads
        self._apart = queries != tokens
        if self._apart:
            self._query = PackedLinear(weight[:width], bias[:width], rows=images * queries)
            self._keys_values = PackedLinear(weight[width:], bias[width:], rows=images * tokens)
        else:
            self._all = PackedLinear(weight, bias, rows=images * tokens)
        self._out = PackedLinear(attention.out_proj.weight, attention.out_proj.bias, rows=images * queries)

    @staticmethod
    def serves(attention: nn.MultiheadAttention) -> bool:
        """Whether it has one width throughout, biases, and nothing that is appended to keys and values."""
        return (
            attention._qkv_same_embed_dim
            and attention._parameters.get("in_proj_bias") is not None
            and attention.bias_k is None
            and attention.bias_v is None
            and not attention.add_zero_attn
            and attention.batch_first
        )

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None]:
        """[b, queries, d], [b, tokens, d] twice (the same) to [b, queries, d], and no weights.

        Raises RuntimeError where more is asked than when it was chosen.
        """
        if need_weights or attn_mask is not None or key is not value or (query is key) == self._apart:
            raise RuntimeError("attention is asked for more than it was rearranged for")
        count, queries, width = query.shape
        tokens = key.shape[1]
        if self._apart:
            first = self._query(query).view(count, queries, self._heads, -1)
            second, third = self._keys_values(key).view(count, tokens, 2, self._heads, -1).unbind(2)
        else:
            first, second, third = self._all(query).view(count, tokens, 3, self._heads, -1).unbind(2)
        out: torch.Tensor = self._out(attend(first, second, third).view(count, queries, width))
        return out, None


class SelfAttention(nn.Module):
    """timm's `Attention` with its own layers, and `attend` for torch's fused attention."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.inner: Any = attention

    @staticmethod
    def serves(attention: nn.Module) -> bool:
        """Whether it is timm's, as timm 1.0 has it, without a gate and without a norm after the heads."""
        kind = type(attention)
        return (
            kind.__name__ == "Attention"
            and kind.__module__ in {"timm.layers.attention", "timm.models.vision_transformer"}
            and all(hasattr(attention, each) for each in ("qkv", "q_norm", "k_norm", "proj", "num_heads"))
            and getattr(attention, "gate", None) is None
            and isinstance(getattr(attention, "norm", None), nn.Identity | None)
        )

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False) -> torch.Tensor:
        """[b, tokens, d] to the same. Raises RuntimeError where a mask is asked for, which no image tower does."""
        if attn_mask is not None or is_causal:
            raise RuntimeError("a mask is asked of attention that has none")
        inner, (count, tokens, _) = self.inner, x.shape
        query, key, value = inner.qkv(x).view(count, tokens, 3, inner.num_heads, -1).unbind(2)
        mixed = attend(inner.q_norm(query), inner.k_norm(key), value, scores=torch.float32)
        out: torch.Tensor = inner.proj(mixed)
        return out


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scores: torch.dtype | None = None
) -> torch.Tensor:
    """softmax(query keyᵀ / sqrt(w)) value, by head: [b, n, heads, w] and twice [b, m, heads, w] to [b, n, heads · w].

    scores: at which dtype queries meet keys; theirs by default, as in torch's `MultiheadAttention`. torch's fused
    attention takes float32: bfloat16 rounds a score of 20 to the next eighth. The softmax is float32 either way.
    Memory: SCORES_BYTES (or one head's scores, if they are more) two or three times, and one image's operands.
    Source: Vaswani et al. 2017, arXiv:1706.03762.
    """
    count, queries, heads, width = query.shape
    at = query.dtype if scores is None else scores
    heads_at_once = max(1, SCORES_BYTES // (4 * queries * key.shape[1]))
    images_at_once = max(1, heads_at_once // heads)
    out = value.new_empty(count, queries, heads, width)
    for start in range(0, count, images_at_once):
        part = slice(start, start + images_at_once)
        q, k, v = (_by_head(each[part]) for each in (query, key, value))
        mixed = torch.empty_like(q)
        for first in range(0, len(q), heads_at_once):
            some = slice(first, first + heads_at_once)
            found = torch.bmm(q[some].to(at), k[some].to(at).transpose(1, 2)).float().mul_(width**-0.5)
            torch.bmm(found.softmax(-1).to(v.dtype), v[some], out=mixed[some])
        out[part] = mixed.view(-1, heads, queries, width).transpose(1, 2)
    return out.view(count, queries, heads * width)


def _by_head(each: torch.Tensor) -> torch.Tensor:
    """[b, n, heads, w] to [b · heads, n, w]."""
    count, rows, heads, width = each.shape
    return each.transpose(1, 2).reshape(count * heads, rows, width)
