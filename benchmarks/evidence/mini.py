"""What `mini` is held against, and images that it has not seen."""

from __future__ import annotations

import tempfile
from dataclasses import replace
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
from semsim_pipeline.training.neighbours import labels_by_neighbours

Rows = NDArray[np.float32]
RANDOM, WITHOUT = "mini-random", "mini-without-" + "-".join(mini.UNSEEN)
BETWEEN = 300
"""Images of each class whose cosines the AUCs are of."""
CALIBRATED = 2_560
"""Images whose statistics the random network's normalisations take, so that it differs by its weights alone."""
PUBLISHED = {
    ("cat", "dog"): 0.827, ("deer", "dog"): 0.78, ("automobile", "truck"): 0.77, ("ship", "bird"): 0.73,
    ("airplane", "automobile"): 0.728,
}  # fmt: skip
"""Mean pairwise cosine of CLIP ViT-B/32 between CIFAR-10's classes, as published."""


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
        copies[WITHOUT] = (without, "the first cycle of the same recipe, without " + " and ".join(mini.UNSEEN))
    for name, (path, words) in copies.items():
        found[name] = replace(embedder(f"mini:{path}"), name=name, weights=words)
    found["mini"] = embedder("mini")
    return found


def of_unseen(held_out: Rows, classes: NDArray[np.int64]) -> dict[str, Any]:
    """Images of the classes that the second copy never saw: how they separate from all others.

    recall: the share of a class's held-out images whose 10 nearest other held-out images name it. auc: the chance that
    two images of the class are nearer to each other (cosine) than one is to an image of another class, the mean over
    the nine other classes; `nearest` is the one for which it is least.
    """
    unit = held_out / np.linalg.norm(held_out, axis=1, keepdims=True)
    named = labels_by_neighbours(held_out, classes)
    rows = [np.flatnonzero(classes == number) for number in range(len(CLASSES))]
    out: dict[str, Any] = {}
    for name in mini.UNSEEN:
        number = CLASSES.index(name)
        mine = unit[rows[number][:BETWEEN]]
        same = (mine @ mine.T)[np.triu_indices(len(mine), 1)]
        across = {label: (mine @ unit[rows[k][:BETWEEN]].T).ravel() for k, label in enumerate(CLASSES) if k != number}
        auc = {label: _auc(same, values) for label, values in across.items()}
        nearest = min(auc, key=lambda label: auc[label])
        out[name] = {
            "recall": float((named[rows[number]] == number).mean()),
            "auc": float(np.mean(list(auc.values()))),
            "nearest": nearest,
            "auc_of_nearest": auc[nearest],
        }
    return out


def _auc(same: NDArray[np.float32], across: NDArray[np.float32]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.r_[np.ones(len(same)), np.zeros(len(across))], np.r_[same, across]))
