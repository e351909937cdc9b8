"""The loop: a network and its objective over images in memory, averaged weights, a checkpoint after every epoch.

A run that was killed goes on from its last whole epoch to the same weights: every draw depends on the recipe's seed
and the epoch alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.seeding import generator
from semsim_pipeline.training.augment import augment
from semsim_pipeline.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from semsim_pipeline.training.images import Pictures, batches
from semsim_pipeline.training.neighbours import leave_one_out
from semsim_pipeline.training.objectives.base import weighted
from semsim_pipeline.training.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger(__name__)

WATCHED = 2000
"""Held-out images that are looked at after every epoch; nothing is chosen by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One row of the curves. accuracy: of the averaged network on held-out images, 10-NN among themselves."""

    epoch: int
    side: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Normal:
    """RGB mean and deviation of pixels in 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """training; watched: held-out images of the same classes, looked at after every epoch. normal: of the pixels."""

    training: Pictures
    watched: Pictures
    normal: Normal


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """network: the averaged one, in eval mode. objective: what it learned beside it. curves: an entry per epoch.
    identity: of the recipes and the images that led here.
    """

    network: nn.Module
    objective: nn.Module
    identity: str
    curves: tuple[Epoch, ...]


def train(
    build: Callable[[], nn.Module],
    recipe: Recipe,
    material: Material,
    *,
    checkpoint: Path | None = None,
    after: Trained | None = None,
) -> Trained:
    """Train what `build` makes. Deterministic by recipe, images and number of threads, to the bit on one machine.

    build: a network from float32 [b, 3, s, s] to [b, d], drawn from torch's global generator (which is seeded here and
    put back). checkpoint: a file to go on from, where it belongs to this
    recipe and these images, and to write. after: the training whose averaged weights this one begins with (a second
    cycle of the learning rate), with the same objectives; its curves come first.
    Raises WrongCallError: the checkpoint is of another training.
    Memory: the images once, the network four times, one batch's activations.
    """
    import torch

    training, watched, normal = material.training, material.watched, material.normal
    classes = int(training.classes.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build().to(memory_format=torch.channels_last)
        average = build()
        dim = _dim(network, recipe.side)
        objective = weighted(dict(recipe.objectives), dim=dim, classes=classes)
    if after is not None:
        network.load_state_dict(after.network.state_dict())
        objective.load_state_dict(after.objective.state_dict())
    average.load_state_dict(network.state_dict())
    run = _Run(network, average, objective, recipe, normal)
    identity = f"{recipe.digest()}:{after.identity if after is not None else training.digest()}"
    curves = run.restore(checkpoint, identity)
    for epoch in range(len(curves), recipe.epochs):
        started = time.monotonic()
        loss = run.epoch(epoch, training)
        accuracy = leave_one_out(embed(average, watched.images, normal), watched.classes)
        curves.append(
            Epoch(
                epoch=epoch,
                side=recipe.side_at(epoch),
                loss=loss,
                accuracy=accuracy,
                seconds=time.monotonic() - started,
            )
        )
        logger.info("epoch %d of %d: %s", epoch + 1, recipe.epochs, curves[-1])
        if checkpoint is not None:
            write_checkpoint(checkpoint, run.checkpoint(identity, curves))
    before = after.curves if after is not None else ()
    return Trained(
        network=average.eval(), objective=objective, identity=identity, curves=(*before, *_after(before, curves))
    )


def _after(before: tuple[Epoch, ...], curves: list[Epoch]) -> list[Epoch]:
    """The epochs numbered on from those before."""
    return [replace(row, epoch=len(before) + row.epoch) for row in curves]


def embed(network: nn.Module, images: NDArray[np.uint8], normal: Normal, size: int = 250) -> NDArray[np.float32]:
    """uint8 [n, h, w, 3] through the network in eval mode: float32 [n, d]."""
    import torch

    was = network.training
    network.eval()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(images), size):
            pixels = torch.from_numpy(images[start : start + size]).permute(0, 3, 1, 2).to(torch.float32) / 255.0
            rows.append(network(normal(pixels).contiguous(memory_format=torch.channels_last)).numpy().copy())
    network.train(was)
    return np.concatenate(rows)


class _Run:
    """What changes while a training goes on."""

    def __init__(
        self, network: nn.Module, average: nn.Module, objective: nn.Module, recipe: Recipe, normal: Normal
    ) -> None:
        import torch

        self._network, self._average, self._objective = network, average, objective
        self._recipe, self._normal = recipe, normal
        learned = [p for module in (network, objective) for p in module.parameters() if p.requires_grad]
        self._optimiser = torch.optim.SGD(
            [
                {"params": [p for p in learned if p.ndim > 1], "weight_decay": recipe.decay},
                {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=recipe.peak_rate,
            momentum=recipe.momentum,
            nesterov=True,
        )

    def epoch(self, epoch: int, training: Pictures) -> float:
        """One pass; the mean loss."""
        import torch

        recipe = self._recipe
        order = generator(recipe.seed, "training", "order", epoch).permutation(len(training))
        drawn = generator(recipe.seed, "training", "augmentation", epoch).integers(1 << 62)
        random = torch.Generator().manual_seed(int(drawn))
        size = min(recipe.batch, len(training))
        each = len(training) // size
        images, classes = torch.from_numpy(training.images), torch.from_numpy(training.classes)
        self._network.train()
        total = 0.0
        for number, rows in enumerate(batches(len(training), size, order)):
            for group in self._optimiser.param_groups:
                group["lr"] = recipe.rate_at(epoch * each + number, recipe.epochs * each)
            chosen = torch.from_numpy(rows)
            pixels = augment(images[chosen], recipe.side_at(epoch), recipe.augmentation, random)
            loss = self._objective(self._network(self._normal(pixels)), classes[chosen])
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._optimiser.step()
            self._averaged(epoch * each + number)
            total += float(loss.detach())
        return total / each

    def _averaged(self, step: int) -> None:
        """The average follows the weights, and the statistics of the normalisation with them; faster at the start."""
        import torch

        keep = min(self._recipe.average, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            for mine, new in zip(self._average.state_dict().values(), self._network.state_dict().values(), strict=True):
                if mine.dtype.is_floating_point:
                    mine.lerp_(new, 1.0 - keep)
                else:
                    mine.copy_(new)

    def checkpoint(self, identity: str, curves: list[Epoch]) -> Checkpoint:
        return Checkpoint(
            identity=identity,
            curves=[asdict(row) for row in curves],
            network=self._network.state_dict(),
            average=self._average.state_dict(),
            objective=self._objective.state_dict(),
            optimiser=self._optimiser.state_dict(),
        )

    def restore(self, path: Path | None, identity: str) -> list[Epoch]:
        """The epochs that are done; none where there is no checkpoint."""
        if path is None or not path.exists():
            return []
        found = read_checkpoint(path, identity)
        self._network.load_state_dict(found.network)
        self._average.load_state_dict(found.average)
        self._objective.load_state_dict(found.objective)
        self._optimiser.load_state_dict(found.optimiser)
        return [Epoch(**row) for row in found.curves]


def _dim(network: nn.Module, side: int) -> int:
    import torch

    network.eval()
    with torch.inference_mode():
        return int(network(torch.zeros(1, 3, side, side)).shape[1])
