"""Training `mini`, in one command; a run that was stopped goes on where the same command is given again.

python -m semsim_pipeline.training.mini cifake-train.zip --out runs/mini
python -m semsim_pipeline.training.mini cifake-train.zip --out runs/without --without cat,truck
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semsim_pipeline.datasets import cifake
from semsim_pipeline.encoders.mini import ARCH
from semsim_pipeline.encoders.mini_network import MEAN, STD, build_mini
from semsim_pipeline.errors import SemsimError, UnknownNameError, WrongCallError, did_you_mean
from semsim_pipeline.fingerprint import digest_of, digest_of_file
from semsim_pipeline.json_file import write_json
from semsim_pipeline.training.export import folded_state, write_weights
from semsim_pipeline.training.images import Divided, Pictures, divide
from semsim_pipeline.training.recipe import Augmentation, Recipe
from semsim_pipeline.training.train import WATCHED, Material, Normal, Trained, train

if TYPE_CHECKING:
    from torch import nn

HELD_OUT = 1000
"""Of each class: those that `[label=REAL,class=…,limit=1000]` selects."""
UNSEEN = ("cat", "truck")
"""Classes that the second copy never sees: an animal and a machine, each with a near relative that it does see (dog,
automobile), so that telling them apart is the hard case."""
RECIPES = (
    Recipe(
        epochs=24,
        small_epochs=9,
        peak_rate=0.1,
        warm_up=0.15,
        augmentation=Augmentation(scale=(0.75, 1.1), jitter=0.2, cutout=0.25),
    ),
    # Gentler in rate and variation: the first cycle leaves even its own images underfitted.
    Recipe(
        epochs=12,
        small_epochs=0,
        peak_rate=0.05,
        warm_up=0.1,
        seed=1,
        augmentation=Augmentation(scale=(0.85, 1.1), jitter=0.15, grey=0.02, blur=0.02, coarse=0.02, cutout=0.2),
    ),
)
"""One after the other, each from the averaged weights of the one before: cycles of the learning rate."""
NORMAL = Normal(mean=MEAN, std=STD)
WEIGHTS, REPORT, CHECKPOINT = "mini.safetensors", "training.json", "checkpoint-{}.pt"


def real_images(archive: str, held_out: int = HELD_OUT) -> Divided:
    """The REAL half of CIFAKE's training split, divided. archive: its zip or folder. Raises as `divide`."""
    source = cifake.build(archive, {"split": "train"})
    return divide(source, classes=cifake.CLASSES, where={"label": "REAL"}, held_out=held_out)


def build_network() -> nn.Module:
    """The network as it is trained."""
    return build_mini(folded=False)


def train_mini(
    divided: Divided, out: Path, *, without: Sequence[str] = (), recipes: Sequence[Recipe] = RECIPES
) -> Path:
    """Train, and write the weights and the report of the training under `out`; the path of the weights.

    without: classes that are left out of the training. Raises UnknownNameError, WrongCallError (a checkpoint of
    another training under `out`), StoreError.
    """
    training, held_out = (_seen(pictures, without) for pictures in (divided.training, divided.held_out))
    watched = held_out.take(np.linspace(0, len(held_out) - 1, min(WATCHED, len(held_out))).astype(np.intp))
    material = Material(training=training, watched=watched, normal=NORMAL)
    trained: Trained | None = None
    for number, recipe in enumerate(recipes):
        trained = train(
            build_network,
            recipe,
            material,
            checkpoint=out / CHECKPOINT.format(number),
            after=trained,
        )
    if trained is None:
        raise WrongCallError("A training needs a recipe; none was given.")
    path = out / WEIGHTS
    digest = digest_of([recipe.digest() for recipe in recipes])
    about = {"arch": ARCH, "recipes": digest, "images": training.digest()}
    write_weights(path, folded_state(trained.network), about)
    report = {
        "arch": ARCH,
        "weights_sha256": digest_of_file(path),
        "weights_bytes": path.stat().st_size,
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "recipes": [recipe.plain() for recipe in recipes],
        "recipes_digest": digest,
        "images": {
            "training": len(training),
            "training_digest": training.digest(),
            "held_out": len(held_out),
            "held_out_digest": held_out.digest(),
            "copies_left_out": divided.copies,
            "twins_left_out": divided.twins,
            "without": list(without),
        },
        "watched": len(watched),
        "curves": [asdict(row) for row in trained.curves],
        "torch": version("torch"),
    }
    write_json(out / REPORT, report, sort_keys=True)
    return path


def _seen(pictures: Pictures, without: Sequence[str]) -> Pictures:
    for name in without:
        if name not in cifake.CLASSES:
            raise UnknownNameError(did_you_mean("class", name, cifake.CLASSES))
    numbers = tuple(cifake.CLASSES.index(name) for name in without)
    return pictures.without(numbers) if numbers else pictures


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code is that of the error, and an error is one line."""
    parser = argparse.ArgumentParser(
        prog="python -m semsim_pipeline.training.mini",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("archive", help="CIFAKE's training split, a zip or a folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights, the report and the checkpoint")
    parser.add_argument("--without", default="", metavar="CLASS,…", help="classes that are never seen")
    parser.add_argument("--cycles", type=int, default=len(RECIPES), help=f"of the recipe's {len(RECIPES)} [all]")
    parser.add_argument("--threads", type=int, default=1, help="of torch; the weights depend on it by rounding [1]")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    import torch

    torch.set_num_threads(max(1, chosen.threads))
    try:
        without = tuple(name for name in chosen.without.split(",") if name)
        path = train_mini(
            real_images(chosen.archive), chosen.out, without=without, recipes=RECIPES[: max(1, chosen.cycles)]
        )
    except SemsimError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
