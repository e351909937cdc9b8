"""What the torch families share: a recipe (what changes the numbers, beside the weights) and the encoder made of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from semsim_pipeline.encoders.base import Concurrency, Encoder, EncoderFacts, LoadedEncoder
from semsim_pipeline.encoders.device_batches import room_on_device
from semsim_pipeline.encoders.libraries import library_of
from semsim_pipeline.encoders.precision import Precision
from semsim_pipeline.encoders.preprocess import ResizeSpec
from semsim_pipeline.encoders.weights import LocalWeights, Weights
from semsim_pipeline.errors import MissingPathError, WrongCallError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.progress import Progress

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

REVISION = 1
"""Raised with every change of this package's own code that changes a network's numbers."""
PRECISION: Precision = "float32"
ANY_PRECISION = f"{PRECISION}; bfloat16 with +bf16 after the name"
"""What a family states, whose encoders are each one or the other."""

POOLED = "pooled features before the classifier (num_classes=0)"
CLASS_TOKEN = "class token after the last norm (timm's num_classes=0)"  # noqa: S105 - a transformer's token, no secret

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an image becomes a row, apart from the weights.

    family: `open_clip`, `timm` or `torch_fidelity`. library: the distribution that builds the network. arch: its name
    there. mean, std: RGB, of pixels in 0..1. dim: d, None where only building the network tells. quick_gelu: OpenAI's
    activation x·sigmoid(1.702x). channels_last: how convolutions run fastest; it changes rounding only, so it is no
    part of the identity. precision: of weights and activations; rows are float32 whatever it is. config: JSON that
    describes an architecture that is not one of the library's own.
    """

    family: str
    library: str
    arch: str
    resize: ResizeSpec
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pooling: str
    dim: int | None
    quick_gelu: bool = False
    channels_last: bool = False
    precision: Precision = PRECISION
    config: str = ""


class RearrangedWrongly(Exception):  # noqa: N818 - told apart by the loader, never shown to a person
    """A network that was rearranged does not compute what it did; it cannot be put back, and is to be built anew."""


class BuildNetwork(Protocol):
    """A module-level function (so that an encoder can be pickled): the image tower of `recipe.arch` with the weights
    of `path`. Raises UnusableWeightsError.
    """

    def __call__(self, recipe: Recipe, path: Path) -> torch.nn.Module: ...


class RunNetwork(Protocol):
    """A module-level function: the network of `build` as a `LoadedEncoder`, for a family with a pipeline of its own."""

    def __call__(self, module: torch.nn.Module, recipe: Recipe) -> LoadedEncoder: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEncoder:
    """An `Encoder` that runs a network. batch_size 8: larger batches gain nothing on a CPU and cost memory.

    Measured on two Zen 5 cores, one thread an encoder, at 8 and 16, in images a second: ViT-B/32 45 and 45, ViT-B/16
    10.8 and 10.0, Swin-T 35 and 31, MobileCLIP2-S0 27 and 22. Each thread holds the activations of its own batch.

    run: in place of the usual runtime. one_precision: why no other precision than the recipe's makes sense, "" where
    one does.
    """

    name: str
    facts: EncoderFacts
    recipe: Recipe
    weights: Weights
    build: BuildNetwork
    concurrency: Concurrency = "threads"
    batch_size: int = 8
    run: RunNetwork | None = None
    one_precision: str = ""

    def fingerprint(self) -> str:
        """As the protocol says; never starts a download and never imports torch."""
        with library_of(self.name):
            version(self.recipe.library)  # before the weights: what is to be installed comes first
        return self._identity(self.weights.digest(self.name))

    def load(self) -> LoadedEncoder:
        """As the protocol says; asks the hub once where the weights are not on this machine and it is not forbidden.

        Raises UnusableWeightsError too: another architecture's file, or weights that do not bear bfloat16;
        MissingLibraryError; WorkError where the device has no room for it.
        """
        recipe = self.recipe
        with library_of(self.name):
            version(recipe.library)
            path = self.weights.fetch(self.name)
            with room_on_device(self.name):
                runtime = self._run(path)
        if recipe.dim is not None and runtime.dim != recipe.dim:
            raise RuntimeError(f"{recipe.arch} gave {runtime.dim} columns where its recipe says {recipe.dim}")
        return runtime

    def _run(self, path: Path) -> LoadedEncoder:
        if self.run is not None:
            return self.run(self.build(self.recipe, path), self.recipe)
        from semsim_pipeline.encoders.torch_runtime import NetworkRuntime

        run = partial(NetworkRuntime, recipe=self.recipe, name=self.name, batch_size=self.batch_size)
        try:
            return run(self.build(self.recipe, path))
        except RearrangedWrongly as error:
            logger.warning("Encoder %r runs as its library built it, which is slower: %s", self.name, str(error))
        return run(self.build(self.recipe, path), rearranged=False)

    def _identity(self, digest: str) -> str:
        recipe = self.recipe
        return digest_of(
            {
                **({"config": recipe.config} if recipe.config else {}),
                "family": recipe.family,
                "arch": recipe.arch,
                "weights": digest,
                "resize": recipe.resize.plain(),
                "least_side": recipe.resize.least_side,  # large photos are decoded small
                "mean": recipe.mean,
                "std": recipe.std,
                "pooling": recipe.pooling,
                "quick_gelu": recipe.quick_gelu,
                "precision": recipe.precision,
                "revision": REVISION,
                # The major version alone: the networks are covered by the weights, and a minor release every month
                # would throw every embedding away.
                recipe.library: version(recipe.library).split(".")[0],
                # Pillow resizes for every recipe, and has changed its resampling between minor releases.
                "pillow": ".".join(version("pillow").split(".")[:2]),
            }
        )


def facts_of(recipe: Recipe, *, name: str, weights: Weights, about: Mapping[str, str]) -> EncoderFacts:
    """The facts that follow from a recipe. about: `licence` and `source`, which only a person knows."""
    return EncoderFacts(
        name=name,
        family=recipe.family,
        dim=recipe.dim,
        input_size=recipe.resize.crop[0],
        preprocessing=f"{recipe.resize.in_words()}, mean {recipe.mean}, std {recipe.std}",
        pooling=recipe.pooling,
        precision=recipe.precision,
        weights=weights.in_words(),
        licence=about["licence"],
        source=about["source"],
    )


def at_precision(encoder: Encoder, precision: Precision, *, name: str) -> NetworkEncoder:
    """The same network at another precision, called `name`. Raises WrongCallError for an encoder without a network."""
    if not isinstance(encoder, NetworkEncoder):
        raise WrongCallError(
            f"Encoder {name!r}: {encoder.name!r} is computed, not a network, and has one precision; "
            f"write {encoder.name!r}. A network takes it, such as 'clip-vit-b-32+bf16'."
        )
    if encoder.one_precision and precision != encoder.recipe.precision:
        raise WrongCallError(f"Encoder {name!r}: {encoder.one_precision}; write {encoder.name!r}.")
    return replace(
        encoder,
        name=name,
        recipe=replace(encoder.recipe, precision=precision),
        facts=replace(encoder.facts, name=name, precision=precision),
    )


def at_checkpoint(encoder: Encoder, text: str, *, name: str) -> NetworkEncoder:
    """The same network with the weights of a local checkpoint, called `name`: all else that counts stays its own.

    text: the path as written. Raises WrongCallError (an encoder without weights, no path), MissingPathError.
    """
    if not isinstance(encoder, NetworkEncoder):
        raise WrongCallError(
            f"Encoder {name!r}: {encoder.name!r} is computed and has no weights; write {encoder.name!r}."
        )
    if not text:
        raise WrongCallError(
            f"Cannot read encoder {name!r}: behind the slash comes a checkpoint's path: {spelled(encoder.name)!r}."
        )
    hint = f"an absolute path has two slashes: {spelled(encoder.name)!r}"
    weights = local_weights(absolute_checkpoint(text), name, hint)
    facts = replace(encoder.facts, name=name, weights=weights.in_words(), licence="that of the checkpoint")
    return replace(encoder, name=name, weights=weights, facts=facts)


def spelled(name: str) -> str:
    """How an encoder of this short name is written with a local checkpoint."""
    return f"{name}//path/to/model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A weights file on this machine. size: bytes. revision: its commit, "" where it has none. sha256: in hex."""

    path: Path
    size: int
    revision: str
    sha256: str


def ensure_weights(encoder: Encoder, progress: Progress | None = None) -> Path | None:
    """The encoder's weights file on this machine, fetched where it is not; None for an encoder without weights.

    Call it before work that asks for fingerprints (which never download). Raises MissingWeightsError.
    """
    found = fetched(encoder, progress=progress)
    return None if found is None else found.path


def fetched(encoder: Encoder, *, update: bool = False, progress: Progress | None = None) -> Fetched | None:
    """As `ensure_weights`, with what is known of the file. update: what is published now, whatever was recorded.
    progress: who is told of a download behind a URL, the log where it is None; the hub's library draws its own.

    Raises MissingWeightsError, MissingLibraryError, UnusableWeightsError.
    """
    if not isinstance(encoder, NetworkEncoder):
        return None
    with library_of(encoder.name):
        version(encoder.recipe.library)  # a gigabyte for an encoder that cannot run helps nobody
    weights = encoder.weights
    path = weights.renew(encoder.name, progress) if update else weights.fetch(encoder.name, progress)
    return Fetched(
        path=path, size=path.stat().st_size, revision=weights.revision_of(path), sha256=weights.digest(encoder.name)
    )


def check_weights(encoder: Encoder) -> None:
    """Raises MissingWeightsError where an encoder has weights and they are not on this machine; fetches nothing."""
    if isinstance(encoder, NetworkEncoder):
        encoder.weights.find(encoder.name)


def absolute_checkpoint(text: str) -> Path:
    """A checkpoint's path as written in a spec (`~` and relative allowed), absolute and not required to exist.

    Raises MissingPathError: the home of a user who is not there.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise MissingPathError(f"No checkpoint at {text}: this machine knows no such user's home.") from error


def local_weights(path: Path, name: str, hint: str) -> LocalWeights:
    """The checkpoint that encoder `name` names. hint: how it should have been written.

    Raises MissingPathError where there is no such file.
    """
    if not path.is_file():
        raise MissingPathError(f"No checkpoint at {path} (from encoder {name!r}); {hint}.")
    return LocalWeights(path=path)
