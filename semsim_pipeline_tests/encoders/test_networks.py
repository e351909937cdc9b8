"""The loaders of both torch families, run on checkpoints of random weights in the published formats."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semsim_pipeline.encoders import network
from semsim_pipeline.encoders.base import Encoder, LoadedEncoder
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.torch_runtime import drift
from semsim_pipeline.errors import UnusableWeightsError
from semsim_pipeline_tests.encoders.conftest import OPEN_CLIP_ARCH, TIMM_ARCH


@pytest.fixture(params=["timm", "open_clip", "timm+bf16", "open_clip+bf16"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    family, mark, precision = request.param.partition("+")
    arch, path = (
        (TIMM_ARCH, request.getfixturevalue("timm_checkpoint"))
        if family == "timm"
        else (OPEN_CLIP_ARCH, request.getfixturevalue("open_clip_checkpoint"))
    )
    return resolve_encoder(f"{family}:{arch}/{path}{mark}{precision}")


def _tolerance(encoder: Encoder) -> float:
    """Of the largest value. bfloat16 has 8 bits (4e-3 a rounding), and another kernel for another number of rows."""
    return 3e-2 if encoder.facts.precision == "bfloat16" else 1e-5


def _embed(loaded: LoadedEncoder, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return loaded.encode(np.stack([loaded.preprocess(image) for image in images]))


def _peer_features(encoder: Encoder, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The library's own model, weights and transform."""
    import torch

    assert isinstance(encoder, NetworkEncoder)
    path = str(encoder.weights.find(encoder.name))
    pictures = [Image.fromarray(image) for image in images]
    with torch.inference_mode():
        if encoder.recipe.family == "open_clip":
            import open_clip

            model, _, transform = open_clip.create_model_and_transforms(OPEN_CLIP_ARCH, pretrained=path)
            return model.eval().encode_image(torch.stack([transform(each) for each in pictures])).numpy()
        import timm

        model = timm.create_model(
            TIMM_ARCH, pretrained=True, pretrained_cfg_overlay={"file": path}, num_classes=0
        ).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
        return model(torch.stack([transform(each) for each in pictures])).numpy()


def test_features_equal_the_librarys_own(encoder: Encoder, images: list[NDArray[np.uint8]]) -> None:
    ours, theirs = _embed(encoder.load(), images), _peer_features(encoder, images)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=_tolerance(encoder) * np.abs(theirs).max())
    if encoder.facts.precision == "bfloat16":
        assert not np.array_equal(ours, theirs)
        assert drift(theirs, ours) < 1e-3


def test_rows_do_not_depend_on_their_batch(encoder: Encoder, images: list[NDArray[np.uint8]]) -> None:
    loaded = encoder.load()
    together = _embed(loaded, images)
    alone = np.concatenate([_embed(loaded, [image]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=0, atol=_tolerance(encoder) * np.abs(together).max())
    np.testing.assert_array_equal(together, _embed(loaded, images))
    assert together.shape == (len(images), loaded.dim)
    assert together.flags.owndata
    assert np.ptp(together, axis=0).max() > 0


def test_an_empty_and_a_read_only_batch(encoder: Encoder, images: list[NDArray[np.uint8]]) -> None:
    loaded = encoder.load()
    batch = np.stack([loaded.preprocess(image) for image in images[:2]])
    expected = loaded.encode(batch)
    batch.setflags(write=False)
    np.testing.assert_array_equal(loaded.encode(batch), expected)
    assert loaded.encode(batch[:0]).shape == (0, loaded.dim)
    with pytest.raises(ValueError, match="uint8"):
        loaded.encode(batch.astype(np.float32))  # type: ignore[arg-type]


def test_an_encoder_can_be_pickled_and_states_its_facts(encoder: Encoder) -> None:
    copy = pickle.loads(pickle.dumps(encoder))
    assert copy.fingerprint() == encoder.fingerprint()
    assert copy.facts == encoder.facts
    assert encoder.facts.name == encoder.name


def test_both_formats_give_equal_rows(timm_checkpoint: Path, tmp_path: Path, images: list[NDArray[np.uint8]]) -> None:
    import torch
    from safetensors.torch import load_file

    state = load_file(timm_checkpoint)
    torch.save(state, tmp_path / "plain.pt")
    # As a training program under DistributedDataParallel leaves it.
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "training.bin")
    expected = _embed(resolve_encoder(f"timm:{TIMM_ARCH}/{timm_checkpoint}").load(), images)
    for name in ("plain.pt", "training.bin"):
        rows = _embed(resolve_encoder(f"timm:{TIMM_ARCH}/{tmp_path / name}").load(), images)
        np.testing.assert_array_equal(rows, expected)


def test_the_fingerprint_follows_bytes_and_preprocessing(
    timm_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "copy.safetensors"
    path.write_bytes(timm_checkpoint.read_bytes())
    encoder = resolve_encoder(f"timm:{TIMM_ARCH}/{path}")
    assert isinstance(encoder, NetworkEncoder)
    before = encoder.fingerprint()
    assert before == encoder.fingerprint()
    # The same bytes elsewhere are the same encoder.
    assert before == resolve_encoder(f"timm:{TIMM_ARCH}/{timm_checkpoint}").fingerprint()
    recipe = encoder.recipe
    for other in (
        replace(recipe, resize=replace(recipe.resize, interpolation="bilinear")),
        replace(recipe, mean=(0.0, 0.0, 0.0)),
        replace(recipe, pooling="another"),
        replace(recipe, arch="another"),
    ):
        assert replace(encoder, recipe=other).fingerprint() != before
    assert replace(encoder, recipe=replace(recipe, channels_last=True)).fingerprint() == before
    real = network.version
    for pillow, same in (("12.99.1", False), (real("pillow") + ".99", True)):
        with monkeypatch.context() as patch:
            patch.setattr(network, "version", lambda name, pillow=pillow: pillow if name == "pillow" else real(name))
            assert (encoder.fingerprint() == before) is same
    state = load_file(path)
    state["norm.bias"] = state["norm.bias"] + 1
    save_file(state, path)
    assert encoder.fingerprint() != before


def test_another_architectures_weights_are_refused_in_one_line(
    timm_checkpoint: Path, open_clip_checkpoint: Path
) -> None:
    for name in (
        f"timm:test_resnet/{timm_checkpoint}",
        f"timm:{TIMM_ARCH}/{open_clip_checkpoint}",
        f"timm:test_vit2/{timm_checkpoint}",
        f"open_clip:{OPEN_CLIP_ARCH}/{timm_checkpoint}",
        f"open_clip:ViT-M-32-alt/{open_clip_checkpoint}",
    ):
        with pytest.raises(UnusableWeightsError, match="does not hold the weights of") as raised:
            resolve_encoder(name).load()
        assert "\n" not in str(raised.value)


def test_quick_gelu_changes_the_rows(open_clip_checkpoint: Path, images: list[NDArray[np.uint8]]) -> None:
    plain = resolve_encoder(f"open_clip:{OPEN_CLIP_ARCH}/{open_clip_checkpoint}")
    assert isinstance(plain, NetworkEncoder)
    quick = replace(plain, recipe=replace(plain.recipe, quick_gelu=True))
    assert quick.fingerprint() != plain.fingerprint()
    assert not np.allclose(_embed(plain.load(), images[:2]), _embed(quick.load(), images[:2]), rtol=1e-4)


@pytest.mark.slow
def test_dinov2s_position_embeddings_are_resampled_as_timm_does(
    tmp_path: Path, images: list[NDArray[np.uint8]]
) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    from semsim_pipeline.encoders.weights import LocalWeights

    arch = "vit_small_patch14_dinov2"
    torch.manual_seed(3)
    path = tmp_path / "model.safetensors"
    save_file(timm.create_model(arch, pretrained=False).state_dict(), path)  # at the published 518 px
    encoder = resolve_encoder("dinov2-s-14")
    assert isinstance(encoder, NetworkEncoder)
    loaded = replace(encoder, weights=LocalWeights(path=path)).load()
    peer = timm.create_model(
        arch, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, num_classes=0, img_size=224
    ).eval()
    config = timm.data.resolve_model_data_config(peer, args={"input_size": (3, 224, 224)})
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.inference_mode():
        expected = peer(torch.stack([transform(Image.fromarray(image)) for image in images[:3]])).numpy()
    np.testing.assert_allclose(_embed(loaded, images[:3]), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin-t", "inception-v3", pytest.param("dinov2-b-14", marks=pytest.mark.nightly)])
def test_shipped_timm_names_equal_timm(name: str, tmp_path: Path, images: list[NDArray[np.uint8]]) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    from semsim_pipeline.encoders.weights import LocalWeights

    encoder = resolve_encoder(name)
    assert isinstance(encoder, NetworkEncoder)
    torch.manual_seed(4)
    path = tmp_path / "model.safetensors"
    save_file(timm.create_model(encoder.recipe.arch, pretrained=False).state_dict(), path)
    side = {"img_size": 224} if name.startswith("dinov2") else {}
    peer = timm.create_model(
        encoder.recipe.arch, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, num_classes=0, **side
    ).eval()
    size = encoder.recipe.resize.crop
    config = timm.data.resolve_model_data_config(peer, args={"input_size": (3, *size)})
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.inference_mode():
        expected = peer(torch.stack([transform(Image.fromarray(image)) for image in images[:3]])).numpy()
    rows = _embed(replace(encoder, weights=LocalWeights(path=path)).load(), images[:3])
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_clip_vit_b_32_equals_open_clip(tmp_path: Path, images: list[NDArray[np.uint8]]) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    from semsim_pipeline.encoders.weights import LocalWeights

    encoder = resolve_encoder("clip-vit-b-32")
    assert isinstance(encoder, NetworkEncoder)
    torch.manual_seed(5)
    model, _, transform = open_clip.create_model_and_transforms("ViT-B-32-quickgelu", pretrained=None)
    path = tmp_path / "open_clip_model.safetensors"
    save_file(model.state_dict(), path)
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(image)) for image in images[:3]])
        expected = model.eval().encode_image(batch).numpy()
    rows = _embed(replace(encoder, weights=LocalWeights(path=path)).load(), images[:3])
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
