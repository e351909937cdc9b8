"""The publisher's own code from what the local hub says; `semsim verify-published` has the tests with timm's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.openclip import SAFE_NAME, _arch_config
from semsim_pipeline.encoders.openclip_hub import CONFIG_NAME
from semsim_pipeline.encoders.publisher import has_publisher, publishers_rows
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import MissingWeightsError, UnusableWeightsError
from semsim_pipeline_tests.encoders.conftest import OPEN_CLIP_ARCH
from semsim_pipeline_tests.servers import Hub

REPO = "someone/their-clip"
NAME = f"open_clip:hf-hub:{REPO}"
OTHER = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear", "resize_mode": "squash"}


def _description(preprocessing: dict[str, object], **model: object) -> bytes:
    return json.dumps(
        {"model_cfg": {**_arch_config(OPEN_CLIP_ARCH), **model}, "preprocess_cfg": preprocessing}
    ).encode()


def _network(name: str) -> NetworkEncoder:
    encoder = resolve_encoder(name)
    assert isinstance(encoder, NetworkEncoder)
    assert has_publisher(encoder)
    return encoder


def _ours(encoder: NetworkEncoder, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    loaded = encoder.load()
    return np.concatenate([loaded.encode(loaded.preprocess(image)[None]) for image in images])


@pytest.mark.parametrize("changed", [{}, {"quick_gelu": True}])
def test_open_clips_own_rows_of_what_a_repository_describes(
    changed: dict[str, object], hub: Hub, open_clip_checkpoint: Path, images: list[NDArray[np.uint8]]
) -> None:
    weights = open_clip_checkpoint.read_bytes()
    hub.commit(REPO, {CONFIG_NAME: _description(OTHER, **changed), SAFE_NAME: weights})
    encoder = _network(NAME)
    theirs = publishers_rows(encoder, images[:3])
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(_ours(encoder, images[:3]), theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_who_has_a_publisher(timm_checkpoint: Path) -> None:
    assert has_publisher(resolve_encoder("dinov2-s-14"))
    assert not has_publisher(resolve_encoder("mini"))
    assert not has_publisher(resolve_encoder("classical"))
    assert not has_publisher(resolve_encoder(f"timm:test_vit/{timm_checkpoint}"))


def test_a_description_that_would_load_something_else_is_refused(hub: Hub, open_clip_checkpoint: Path) -> None:
    hub.commit(
        "timm/vit_base_patch32_clip_224.openai",
        {
            SAFE_NAME: open_clip_checkpoint.read_bytes(),
            CONFIG_NAME: _description({}, vision_cfg={"timm_model_name": "hf-hub:evil/model", "image_size": 224}),
        },
    )
    with pytest.raises(UnusableWeightsError, match="names no model of timm"):
        publishers_rows(_network("clip-vit-b-32"), [])


def test_without_a_network_the_description_is_said_to_be_missing(
    hub: Hub, timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("timm/test_vit.r160_in1k", "model.safetensors", timm_checkpoint.read_bytes())
    encoder = _network("timm:test_vit.r160_in1k")
    encoder.weights.fetch(encoder.name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match=r"description of .* is missing .*HF_HUB_OFFLINE") as raised:
        publishers_rows(encoder, [])
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.nightly
def test_the_short_name_of_clip_gives_open_clips_own_rows(hub: Hub, images: list[NDArray[np.uint8]]) -> None:
    import open_clip
    import torch
    from safetensors.torch import save

    torch.manual_seed(6)
    model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None)
    preprocessing = {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    description = {"model_cfg": _arch_config("ViT-B-32-quickgelu"), "preprocess_cfg": preprocessing}
    hub.commit(
        "timm/vit_base_patch32_clip_224.openai",
        {SAFE_NAME: save(model.state_dict()), CONFIG_NAME: json.dumps(description).encode()},
    )
    del model
    encoder = _network("clip-vit-b-32")
    theirs = publishers_rows(encoder, images[:3])
    np.testing.assert_allclose(_ours(encoder, images[:3]), theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
