"""Images of one class near each other, of others far: every other image of its class in the batch is a positive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semsim_pipeline.training.objectives.base import OBJECTIVES, Objective

if TYPE_CHECKING:
    import torch
    from torch import nn

NAME = "supervised_contrastive"
TEMPERATURE = 0.1
PROJECTED = 64
"""Columns of the projection on which the loss is taken, so that the embedding keeps what the loss would throw away."""


def supervised_contrastive(embeddings: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """The mean over images that have a positive of -mean over positives of log softmax of cosine / temperature.

    embeddings: [b, d], normalised here. The sum over positives is outside the logarithm (the paper's L_out). One view
    an image: positives are other images of the class. Zero where no image has a positive.
    Memory: b·b·4 bytes, a few times.   Source: Khosla et al. 2020, equation 2.
    """
    import torch
    from torch.nn.functional import normalize

    rows = normalize(embeddings, dim=1)
    logits = rows @ rows.T / temperature
    oneself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    logits = logits.masked_fill(oneself, float("-inf"))
    log_share = logits - logits.logsumexp(dim=1, keepdim=True)
    positive = (labels[:, None] == labels[None, :]) & ~oneself
    count = positive.sum(dim=1)
    has = count > 0
    if not bool(has.any()):
        return embeddings.sum() * 0.0
    each = -log_share.masked_fill(~positive, 0.0).sum(dim=1)[has] / count[has]
    return each.mean()


def build(dim: int, classes: int) -> nn.Module:  # noqa: ARG001 - as every objective is called
    """The projection and the loss on it; `classes` plays no part."""
    from torch import nn

    class SupervisedContrastive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, PROJECTED))

        def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return supervised_contrastive(self.project(embeddings), labels, TEMPERATURE)

    return SupervisedContrastive()


OBJECTIVES.add(NAME, Objective(name=NAME, source="Khosla et al. 2020, arXiv:2004.11362", build=build))
