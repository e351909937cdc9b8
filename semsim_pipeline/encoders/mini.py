"""The embedded default: a small network of our own that ships with the package, trained on CIFAR-10's photographs.

`mini` needs no network and no download. What it was trained on, how, and what it is no good for: docs/mini.md.
`mini:PATH` is a copy of one's own, as `python -m semsim_pipeline.training.mini` writes it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.encoders.bare_init import bare_parameters
from semsim_pipeline.encoders.base import ENCODERS, EncoderFacts, EncoderKind
from semsim_pipeline.encoders.checkpoint import fit, read_state_dict
from semsim_pipeline.encoders.mini_network import DIM, MEAN, SIDE, STD, build_mini
from semsim_pipeline.encoders.network import (
    ANY_PRECISION,
    NetworkEncoder,
    Recipe,
    absolute_checkpoint,
    facts_of,
    local_weights,
)
from semsim_pipeline.encoders.preprocess import ResizeSpec
from semsim_pipeline.encoders.weights import PackagedWeights, Weights
from semsim_pipeline.errors import WrongCallError

if TYPE_CHECKING:
    import torch

NAME, PREFIX = "mini", "mini:"
EXAMPLE = "mini:runs/mini/mini.safetensors"
ARCH = "mini-1"
"""Raised with every change of the network that changes a number."""
WEIGHTS = Path(__file__).parent / "networks" / "mini.safetensors"
RECIPE = Recipe(
    family="mini",
    library="torch",
    arch=ARCH,
    # The whole image, as CIFAR-10's own were made: a centre crop would lose what stands at the sides.
    resize=ResizeSpec(crop=(SIDE, SIDE), scale=(SIDE, SIDE), fit="squash", interpolation="bicubic"),
    mean=MEAN,
    std=STD,
    pooling="mean over 4x4 positions, each column centred and scaled over the training images",
    dim=DIM,
    channels_last=True,
)
ABOUT = {
    "licence": "Apache-2.0 (this package); trained on CIFAR-10's images, which state no licence",
    "source": "trained by semsim_pipeline.training.mini (docs/mini.md)",
}
BATCH = 64
"""Images a call: activations are small here, and a call of 16 costs a fifth more an image."""


def build_folded(recipe: Recipe, path: Path) -> torch.nn.Module:
    """The network with its normalisation folded in, and the weights of `path`, float32. Raises UnusableWeightsError."""
    state = read_state_dict(path)
    with bare_parameters():
        module = build_mini(folded=True)
    fit(module, state, path=path, arch=recipe.arch)
    return module


def _encoder(name: str, weights: Weights, about: dict[str, str]) -> NetworkEncoder:
    facts = facts_of(RECIPE, name=name, weights=weights, about=about)
    return NetworkEncoder(name=name, facts=facts, recipe=RECIPE, weights=weights, build=build_folded, batch_size=BATCH)


MINI = _encoder(NAME, PackagedWeights(path=WEIGHTS), ABOUT)


def _resolve(name: str) -> NetworkEncoder:
    return replace(MINI, name=name)


def _resolve_copy(name: str) -> NetworkEncoder:
    """`mini:PATH`. Raises WrongCallError (no path), MissingPathError."""
    text = name.removeprefix(PREFIX)
    if not text:
        raise WrongCallError(f"Cannot read encoder {name!r}: write mini:PATH, such as {EXAMPLE!r}.")
    weights = local_weights(absolute_checkpoint(text), name, f"the packaged network is called {NAME!r}")
    about = {"licence": "that of the checkpoint", "source": ABOUT["source"]}
    return _encoder(name, weights, about)


ENCODERS.add(NAME, EncoderKind(name=NAME, facts=MINI.facts, example=NAME, resolve=_resolve))
ENCODERS.add(
    PREFIX,
    EncoderKind(
        name=PREFIX,
        facts=EncoderFacts(
            name=PREFIX,
            family="mini",
            dim=DIM,
            input_size=SIDE,
            preprocessing=MINI.facts.preprocessing,
            pooling=RECIPE.pooling,
            precision=ANY_PRECISION,
            weights="PATH of a copy of one's own",
            licence="that of the checkpoint",
            source=ABOUT["source"],
        ),
        example=EXAMPLE,
        resolve=_resolve_copy,
        only_path=True,
    ),
)
