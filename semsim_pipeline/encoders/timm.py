"""Image networks of timm (DINOv2, Swin, Inception and any other): the pooled features before the classifier.

This module shadows nothing: `import timm` below is absolute and means the library.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semsim_pipeline.encoders.bare_init import bare_parameters
from semsim_pipeline.encoders.base import ENCODERS, EncoderFacts, EncoderKind
from semsim_pipeline.encoders.checkpoint import SUFFIXES, fit, read_state_dict
from semsim_pipeline.encoders.network import (
    ANY_PRECISION,
    CLASS_TOKEN,
    POOLED,
    NetworkEncoder,
    Recipe,
    absolute_checkpoint,
    facts_of,
    local_weights,
    spelled,
)
from semsim_pipeline.encoders.preprocess import Fit, Interpolation, ResizeSpec, crop_scale
from semsim_pipeline.encoders.timm_names import TABLE, Published
from semsim_pipeline.encoders.timm_records import TimmRecord, record_of
from semsim_pipeline.encoders.weights import HubWeights
from semsim_pipeline.errors import UnusableWeightsError, WrongCallError

if TYPE_CHECKING:
    import torch

LIBRARY = "timm"
PREFIX = "timm:"
EXAMPLE = "timm:convnext_tiny.fb_in22k"
FILENAMES = ("model.safetensors", "pytorch_model.bin")
OTHER_HEADS = ("AuxLogits.", "head.", "head_dist.", "fc.", "classifier.", "last_linear.")
"""What a checkpoint may hold beyond the features: classifiers, which are dropped by name."""


def build_features(recipe: Recipe, path: Path) -> torch.nn.Module:
    """`recipe.arch` without its classifier, with the weights of `path`; position embeddings resampled to the input.

    timm's own loader is not used: with another number of classes it fits what it can and only logs the rest.
    Raises UnusableWeightsError.
    """
    import timm

    state = read_state_dict(path)
    arch = recipe.arch.partition(".")[0]
    with bare_parameters():
        module: torch.nn.Module = timm.create_model(
            recipe.arch, pretrained=False, num_classes=0, **size_argument(recipe), **pool_argument(recipe)
        )
    convert = getattr(
        importlib.import_module(timm.models.model_entrypoint(arch).__module__), "checkpoint_filter_fn", None
    )
    if convert is not None:
        try:
            state = convert(state, module)
        except (KeyError, RuntimeError, AttributeError, ValueError, IndexError, AssertionError) as error:
            raise UnusableWeightsError(
                f"{path} does not hold the weights of timm {recipe.arch}: timm cannot convert it ({error!r})."
            ) from error
    own = module.state_dict()
    features = {key: value for key, value in state.items() if key in own or not key.startswith(OTHER_HEADS)}
    del state  # or the views of the file would stay until the end
    fit(module, features, path=path, arch=f"timm {recipe.arch}")
    return module


def size_argument(recipe: Recipe) -> dict[str, Any]:
    """`img_size` where the recipe departs from the published size; convolutional networks do not take the argument."""
    import timm

    config = timm.get_pretrained_cfg(recipe.arch)
    side = recipe.resize.crop[0]
    return {} if config is None or side == config.input_size[1] else {"img_size": side}


def pool_argument(recipe: Recipe) -> dict[str, Any]:
    """timm's name of the pooling, where the recipe names one: its default averages DINOv3's patches."""
    return {"global_pool": "token"} if recipe.pooling == CLASS_TOKEN else {}


def _recipe(arch: str, record: TimmRecord) -> Recipe:
    """The recipe that timm itself would follow for these weights."""
    _, height, width = record.input_size
    scale = crop_scale(height, record.crop_fraction), crop_scale(width, record.crop_fraction)
    fits: dict[str, Fit] = {"squash": "squash", "border": "contain"}
    fit_mode = fits.get(record.crop_mode, "shortest" if scale[0] == scale[1] else "cover")
    fill = tuple(round(255 * value) for value in record.mean) if record.crop_mode == "border" else (0, 0, 0)
    filters: dict[str, Interpolation] = {"bilinear": "bilinear", "bicubic": "bicubic", "lanczos": "lanczos"}
    if record.interpolation not in filters:
        raise WrongCallError(f"timm resizes for {arch} by {record.interpolation!r}; known here: {', '.join(filters)}.")
    return Recipe(
        family="timm",
        library=LIBRARY,
        arch=arch,
        resize=ResizeSpec(
            crop=(height, width),
            scale=scale,
            fit=fit_mode,
            interpolation=filters[record.interpolation],
            fill=(fill[0], fill[1], fill[2]),
        ),
        mean=record.mean,
        std=record.std,
        pooling=POOLED,
        dim=None,
    )


def _resolve_spec(name: str) -> NetworkEncoder:
    """`timm:NAME` (its published weights) or `timm:NAME/PATH` (an absolute path has two slashes there)."""
    arch, slash, rest = name.removeprefix(PREFIX).partition("/")
    if not arch or (slash and not rest):
        raise WrongCallError(f"Cannot read encoder {name!r}: write timm:NAME or timm:NAME/PATH, such as {EXAMPLE!r}.")
    record = record_of(arch)
    about = {"licence": record.licence or "not stated by timm", "source": f"timm {arch} (Wightman 2019)"}
    recipe = _recipe(arch, record)
    if slash:
        hint = f"an absolute path has two slashes: {spell(arch)!r}, and its name ends in {', '.join(SUFFIXES)}"
        local = local_weights(absolute_checkpoint(rest), name, hint)
        about["licence"] = "that of the checkpoint"
        facts = facts_of(recipe, name=name, weights=local, about=about)
        return NetworkEncoder(name=name, facts=facts, recipe=recipe, weights=local, build=build_features)
    if not record.repo or record.custom_load:
        raise WrongCallError(
            f"timm publishes no weights for {arch!r} that can be opened safely; name a checkpoint as {spell(arch)!r}."
        )
    filenames = (record.filename,) if record.filename else FILENAMES
    weights = HubWeights(repo=record.repo, filenames=filenames, local_spelling=spell(arch))
    facts = facts_of(recipe, name=name, weights=weights, about=about)
    return NetworkEncoder(name=name, facts=facts, recipe=recipe, weights=weights, build=build_features)


def spell(arch: str) -> str:
    """How a local checkpoint of an architecture is named."""
    return f"{PREFIX}{arch}//path/to/{FILENAMES[0]}"


def encoder_of(published: Published) -> NetworkEncoder:
    """The encoder of a row of the table: shortest side resized, then the central square, as timm evaluates them."""
    side, scale = published.side, crop_scale(published.side, published.crop_fraction)
    recipe = Recipe(
        family="timm",
        library=LIBRARY,
        arch=published.arch,
        resize=ResizeSpec(crop=(side, side), scale=(scale, scale), fit="shortest", interpolation="bicubic"),
        mean=published.mean,
        std=published.std,
        pooling=published.pooling,
        dim=published.dim,
        channels_last=published.channels_last,
    )
    weights = HubWeights(repo=f"timm/{published.arch}", filenames=FILENAMES, local_spelling=spelled(published.name))
    facts = facts_of(
        recipe, name=published.name, weights=weights, about={"licence": published.licence, "source": published.source}
    )
    return NetworkEncoder(name=published.name, facts=facts, recipe=recipe, weights=weights, build=build_features)


SHORT_NAMES = {published.name: encoder_of(published) for published in TABLE}


def _resolve_short(name: str) -> NetworkEncoder:
    return SHORT_NAMES[name]


for _named in SHORT_NAMES.values():
    ENCODERS.add(
        _named.name,
        EncoderKind(name=_named.name, facts=_named.facts, example=_named.name, resolve=_resolve_short),
    )
ENCODERS.add(
    PREFIX,
    EncoderKind(
        name=PREFIX,
        facts=EncoderFacts(
            name=PREFIX,
            family="timm",
            dim=None,
            input_size=None,
            preprocessing="timm's evaluation transform for the weights named",
            pooling=POOLED,
            precision=ANY_PRECISION,
            weights="NAME of timm's list, or NAME/PATH of a local checkpoint",
            licence="that of the weights named",
            source="timm (Wightman 2019)",
        ),
        example=EXAMPLE,
        resolve=_resolve_spec,
    ),
)
