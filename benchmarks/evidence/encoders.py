"""The encoders that evidence is gathered under: any of the package by name, and two small networks made here.

`conv` learns ten classes from 10,000 REAL images that no pair contains; `conv-random` is the same network untrained.
Both stand for "another encoder"; neither is shipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.evidence.images import Labelled, Pixels, cifake
from semsim_pipeline.records import Background

Rows = NDArray[np.float32]
WIDTH = 96
TRAIN_PER_CLASS = 1_000
"""REAL images 0 to 999 of each class train `conv`; pairs begin at 1,000."""
EPOCHS = 6
BATCH = 64


@dataclass(frozen=True, slots=True)
class Embedder:
    """name; weights: which, in words; embed: RGB uint8 [n, 32, 32, 3] to [n, d]; background: measured on panel-1."""

    name: str
    weights: str
    embed: Callable[[Pixels], Rows]
    background: Background


def embedder(name: str, *, quick: bool = False) -> Embedder:
    """`conv`, `conv-random`, or any encoder of the package (`classical`, `timm:NAME//path`, …)."""
    if name in {"conv", "conv-random"}:
        network, words = _network(name, quick=quick)
        return Embedder(name, words, lambda images: features(network, images), _measured(name, network))
    from semsim_pipeline.comparison.backgrounds import background_for
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.home import semsim_home

    encoder = resolve_encoder(name)
    loaded = encoder.load()

    def embed(images: Pixels) -> Rows:
        step = encoder.batch_size
        return np.concatenate([
            loaded.encode(np.stack([loaded.preprocess(image) for image in images[start : start + step]]))
            for start in range(0, len(images), step)
        ])  # fmt: skip

    return Embedder(name, encoder.facts.weights, embed, background_for(encoder, semsim_home()))


def build(outputs: int) -> Any:
    """Three strided convolutions of 3 × 3, the mean over places (96 wide), one linear layer: 0.1 million weights."""
    from torch import nn

    def block(before: int, after: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]

    layers = [*block(3, 32, 1), nn.MaxPool2d(2), *block(32, 64, 1), nn.MaxPool2d(2), *block(64, WIDTH, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, outputs))


def train(data: Labelled, *, epochs: int, seed: int = 0) -> Any:
    """The network fitted to `data` by Adam with a one-cycle rate; mirrored images half of the time. On one thread."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    classes, targets = np.unique(data.classes, return_inverse=True)
    network = build(len(classes))
    network.classes = classes
    steps = epochs * -(-len(data) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=5e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(data))
        for start in range(0, len(data), BATCH):
            rows = order[start : start + BATCH]
            batch = tensor(data.images[rows])
            flip = torch.from_numpy(rng.random(len(rows)) < 0.5)
            batch = torch.where(flip[:, None, None, None], batch.flip(3), batch)
            loss = torch.nn.functional.cross_entropy(network(batch), torch.from_numpy(targets[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
    return network.eval()


def tensor(images: Pixels) -> Any:
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def features(network: Any, images: Pixels) -> Rows:
    """What stands before the last layer, float32 [n, 96]."""
    return _apply(network[:-1], images)


def predictions(network: Any, images: Pixels) -> NDArray[np.int64]:
    """The class that the network names, int64 [n]."""
    found: NDArray[np.int64] = network.classes[_apply(network, images).argmax(axis=1)]
    return found


def _apply(network: Any, images: Pixels) -> Rows:
    import torch

    torch.set_num_threads(1)
    with torch.inference_mode():
        parts = [network(tensor(images[start : start + 256])).numpy() for start in range(0, len(images), 256)]
    return np.concatenate(parts)


def _network(name: str, *, quick: bool) -> tuple[Any, str]:
    if name == "conv-random":
        import torch

        torch.manual_seed(0)
        return build(10).eval(), "none: random (seed 0), never trained"
    per_class, epochs = (100, 1) if quick else (TRAIN_PER_CLASS, EPOCHS)
    words = f"trained here on {10 * per_class:,} REAL images of ten classes, {epochs} epochs; none of them in a pair"
    return _trained(per_class, epochs), words


@cache
def _trained(per_class: int, epochs: int) -> Any:
    """`conv`, kept in the user's cache so that a script that is run again need not train."""
    import torch
    from platformdirs import user_cache_dir

    file = Path(user_cache_dir("semsim-benchmarks")) / f"conv-{per_class}-{epochs}-{WIDTH}.pt"
    if file.is_file():
        network = build(10).eval()
        network.load_state_dict(torch.load(file, weights_only=True))
        return network
    network = train(cifake(machine.cifake(), "REAL", 0, per_class), epochs=epochs)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    return network


def _measured(name: str, network: Any) -> Background:
    """The background as the package measures it, on panel-1 at 32 × 32."""
    from semsim_pipeline.datasets.panel_1 import Panel
    from semsim_pipeline.encoders.preprocess import ResizeSpec, resize_image
    from semsim_pipeline.metrics.background import measure_background

    resize = ResizeSpec(crop=(32, 32), scale=(32, 32), fit="squash", interpolation="bicubic")
    panel = Panel()
    items = list(panel.items())
    with panel.open() as reader:
        images = np.stack([resize_image(_pixels(reader.read(item)), resize) for item in items])
    rows = features(network, images).astype(np.float64)
    found = measure_background(rows, [item.labels["label"] for item in items], source="panel-1")
    return Background(
        id=f"{name}/panel-1", bandwidth=found.bandwidth, kappa=found.kappa, mean=found.mean, source="panel-1"
    )


def _pixels(content: Any) -> Pixels:
    pixels: Pixels = content
    return pixels
