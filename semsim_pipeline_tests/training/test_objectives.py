from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from semsim_pipeline.errors import UnknownNameError
from semsim_pipeline.training.objectives.base import OBJECTIVES, weighted
from semsim_pipeline.training.objectives.supervised_contrastive import supervised_contrastive


def plainly(rows: np.ndarray, labels: list[int], temperature: float) -> float:
    """Khosla's equation 2 in loops."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    losses = []
    for i in range(len(unit)):
        others = [k for k in range(len(unit)) if k != i]
        below = sum(math.exp(unit[i] @ unit[k] / temperature) for k in others)
        positives = [k for k in others if labels[k] == labels[i]]
        if positives:
            shares = [math.log(math.exp(unit[i] @ unit[p] / temperature) / below) for p in positives]
            losses.append(-sum(shares) / len(positives))
    return sum(losses) / len(losses)


def test_the_supervised_contrastive_loss_is_the_papers() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 5))
    labels = [0, 0, 0, 1, 1, 2, 2, 2, 3]  # the last has no positive and does not count
    found = supervised_contrastive(torch.from_numpy(rows), torch.tensor(labels), 0.2)
    assert float(found) == pytest.approx(plainly(rows, labels, 0.2), abs=1e-12)


def test_without_a_positive_the_loss_is_zero_and_has_a_gradient() -> None:
    rows = torch.randn(4, 3, requires_grad=True)
    loss = supervised_contrastive(rows, torch.arange(4), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert rows.grad is not None
    assert not rows.grad.any()


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_every_objective_falls_when_it_is_minimised(name: str) -> None:
    torch.manual_seed(0)
    labels = torch.arange(24) % 3
    embeddings = torch.nn.Parameter(torch.randn(24, 8))
    objective = OBJECTIVES.get(name).build(8, 3)
    optimiser = torch.optim.Adam([embeddings, *objective.parameters()], lr=0.05)
    losses = []
    for _ in range(60):
        loss = objective(embeddings, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_weights_add_up_and_a_wrong_name_is_one_line() -> None:
    torch.manual_seed(0)
    both = weighted({"cross_entropy": 2.0, "supervised_contrastive": 0.5}, dim=6, classes=2)
    rows, labels = torch.randn(8, 6), torch.arange(8) % 2
    with torch.no_grad():
        parts = {name: float(part(rows, labels)) for name, part in both.parts.items()}
        found = float(both(rows, labels))
    expected = 2 * parts["cross_entropy"] + 0.5 * parts["supervised_contrastive"]
    assert found == pytest.approx(expected, rel=1e-6)
    with pytest.raises(UnknownNameError, match="Did you mean 'cross_entropy'"):
        weighted({"cross_entropi": 1.0}, dim=6, classes=2)
