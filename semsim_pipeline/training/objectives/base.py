"""What a network is trained for: a registered loss over one batch's embeddings, with what it has to learn itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from semsim_pipeline.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn


class BuildObjective(Protocol):
    """Makes a loss: a module from (embeddings float32 [b, d], labels int64 [b] in 0..classes-1) to a scalar, smaller
    where the objective is better met. Its parameters (a classifier, a projection) are trained with the network and
    thrown away after it.
    """

    def __call__(self, dim: int, classes: int) -> nn.Module: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A registered objective. source: the paper."""

    name: str
    source: str
    build: BuildObjective


OBJECTIVES: Registry[Objective] = Registry("objective", "semsim_pipeline.training.objectives")


def weighted(weights: dict[str, float], *, dim: int, classes: int) -> nn.Module:
    """The sum of registered objectives, each times its weight. Raises UnknownNameError."""
    from torch import nn

    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({name: OBJECTIVES.get(name).build(dim, classes) for name in weights})

        def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            total = embeddings.new_zeros(())
            for name, part in self.parts.items():
                total = total + weights[name] * part(embeddings, labels)
            return total

    return Weighted()
