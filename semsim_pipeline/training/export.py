"""From a trained network to the file that is shipped: normalisation folded into the convolutions, in float16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write

if TYPE_CHECKING:
    import torch
    from torch import nn


def folded_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of the same network without normalisation layers, float32, by the names that `build_mini` gives.

    A convolution and the normalisation behind it, y = (w·x - mean) / √(var + ε) + shift, become one convolution with
    a bias; the last normalisation becomes `scale` and `shift`. The pooling between the two takes a maximum, which a
    positive factor leaves where it is.
    """
    from torch import nn

    state: dict[str, torch.Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential) and len(module) and isinstance(module[0], nn.Conv2d):
            norm = next(layer for layer in module if isinstance(layer, nn.BatchNorm2d))
            scale, shift = _affine(norm)
            state[f"{name}.0.weight"] = module[0].weight.detach() * scale.view(-1, 1, 1, 1)
            state[f"{name}.0.bias"] = shift
        elif isinstance(module, nn.BatchNorm1d):
            state[f"{name}.scale"], state[f"{name}.shift"] = _affine(module)
    return state


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """What a normalisation does in eval mode: a factor and a shift for each channel, float32 [channels]."""
    import torch

    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a normalisation without running statistics cannot be folded")
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.double() * scale
    if norm.affine:
        shift = shift + norm.bias.detach().double()
    return scale.to(torch.float32), shift.to(torch.float32)


def write_weights(path: Path, state: dict[str, torch.Tensor], about: dict[str, str]) -> None:
    """Safetensors in float16, written whole or not at all. about: goes into the file's header. Raises StoreError."""
    import torch
    from safetensors.torch import save

    # One entry: the library writes several in an order of its own, and equal weights would be different files.
    header = {"semsim": json.dumps(about, sort_keys=True)}
    content = save({name: value.to(torch.float16).contiguous() for name, value in state.items()}, metadata=header)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(cannot_write(path, error)) from error
