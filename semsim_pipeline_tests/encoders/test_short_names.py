"""Contract of every short name: fetched from a hub, loaded, run; with random weights in the published formats.

None is left out: the large towers (300 million weights) run by night, from a local copy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.encoders import inception_fid, openclip
from semsim_pipeline.encoders import timm as timm_family
from semsim_pipeline.encoders.base import Encoder, LoadedEncoder
from semsim_pipeline.encoders.network import CLASS_TOKEN, NetworkEncoder, Recipe, ensure_weights
from semsim_pipeline.encoders.openclip import SAFE_NAME
from semsim_pipeline.encoders.resolve import resolve_encoder, short_names
from semsim_pipeline.encoders.weights import HubWeights, PackagedWeights
from semsim_pipeline.errors import MissingWeightsError, UnusableWeightsError, WrongCallError
from semsim_pipeline_tests.encoders.conftest import OPEN_CLIP_ARCH
from semsim_pipeline_tests.servers import Hub

if TYPE_CHECKING:
    import torch

NAMES = sorted([*openclip.SHORT_NAMES, *timm_family.SHORT_NAMES])
LARGE = {"clip-vit-l-14", "clip-vit-l-14-laion2b"}
LATER = LARGE | {"clip-vit-b-16", "clip-vit-b-32-laion2b", "clip-vit-b-16-laion2b", "dinov2-b-14", "inception-v3"}
"""Large ones, and those that differ by a row of the table from one that runs with every push."""
NIGHTLY = [pytest.mark.nightly, pytest.mark.timeout(1800)]
ALL = [pytest.param(name, marks=NIGHTLY if name in LATER else []) for name in short_names()]
ONE_PRECISION = {"classical", "inception-fid"}


def _network(name: str) -> NetworkEncoder:
    encoder = resolve_encoder(name)
    assert isinstance(encoder, NetworkEncoder)
    return encoder


def _published(recipe: Recipe, folder: Path) -> Path:
    """The library's own network with its random weights, as a safetensors file."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(8)
    state: Mapping[str, torch.Tensor]
    if recipe.family == "torch_fidelity":
        state = _inception()
    elif recipe.family == "open_clip":
        from open_clip.model import CLIPVisionCfg, _build_vision_tower

        from semsim_pipeline.encoders.openclip import _arch_config

        config = _arch_config(recipe.arch)
        tower = _build_vision_tower(config["embed_dim"], CLIPVisionCfg(**config["vision_cfg"]), recipe.quick_gelu)
        state = {f"visual.{name}": value for name, value in tower.state_dict().items()}
        state["logit_scale"] = torch.ones(1)  # beside the tower, as published
    else:
        import timm

        state = timm.create_model(recipe.arch, pretrained=False).state_dict()
    path = folder / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def _inception() -> Mapping[str, torch.Tensor]:
    """With statistics that are not the initial ones: through 94 layers those leave next to nothing of an image."""
    state: Mapping[str, torch.Tensor] = inception_fid._unloaded().state_dict()
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_(std=0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return state


def _here(name: str, hub: Hub, folder: Path) -> Encoder:
    """The encoder with random weights on this machine: on a hub where it has one, else (or if large) a local copy.

    What ships with the package comes as it is. A copy is the same encoder as what the hub gives.
    """
    encoder = resolve_encoder(name)
    if not isinstance(encoder, NetworkEncoder) or isinstance(encoder.weights, PackagedWeights):
        return encoder
    path = _published(encoder.recipe, folder)
    copy = resolve_encoder(f"{name}/{path}")
    if name in LARGE or not isinstance(encoder.weights, HubWeights):
        return copy
    hub.publish(encoder.weights.repo, encoder.weights.filenames[0], path.read_bytes())
    ensure_weights(encoder)
    assert encoder.fingerprint() == copy.fingerprint()
    return encoder


def _check_rows(loaded: LoadedEncoder, images: list[NDArray[np.uint8]], dim: int) -> None:
    batch = np.stack([loaded.preprocess(image) for image in images])
    rows = loaded.encode(batch)
    assert (rows.shape, rows.dtype, loaded.dim) == ((len(images), dim), np.float32, dim)
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rows, loaded.encode(batch))
    alone = np.concatenate([loaded.encode(batch[i : i + 1]) for i in range(len(batch))])
    np.testing.assert_allclose(rows, alone, rtol=0, atol=1e-5 * np.abs(rows).max())
    assert np.ptp(rows, axis=0).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_a_short_name_is_fetched_loaded_and_run(
    name: str, hub: Hub, tmp_path: Path, images: list[NDArray[np.uint8]]
) -> None:
    encoder = _here(name, hub, tmp_path)
    assert encoder.facts.dim is not None
    _check_rows(encoder.load(), images[:3], encoder.facts.dim)
    assert encoder.fingerprint() == resolve_encoder(encoder.name).fingerprint()
    if name in ONE_PRECISION:
        with pytest.raises(WrongCallError):
            resolve_encoder(f"{encoder.name}+bf16")
    else:
        assert encoder.fingerprint() != resolve_encoder(f"{encoder.name}+bf16").fingerprint()


@pytest.mark.parametrize("name", NAMES)
def test_a_fingerprint_is_of_weights_preprocessing_pooling_and_precision(name: str, tmp_path: Path) -> None:
    from semsim_pipeline.encoders.weights import LocalWeights

    one, other = tmp_path / "one.pt", tmp_path / "other.pt"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    encoder = replace(_network(name), weights=LocalWeights(path=one))
    recipe = encoder.recipe
    variants = [
        encoder,
        replace(encoder, weights=LocalWeights(path=other)),
        *(
            replace(encoder, recipe=changed)
            for changed in (
                replace(recipe, resize=replace(recipe.resize, crop=(64, 64))),
                replace(recipe, mean=(0.1, 0.1, 0.1)),
                replace(recipe, std=(0.1, 0.1, 0.1)),
                replace(recipe, pooling="another"),
                replace(recipe, precision="bfloat16"),
                replace(recipe, arch="another"),
            )
        ),
    ]
    assert len({each.fingerprint() for each in variants}) == len(variants)


def test_no_two_short_names_share_an_identity(tmp_path: Path) -> None:
    """With equal weights they may: only what else differs tells OpenAI's CLIP from LAION's of the same size."""
    places = [_network(name).weights for name in NAMES]
    assert len({place.place for place in places if isinstance(place, HubWeights)}) == len(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LARGE))
def test_a_large_towers_parts_are_open_clips(name: str, tmp_path: Path) -> None:
    """On the meta device, where a tower has names and shapes and no memory."""
    import torch
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    from semsim_pipeline.encoders.openclip import _arch_config

    recipe = _network(name).recipe
    config = _arch_config(recipe.arch)
    with torch.device("meta"):
        tower = _build_vision_tower(config["embed_dim"], CLIPVisionCfg(**config["vision_cfg"]), recipe.quick_gelu)
    shapes = {key: tuple(value.shape) for key, value in tower.state_dict().items()}
    assert shapes["proj"] == (1024, 768)
    assert shapes["conv1.weight"] == (1024, 3, 14, 14)
    assert len([key for key in shapes if key.endswith("attn.in_proj_weight")]) == 24
    assert recipe.dim == 768


@pytest.mark.slow
def test_dinov3_pools_as_its_authors_do(tmp_path: Path, images: list[NDArray[np.uint8]]) -> None:
    import timm
    import torch
    from PIL import Image

    from semsim_pipeline.encoders.weights import LocalWeights

    encoder = _network("dinov3-s-16")
    assert encoder.recipe.pooling == CLASS_TOKEN
    path = _published(encoder.recipe, tmp_path)
    peer = timm.create_model(
        encoder.recipe.arch, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, num_classes=0
    ).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(peer), is_training=False)
    with torch.inference_mode():
        tokens = peer.forward_features(torch.stack([transform(Image.fromarray(image)) for image in images[:2]]))
    expected = tokens[:, 0].numpy()
    loaded = replace(encoder, weights=LocalWeights(path=path)).load()
    rows = loaded.encode(np.stack([loaded.preprocess(image) for image in images[:2]]))
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


REPO = "someone/their-clip"
HUB_NAME = f"open_clip:hf-hub:{REPO}"


def _config(**model: object) -> bytes:
    from semsim_pipeline.encoders.openclip import _arch_config

    return json.dumps(
        {
            "model_cfg": {**_arch_config(OPEN_CLIP_ARCH), **model},
            "preprocess_cfg": {
                "mean": [0.5] * 3,
                "std": [0.5] * 3,
                "interpolation": "bilinear",
                "resize_mode": "squash",
            },
        }
    ).encode()


def test_a_repository_that_describes_itself(
    hub: Hub, open_clip_checkpoint: Path, images: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.commit(REPO, {"open_clip_config.json": _config(), SAFE_NAME: open_clip_checkpoint.read_bytes()})
    encoder = _network(HUB_NAME)
    assert (encoder.recipe.mean, encoder.recipe.resize.fit) == ((0.5, 0.5, 0.5), "squash")
    assert encoder.recipe.resize.interpolation == "bilinear"
    assert encoder.recipe.dim is not None
    _check_rows(encoder.load(), images[:3], encoder.recipe.dim)
    # The same tower and weights by their own name, with this preprocessing.
    local = _network(f"open_clip:{OPEN_CLIP_ARCH}/{open_clip_checkpoint}")
    same = replace(local, recipe=replace(encoder.recipe, arch=OPEN_CLIP_ARCH, config=""))
    batch = np.stack([same.load().preprocess(image) for image in images[:2]])
    np.testing.assert_array_equal(encoder.load().encode(batch), same.load().encode(batch))
    # A revision is of description and weights together.
    hub.commit(REPO, {"open_clip_config.json": _config(quick_gelu=True)})
    pinned = _network(f"{HUB_NAME}@{first}")
    assert not pinned.recipe.quick_gelu
    assert pinned.load().dim == encoder.recipe.dim
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert _network(f"{HUB_NAME}@{first}").fingerprint() == encoder.fingerprint()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "describes no network"),
        (b"[]", "describes no network"),
        (b'{"model_cfg": {"embed_dim": 4}}', "describes no network"),
        (_config(vision_cfg={"timm_model_name": "hf-hub:evil/model", "image_size": 32}), "names no model of timm"),
    ],
)
def test_a_description_that_is_none(content: bytes, says: str, hub: Hub) -> None:
    hub.publish(REPO, "open_clip_config.json", content)
    with pytest.raises(UnusableWeightsError, match=says) as raised:
        resolve_encoder(HUB_NAME)
    assert "\n" not in str(raised.value)


def test_a_repository_without_a_description(hub: Hub) -> None:
    hub.publish(REPO, "README.md", b"")
    with pytest.raises(MissingWeightsError, match=r"has no open_clip_config\.json"):
        resolve_encoder(HUB_NAME)
    with pytest.raises(MissingWeightsError, match="has no repository no/body"):
        resolve_encoder("open_clip:hf-hub:no/body")
