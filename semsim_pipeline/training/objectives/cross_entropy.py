"""Classification by a linear layer on the embedding, with a part of each label spread over all classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semsim_pipeline.training.objectives.base import OBJECTIVES, Objective

if TYPE_CHECKING:
    import torch
    from torch import nn

NAME = "cross_entropy"
SMOOTHING = 0.1
"""The share of a label that is spread over all classes: without it, embeddings of one class are drawn to one point."""


def build(dim: int, classes: int) -> nn.Module:
    """The classifier and its loss; the classifier is its `linear`."""
    from torch import nn
    from torch.nn.functional import cross_entropy

    class CrossEntropy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(dim, classes)

        def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return cross_entropy(self.linear(embeddings), labels, label_smoothing=SMOOTHING)

    return CrossEntropy()


OBJECTIVES.add(NAME, Objective(name=NAME, source="label smoothing: Szegedy et al. 2016", build=build))
