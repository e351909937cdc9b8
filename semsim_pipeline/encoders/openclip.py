"""CLIP and its relatives through open_clip: the image tower alone, the projected embedding before normalisation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semsim_pipeline.encoders.bare_init import bare_parameters
from semsim_pipeline.encoders.base import ENCODERS, EncoderFacts, EncoderKind
from semsim_pipeline.encoders.checkpoint import SUFFIXES, fit, read_state_dict
from semsim_pipeline.encoders.network import (
    ANY_PRECISION,
    OPENAI_MEAN,
    OPENAI_STD,
    NetworkEncoder,
    Recipe,
    absolute_checkpoint,
    facts_of,
    local_weights,
    spelled,
)
from semsim_pipeline.encoders.openclip_hub import described
from semsim_pipeline.encoders.openclip_names import TABLE, Published
from semsim_pipeline.encoders.openclip_source import package_folder, tables, towers
from semsim_pipeline.encoders.preprocess import Fit, ResizeSpec
from semsim_pipeline.encoders.revision import at_revision, split_revision
from semsim_pipeline.encoders.weights import MAIN, HubWeights, Weights
from semsim_pipeline.errors import UnknownNameError, WrongCallError, did_you_mean

if TYPE_CHECKING:
    import torch

LIBRARY = "open_clip_torch"
PREFIX = "open_clip:"
HUB_MARK = "hf-hub:"
"""As open_clip spells a model whose description lies in its own repository."""
EXAMPLE = "open_clip:ViT-B-16/laion2b_s34b_b88k"
POOLING = "projected image embedding (encode_image, not normalised)"
SAFE_NAME, TORCH_NAME = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
"""The two names under which open_clip publishes weights in a repository."""
FITS: dict[str, Fit] = {"shortest": "shortest", "squash": "squash", "longest": "contain"}


def build_visual(recipe: Recipe, path: Path) -> torch.nn.Module:
    """The image tower of `recipe.arch` with the weights of `path`; the text tower is neither built nor read.

    Built through open_clip's own constructor of image towers (private there, hence the pinned major version and the
    test against `create_model`): the public one would also draw 63 million random text weights, and for some
    architectures ask the network for a tokenizer.
    Memory: the tower once, and an eighth of it while it is read.
    """
    config = json.loads(recipe.config) if recipe.config else _arch_config(recipe.arch)
    vision = config["vision_cfg"]
    library = towers(timm="timm_model_name" in vision)
    state = read_state_dict(path, "visual.")
    visual = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    with bare_parameters():
        described = library.config(**{**vision, "timm_model_pretrained": False})
        module: torch.nn.Module = library.build(config["embed_dim"], described, recipe.quick_gelu)
    # A file without an image tower shows its own names, which tell a person what it is.
    chosen = visual or dict(state)
    state.clear()  # or the views of the file would stay until the end
    fit(module, chosen, path=path, arch=f"open_clip {recipe.arch}")
    return module


def list_architectures() -> list[str]:
    """Every architecture that open_clip knows, sorted; read from its files, so that torch is not imported."""
    return sorted(file.stem for file in _config_folder().glob("*.json"))


def _config_folder() -> Path:
    return package_folder() / "model_configs"


def _arch_config(arch: str) -> dict[str, Any]:
    """open_clip's own description of an architecture: third-party JSON, hence not typed further."""
    file = _config_folder() / f"{arch}.json"
    if not file.is_file():
        raise UnknownNameError(did_you_mean("open_clip architecture", arch, list_architectures()))
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return config


def _recipe(arch: str, published: Mapping[str, Any]) -> Recipe:
    """The recipe of an architecture. published: open_clip's record of a tag's preprocessing; empty for its defaults."""
    return recipe_of(arch, _arch_config(arch), published)


def recipe_of(arch: str, config: Mapping[str, Any], published: Mapping[str, Any]) -> Recipe:
    """The recipe of open_clip's description of a network (`embed_dim`, `vision_cfg`, …) and of its preprocessing."""
    size = config["vision_cfg"].get("image_size", 224)
    height, width = size if isinstance(size, list) else (size, size)
    fit_mode = FITS[published.get("resize_mode", "shortest")]
    if height != width and fit_mode == "shortest":
        fit_mode = "cover"
    # open_clip knows two filters and takes bicubic for everything that is not `bilinear`.
    bilinear = published.get("interpolation") == "bilinear"
    return Recipe(
        family="open_clip",
        library=LIBRARY,
        arch=arch,
        resize=ResizeSpec(
            crop=(height, width),
            scale=(height, width),
            fit=fit_mode,
            interpolation="bilinear" if bilinear else "bicubic",
        ),
        mean=tuple(published.get("mean", OPENAI_MEAN)),
        std=tuple(published.get("std", OPENAI_STD)),
        pooling=POOLING,
        dim=config["embed_dim"],
        # Weights that were trained with QuickGELU need it, also where the plain architecture was named with their tag
        # (open_clip only warns there, and the embeddings are then quietly off).
        quick_gelu=bool(config.get("quick_gelu", False) or published.get("quick_gelu", False)),
    )


def _resolve_spec(name: str) -> NetworkEncoder:
    """`open_clip:ARCH/TAG`, `open_clip:hf-hub:OWNER/NAME`, `open_clip:ARCH/PATH` (an absolute path has two slashes)."""
    plain, revision = split_revision(name)
    if plain.startswith(f"{PREFIX}{HUB_MARK}"):
        return _hub_model(name, plain.removeprefix(f"{PREFIX}{HUB_MARK}"), revision or MAIN)
    if revision is not None:
        return at_revision(_resolve_spec(plain), revision, name=name)
    arch, slash, rest = name.removeprefix(PREFIX).partition("/")
    if not arch or not slash or not rest:
        raise WrongCallError(
            f"Cannot read encoder {name!r}: write open_clip:ARCH/TAG, open_clip:ARCH/PATH or "
            f"open_clip:hf-hub:OWNER/NAME, such as {EXAMPLE!r}."
        )
    _arch_config(arch)
    if rest.endswith(SUFFIXES) or Path(rest).expanduser().is_file():
        return _local(name, arch, absolute_checkpoint(rest))
    published = tables().record(arch, rest)
    if not published:
        raise UnknownNameError(
            did_you_mean(f"weights of open_clip {arch}", rest, tables().tags(arch))
            + f" A local checkpoint ends in {', '.join(SUFFIXES)}."
        )
    repo, filename = _published_file(name, arch, published)
    weights = HubWeights(repo=repo, filenames=filename, local_spelling=_spell_alike(arch, published))
    return _encoder(name, _recipe(arch, published), weights)


def _local(name: str, arch: str, path: Path) -> NetworkEncoder:
    weights = local_weights(path, name, f"an absolute path has two slashes: {spell(arch)!r}")
    return _encoder(name, _local_recipe(arch), weights)


def _local_recipe(arch: str) -> Recipe:
    return _recipe(arch, _common_preprocessing(arch))


def _spell_alike(arch: str, published: Mapping[str, Any]) -> str:
    """How a local copy of published weights is named, "" where that name would mean another recipe: other weights of
    the architecture want another mean, or these want OpenAI's activation, and a checkpoint does not say so."""
    return spell(arch) if _recipe(arch, published) == _local_recipe(arch) else ""


def _common_preprocessing(arch: str) -> dict[str, Any]:
    """How an architecture's published weights all prepare images, for a checkpoint that does not say.

    open_clip takes CLIP's mean and std for every local file, which is wrong for SigLIP and CLIPA; where all published
    weights of the architecture agree, theirs are taken instead. Activation stays the architecture's own.
    """
    published = tables()
    keys = ("mean", "std", "interpolation", "resize_mode")
    found = [{key: published.record(arch, tag).get(key) for key in keys} for tag in published.tags(arch)]
    return found[0] if found and all(each == found[0] for each in found) else {}


def _published_file(name: str, arch: str, published: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """(repository, file names to try) of open_clip's `org/name/` or `org/name/file`."""
    repo, _, filename = str(published.get("hf_hub", "")).rpartition("/")
    if not repo:
        alike = _spell_alike(arch, published)
        raise WrongCallError(
            f"The weights of {name!r} are published outside Hugging Face ({published.get('url', 'nowhere')}): "
            + (f"download them and name the file as {alike!r}." if alike else "choose another tag.")
        )
    if not filename:
        return repo, (SAFE_NAME, TORCH_NAME)
    stem, dot, suffix = filename.rpartition(".")
    safe = (f"{stem}.safetensors",) if dot and suffix in {"bin", "pth"} else ()
    return repo, (*safe, filename)


def spell(arch: str) -> str:
    """How a local checkpoint of an architecture is named."""
    return f"{PREFIX}{arch}//path/to/{SAFE_NAME}"


def _hub_model(name: str, repo: str, revision: str) -> NetworkEncoder:
    """`open_clip:hf-hub:OWNER/NAME`: the repository's own description of the network, and its weights.

    Asks the hub for the description where it is not in its cache. Raises as `described`.
    """
    model, preprocessing = described(name, repo, revision)
    recipe = replace(recipe_of(f"{HUB_MARK}{repo}", model, preprocessing), config=json.dumps(model, sort_keys=True))
    # No spelling of a local copy: the description lies in the repository.
    weights = HubWeights(repo=repo, filenames=(SAFE_NAME, TORCH_NAME), revision=revision)
    return _encoder(name, recipe, weights)


def _encoder(name: str, recipe: Recipe, weights: Weights) -> NetworkEncoder:
    facts = facts_of(recipe, name=name, weights=weights, about=ABOUT_ANY)
    return NetworkEncoder(name=name, facts=facts, recipe=recipe, weights=weights, build=build_visual)


ABOUT_ANY = {"licence": "that of the weights named", "source": "open_clip (Ilharco et al. 2021)"}


def encoder_of(published: Published) -> NetworkEncoder:
    """The encoder of a row of the table."""
    size = (published.side, published.side)
    recipe = Recipe(
        family="open_clip",
        library=LIBRARY,
        arch=published.arch,
        resize=ResizeSpec(crop=size, scale=size, fit=published.fit, interpolation=published.interpolation),
        mean=published.mean,
        std=published.std,
        pooling=POOLING,
        dim=published.dim,
        quick_gelu=published.quick_gelu,
    )
    weights = HubWeights(repo=published.repo, filenames=(SAFE_NAME, TORCH_NAME), local_spelling=spelled(published.name))
    facts = facts_of(
        recipe, name=published.name, weights=weights, about={"licence": published.licence, "source": published.source}
    )
    return NetworkEncoder(name=published.name, facts=facts, recipe=recipe, weights=weights, build=build_visual)


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
            family="open_clip",
            dim=None,
            input_size=None,
            preprocessing="as open_clip publishes it for the weights named",
            pooling=POOLING,
            precision=ANY_PRECISION,
            weights="ARCH/TAG of open_clip's list, ARCH/PATH of a local checkpoint, or hf-hub:OWNER/NAME",
            licence=ABOUT_ANY["licence"],
            source=ABOUT_ANY["source"],
        ),
        example=EXAMPLE,
        resolve=_resolve_spec,
        reads_revision=True,
    ),
)
