"""Images embedded by the publisher's own code: the repository's own description, its library's builder and transform.

What the short names' tables state (architecture, activation, mean, resampling) is not used, so that a row that differs
from ours tells of a mistake there. Kept from the encoder: the weights file, and where a short name chooses another
size or pooling than timm's default, that choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline import hub
from semsim_pipeline.encoders import openclip_hub
from semsim_pipeline.encoders.base import Encoder
from semsim_pipeline.encoders.libraries import library_of
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.timm import pool_argument, size_argument
from semsim_pipeline.encoders.weights import HubWeights
from semsim_pipeline.errors import MissingWeightsError, UnusableWeightsError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

DESCRIPTIONS = {"open_clip": openclip_hub.CONFIG_NAME, "timm": "config.json"}
"""The file of a repository that its library reads, by an encoder's family."""

Own = tuple["torch.nn.Module", Callable[["torch.Tensor"], "torch.Tensor"], Callable[["Image"], "torch.Tensor"]]
"""A model, how it embeds a batch, and how it prepares an image."""


def has_publisher(encoder: Encoder) -> bool:
    """Whether a repository on the hub describes the encoder, in a form that its library builds."""
    return (
        isinstance(encoder, NetworkEncoder)
        and isinstance(encoder.weights, HubWeights)
        and encoder.recipe.family in DESCRIPTIONS
    )


def publishers_rows(encoder: NetworkEncoder, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """RGB uint8 [h, w, 3] images to float32 [n, d], one by one, in float32, by the publisher's code.

    Only for what `has_publisher`. Weights and description are fetched where they are not here. Memory: the whole
    model, for CLIP with its text tower.
    Raises MissingWeightsError; UnusableWeightsError where the library cannot build what the repository describes;
    MissingLibraryError.
    """
    import torch
    from PIL import Image

    with library_of(encoder.name):
        weights = encoder.weights.fetch(encoder.name)
        folder = _described(encoder, weights)
        build = _open_clip if encoder.recipe.family == "open_clip" else _timm
        try:
            model, embed, prepare = build(encoder, folder)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise UnusableWeightsError(
                f"{encoder.recipe.library} cannot build {encoder.name!r} from what its repository says in {folder}: "
                f"{hub.first_line(error)}."
            ) from error
        model.eval()
        with torch.inference_mode():
            rows = [embed(prepare(Image.fromarray(image))[None]).float().numpy().copy() for image in images]
    return np.concatenate(rows)


def _described(encoder: NetworkEncoder, weights: Path) -> Path:
    """The folder that holds the weights and, of the same commit, the repository's description."""
    held = encoder.weights
    if not isinstance(held, HubWeights):
        raise TypeError(f"{encoder.name!r} has no repository on the hub")
    filename, commit = DESCRIPTIONS[encoder.recipe.family], hub.commit_of(weights)
    if encoder.recipe.family == "open_clip":
        openclip_hub.described(encoder.name, held.repo, commit)  # one that would load other things is refused
    elif hub.cached_file(held.repo, filename, commit) is None:
        if reason := hub.why_not_asked(hub.endpoint()):
            raise MissingWeightsError(_missing(encoder, held, reason))
        try:
            hub.download(held.repo, filename, commit)
        except hub.failures_of_a_download() as error:
            raise MissingWeightsError(_missing(encoder, held, hub.refusal(error, held.repo, commit))) from error
    return weights.parent


def _missing(encoder: NetworkEncoder, held: HubWeights, reason: str) -> str:
    return (
        f"The publisher's description of {encoder.name!r} is missing ({reason}): "
        f"{DESCRIPTIONS[encoder.recipe.family]} of {held.repo} on Hugging Face, which belongs beside the weights in "
        f"{hub.hub_cache()}. Run it on a machine with a network."
    )


def _open_clip(encoder: NetworkEncoder, folder: Path) -> Own:  # noqa: ARG001 - the repository says everything
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model, model.encode_image, transform


def _timm(encoder: NetworkEncoder, folder: Path) -> Own:
    import timm
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform

    recipe = encoder.recipe
    size = size_argument(recipe)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0, **size, **pool_argument(recipe))
    chosen: dict[str, Any] = {"input_size": (3, *recipe.resize.crop)} if size else {}
    config = resolve_model_data_config(model, args=chosen)  # type: ignore[no-untyped-call] # timm has no hints
    return model, model, create_transform(**config, is_training=False)
