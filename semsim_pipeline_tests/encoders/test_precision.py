"""A network's precision: how it is written, what it changes, and when it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.encoders import torch_runtime
from semsim_pipeline.encoders.base import ENCODERS
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.openclip import list_architectures
from semsim_pipeline.encoders.openclip_source import tables
from semsim_pipeline.encoders.precision import split_precision
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import UnknownNameError, UnusableWeightsError
from semsim_pipeline_tests.encoders.conftest import OPEN_CLIP_ARCH, TIMM_ARCH


@pytest.mark.parametrize(
    ("name", "plain", "precision"),
    [
        ("classical", "classical", None),
        ("clip-vit-b-32+bf16", "clip-vit-b-32", "bfloat16"),
        ("clip-vit-b-32+fp32", "clip-vit-b-32", "float32"),
        ("open_clip:ViT-B-32/openai+bf16", "open_clip:ViT-B-32/openai", "bfloat16"),
        ("open_clip:A//x/w.safetensors+bf16", "open_clip:A//x/w.safetensors", "bfloat16"),
        ("open_clip:A//x+y/w.pt+bf16", "open_clip:A//x+y/w.pt", "bfloat16"),
        ("open_clip:A//x+bf16/w.pt", "open_clip:A//x+bf16/w.pt", None),
        ("open_clip:A//x/w+ema.pt", "open_clip:A//x/w+ema.pt", None),
        ("timm:B.tag+bf16", "timm:B.tag", "bfloat16"),
    ],
)
def test_a_name_is_split(name: str, plain: str, precision: str | None) -> None:
    assert split_precision(name) == (plain, precision)


def test_a_file_that_exists_wins(tmp_path: Path) -> None:
    (tmp_path / "weights+bf16").touch()
    assert split_precision(f"timm:A/{tmp_path}/weights+bf16") == (f"timm:A/{tmp_path}/weights+bf16", None)
    with pytest.raises(UnknownNameError, match="precision 'fp16'"):
        split_precision(f"timm:A/{tmp_path}/weights+fp16")


def test_no_name_has_the_mark_in_it() -> None:
    archs = list_architectures()
    names = [*ENCODERS.names(), *archs, *(tag for arch in archs for tag in tables().tags(arch))]
    assert len(names) > 200
    assert not [name for name in names if "+" in name]


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("clip-vit-b-32", "3ab396ab40f9698f080ff74c6427d2dce11e39a80dd7e62c69d6ea06a3242c2b"),
        ("dinov2-s-14", "d2574a096b9ed71048cd18ee56bdc43fe05155687c61a16e23388b2ed551e6df"),
    ],
)
def test_fingerprints_stay_what_they_were(name: str, identity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the code that first decoded photos small; whoever changes them makes every embedding again."""
    versions = {"pillow": "12.3.0", "open_clip_torch": "3.3.0", "timm": "1.0.31"}
    monkeypatch.setattr("semsim_pipeline.encoders.network.version", versions.__getitem__)
    for written in (name, f"{name}+fp32"):
        encoder = resolve_encoder(written)
        assert isinstance(encoder, NetworkEncoder)
        assert encoder._identity("0" * 64) == identity
        assert encoder.facts.precision == "float32"


@pytest.mark.parametrize("family", ["timm", "open_clip"])
def test_bfloat16_is_another_encoder_close_to_float32(
    family: str, request: pytest.FixtureRequest, images: list[NDArray[np.uint8]]
) -> None:
    import torch

    arch = TIMM_ARCH if family == "timm" else OPEN_CLIP_ARCH
    name = f"{family}:{arch}/{request.getfixturevalue(family + '_checkpoint')}"
    exact, half = resolve_encoder(name), resolve_encoder(f"{name}+bf16")
    assert half.name == half.facts.name == f"{name}+bf16"
    assert half.facts.precision == "bfloat16"
    assert half.fingerprint() != exact.fingerprint()
    loaded = half.load()
    assert isinstance(loaded, torch_runtime.NetworkRuntime)
    assert not loaded.uses_fast_matmul
    assert {each.dtype for each in loaded._module.parameters()} == {torch.bfloat16}
    assert loaded._normalised(torch.from_numpy(loaded._trial_batch(2))).dtype == torch.bfloat16
    batch = np.stack([loaded.preprocess(image) for image in images])
    rows, expected = loaded.encode(batch), exact.load().encode(batch)
    assert rows.dtype == np.float32
    assert rows.shape == expected.shape
    assert 1e-9 < torch_runtime.drift(expected, rows) < 1e-3


@pytest.mark.parametrize("measured", [1.1e-3, float("inf"), float("nan")])
def test_weights_that_do_not_bear_it_are_refused(
    measured: float, timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = resolve_encoder(f"timm:{TIMM_ARCH}/{timm_checkpoint}+bf16")
    monkeypatch.setattr(torch_runtime, "drift", lambda plain, fast: measured)
    with pytest.raises(UnusableWeightsError, match="without '\\+bf16'") as raised:
        encoder.load()
    assert encoder.name in str(raised.value)
    assert "\n" not in str(raised.value)
    monkeypatch.setattr(torch_runtime, "drift", lambda plain, fast: 9e-4)
    encoder.load()


def test_weights_that_eight_bits_cannot_hold_are_refused_for_real(timm_checkpoint: Path, tmp_path: Path) -> None:
    """A large offset before a layer norm cancels in float32; in bfloat16 it drowns the image. What the bound is for."""
    from safetensors.torch import load_file, save_file

    state = load_file(timm_checkpoint)
    state["pos_embed"] = state["pos_embed"] + 1e4
    save_file(state, tmp_path / "w.safetensors")
    name = f"timm:{TIMM_ARCH}/{tmp_path / 'w.safetensors'}"
    resolve_encoder(name).load()
    with pytest.raises(UnusableWeightsError, match="do not bear bfloat16"):
        resolve_encoder(f"{name}+bf16").load()
