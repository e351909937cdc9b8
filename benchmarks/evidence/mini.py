"""What `mini` is held against, and images that it has not seen."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.encoders import Embedder, embedder
from benchmarks.evidence.images import Labelled, cifake_named
from semsim_pipeline.datasets.cifake import CLASSES
from semsim_pipeline.datasets.selection import rank
from semsim_pipeline.training import mini
from semsim_pipeline.training.images import SEED, Divided
from semsim_pipeline.training.neighbours import against, leave_one_out

Rows = NDArray[np.float32]
RANDOM, WITHOUT = "mini-random", "mini-without-" + "-".join(mini.UNSEEN)
CALIBRATED = 2_560
"""Images whose statistics the random network's normalisations take, so that it differs by its weights alone."""
PUBLISHED = {
    ("cat", "dog"): 0.827, ("deer", "dog"): 0.78, ("automobile", "truck"): 0.77, ("ship", "bird"): 0.73,
    ("airplane", "automobile"): 0.728,
}  # fmt: skip
"""Mean pairwise cosine of CLIP ViT-B/32 between CIFAR-10's classes, as published."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One encoder's rows of the training images and of the held-out ones."""

    training: Rows
    held_out: Rows


def unseen_by_mini(archive: str | Path) -> Labelled:
    """The held-out REAL images, each class in the order of its rank."""
    return cifake_named(
        archive, "REAL", lambda names, _: sorted(names, key=lambda name: rank(SEED, name))[: mini.HELD_OUT]
    )


def random_copy(divided: Divided, folder: Path) -> Path:
    """The network as it is before training, its normalisations measured on training images."""
    import torch

    from semsim_pipeline.training.export import folded_state, write_weights

    torch.manual_seed(0)
    network = mini.build_network()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            layer.momentum = None  # a plain mean over batches
    network.train()
    images = divided.training.images[:: max(1, len(divided.training) // CALIBRATED)]
    with torch.inference_mode():
        for start in range(0, len(images) - 255, 256):
            pixels = torch.from_numpy(images[start : start + 256]).permute(0, 3, 1, 2).float() / 255
            network(mini.NORMAL(pixels))
    path = folder / "random.safetensors"
    write_weights(path, folded_state(network), {"arch": mini.ARCH})
    return path


def compared(divided: Divided, without: Path | None) -> dict[str, Embedder]:
    """`mini`, `classical`, the random network, and the second copy where there is one."""
    folder = Path(tempfile.mkdtemp(prefix="semsim-mini-"))
    found = {"classical": embedder("classical")}
    copies = {RANDOM: (random_copy(divided, folder), "random (seed 0), never trained")}
    if without is not None:
        copies[WITHOUT] = (without, "trained by the same recipe without " + " and ".join(mini.UNSEEN))
    for name, (path, words) in copies.items():
        found[name] = replace(embedder(f"mini:{path}"), name=name, weights=words)
    found["mini"] = embedder("mini")
    return found


def neighbours(rows: Embedded, divided: Divided) -> dict[str, float]:
    """10-NN accuracy of held-out images: neighbours among the training images, and among the other held-out ones."""
    return {
        "against_training": against(rows.held_out, divided.held_out.classes, rows.training, divided.training.classes),
        "leave_one_out": leave_one_out(rows.held_out, divided.held_out.classes),
    }


def of_unseen(held_out: Rows, classes: NDArray[np.int64]) -> dict[str, Any]:
    """Images of the classes that the second copy never saw: how they separate from all others.

    recall: the share of a class's held-out images whose 10 nearest other held-out images name it. auc: the chance that
    two images of the class are nearer to each other (cosine) than one is to an image of another class; `nearest` is the
    other class for which it is least.
    """
    from sklearn.metrics import roc_auc_score

    from semsim_pipeline.training.neighbours import labels_by_neighbours

    unit = held_out / np.linalg.norm(held_out, axis=1, keepdims=True)
    named = labels_by_neighbours(held_out, classes)
    out: dict[str, Any] = {}
    for name in mini.UNSEEN:
        number = CLASSES.index(name)
        mine = np.flatnonzero(classes == number)
        half, rest = mine[: len(mine) // 2], mine[len(mine) // 2 :]
        same = (unit[half] @ unit[rest].T).ravel()
        by_class: dict[str, float] = {}
        every: list[NDArray[np.float32]] = []
        for other, label in enumerate(CLASSES):
            if other != number:
                across = (unit[half] @ unit[classes == other].T).ravel()[::2]
                every.append(across)
                truth = np.r_[np.ones(len(same)), np.zeros(len(across))]
                by_class[label] = float(roc_auc_score(truth, np.r_[same, across]))
        across = np.concatenate(every)
        truth = np.r_[np.ones(len(same)), np.zeros(len(across))]
        nearest = min(by_class, key=lambda label: by_class[label])
        out[name] = {
            "recall": float((named[mine] == number).mean()),
            "auc": float(roc_auc_score(truth, np.r_[same, across])),
            "nearest": nearest,
            "auc_of_nearest": by_class[nearest],
        }
    return out
