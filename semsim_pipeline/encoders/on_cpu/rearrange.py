"""Rearranging a network for a CPU: layers are replaced, in place, by those of `layers`, which compute the same.

Which layers may be is not read off their types alone: a library may multiply by a layer's weights without calling it
(DINOv3 in timm does), and such a layer must keep them. So a trial batch is watched first.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from semsim_pipeline.encoders.on_cpu.last_block import shorten
from semsim_pipeline.encoders.on_cpu.layers import (
    PackedAttention,
    PackedLinear,
    PackedPatches,
    SelfAttention,
    are_patches,
)


class Seen:
    """What one batch showed: layers that were called, and how. It holds none of them alive.

    images: of the batch. rows: of a linear layer's input. activated: a GELU to the linear layer whose output it took.
    attention: (queries, tokens) of an image, where it was called as `PackedAttention` can serve. positions: of an
    image in a convolution's output. repeated: layers that were called more than once. otherwise: what was called in
    another way too.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self.rows: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
        self.activated: WeakKeyDictionary[nn.Module, weakref.ref[nn.Module]] = WeakKeyDictionary()
        self.attention: WeakKeyDictionary[nn.Module, tuple[int, int]] = WeakKeyDictionary()
        self.positions: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
        self.repeated: WeakSet[nn.Module] = WeakSet()
        self.otherwise: WeakSet[nn.Module] = WeakSet()
        self._latest: tuple[nn.Module, torch.Tensor] | None = None

    @property
    def patches(self) -> int:
        """That an image was cut into, before a vision transformer; 0 where it was not."""
        found = [number for module, number in self.positions.items() if _cuts_patches(module)]
        return found[0] if len(found) == 1 else 0

    def watch(self, module: nn.Module) -> RemovableHandle | None:
        """Note the module's calls from now on; None where it is of no interest."""
        if type(module) is nn.Linear:
            return module.register_forward_hook(self._linear)
        if type(module) is nn.GELU and module.approximate == "none":
            return module.register_forward_pre_hook(self._gelu)
        if type(module) is nn.MultiheadAttention:
            return module.register_forward_pre_hook(self._attention, with_kwargs=True)
        if type(module) is nn.Conv2d:
            return module.register_forward_hook(self._convolution)
        return None

    def forget_values(self) -> None:
        """What lay between two calls is needed no more."""
        self._latest = None

    def _linear(self, module: nn.Module, args: tuple[Any, ...], out: torch.Tensor) -> None:
        if not args:
            self.otherwise.add(module)
            return
        if module in self.rows:
            self.repeated.add(module)
        self.rows[module] = args[0].numel() // args[0].shape[-1]
        self._latest = module, out

    def _gelu(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        before, value = self._latest or (module, None)
        if module in self.activated or not args or args[0] is not value:
            self.otherwise.add(module)
        else:
            self.activated[module] = weakref.ref(before)

    def _attention(self, module: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        query, key, value, *others = (*args, *(named[each] for each in ("query", "key", "value") if each in named))
        masks = [named.get(each) for each in ("attn_mask", "key_padding_mask")]
        plain = not others and masks == [None, None] and named.get("need_weights") is False and key is value
        fewer = query.shape[1] != key.shape[1]
        if plain and (fewer or query is key) and module not in self.attention:
            self.attention[module] = query.shape[1], key.shape[1]
        else:
            self.otherwise.add(module)

    def _convolution(self, module: nn.Module, _args: tuple[Any, ...], out: torch.Tensor) -> None:
        self.positions[module] = out.shape[-1] * out.shape[-2]


@contextmanager
def watched(network: nn.Module, images: int) -> Iterator[Seen]:
    """While inside, calls of the network's layers are noted; images: of the batch that it is called with, once."""
    seen = Seen(images)
    hooks = [seen.watch(module) for module in network.modules()]
    try:
        yield seen
    finally:
        seen.forget_values()
        for hook in hooks:
            if hook is not None:
                hook.remove()


def rearrange(network: nn.Module, seen: Seen, *, images: int) -> None:
    """Replace the network's layers, in place. images: of the batches that it will meet.

    Memory: the network's, and one layer's weights; those of a layer are freed as soon as they are laid out.
    Raises whatever torch does where it cannot lay a weight out.
    """
    last = shorten(network)
    if last is not None:
        for module in last.block.modules():
            if module in seen.attention:
                seen.attention[module] = 1, seen.attention[module][1]
        for module in last.block.mlp.modules():
            if module in seen.rows:
                seen.rows[module] = seen.images
    _replace(network, Substitutes(seen, images))


class Substitutes:
    """For each layer what computes the same, made once: a layer may have two places in a network."""

    def __init__(self, seen: Seen, images: int) -> None:
        self._seen = seen
        self._images = images
        # One call each, or a layer would activate what somebody takes as it is.
        alone = {
            gelu: linear
            for gelu, linear in ((gelu, each()) for gelu, each in seen.activated.items())
            if gelu not in seen.otherwise and linear is not None and linear not in seen.repeated
        }
        self._activations, self._activated = WeakSet(alone), WeakSet(alone.values())
        self._made: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()

    def of(self, module: nn.Module) -> nn.Module | None:
        """None where it stays."""
        if module not in self._made:
            found = self._convolution(module) if type(module) is nn.Conv2d else self._layer(module)
            if found is None:
                return None
            self._made[module] = found
        return self._made[module]

    def _layer(self, module: nn.Module) -> nn.Module | None:
        seen = self._seen
        if module in seen.otherwise:
            return None
        if type(module) is nn.Linear and module in seen.rows:
            rows = self._images * seen.rows[module] // seen.images
            return PackedLinear(module.weight, module.bias, rows=rows, gelu=module in self._activated)
        if module in self._activations:
            return nn.Identity()  # the layer before it sees to it
        if type(module) is nn.MultiheadAttention and module in seen.attention and PackedAttention.serves(module):
            queries, tokens = seen.attention[module]
            return PackedAttention(module, images=self._images, queries=queries, tokens=tokens)
        return SelfAttention(module) if SelfAttention.serves(module) else None

    def _convolution(self, module: nn.Conv2d) -> nn.Module | None:
        if module not in self._seen.positions or not _cuts_patches(module):
            return None
        return PackedPatches(module, images=self._images, positions=self._seen.positions[module])


def _cuts_patches(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and are_patches(module)


def _replace(parent: nn.Module, substitutes: Substitutes) -> None:
    """All below `parent`, the innermost first; no layer is held here once it is replaced."""
    for name in list(parent._modules):  # `named_children` tells of a layer's first name alone
        child = parent._modules[name]
        # torch's own layers multiply by their parts' weights themselves, on a fast path of theirs.
        if child is None or isinstance(child, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
            continue
        _replace(child, substitutes)
        found = substitutes.of(child)
        if found is not None:
            setattr(parent, name, found)
        del child
