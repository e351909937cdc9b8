"""FID's Inception against torch-fidelity's own extractor, both with the same random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.encoders.base import LoadedEncoder
from semsim_pipeline.encoders.device_batches import DeviceBatches, HostMemory
from semsim_pipeline.encoders.inception_fid import ENCODER, _unloaded
from semsim_pipeline.encoders.weights import LocalWeights
from semsim_pipeline.errors import UnusableWeightsError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the published format: a .pth with the classifier, and statistics that are not the initial ones."""
    import torch

    torch.manual_seed(0)
    state = _unloaded().state_dict()
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_(std=0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("fid") / "weights.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> LoadedEncoder:
    return replace(ENCODER, weights=LocalWeights(path=checkpoint)).load()


def _theirs(checkpoint: Path, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    peer = FeatureExtractorInceptionV3("peer", ["2048"], feature_extractor_weights_path=str(checkpoint))
    with torch.inference_mode():
        (features,) = peer(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0))
    return features.numpy()[0]


def test_features_equal_torch_fidelitys(
    checkpoint: Path, loaded: LoadedEncoder, images: list[NDArray[np.uint8]]
) -> None:
    chosen = images[:3]
    ours = loaded.encode(np.stack([loaded.preprocess(image) for image in chosen]))
    assert (ours.shape, ours.dtype, loaded.dim) == ((3, 2048), np.float32, 2048)
    for row, image in zip(ours, chosen, strict=True):
        theirs = _theirs(checkpoint, image)
        # The same operations on a batch of another size: rounding only.
        np.testing.assert_allclose(row, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
    assert np.ptp(ours, axis=0).max() > 0
    # A resize that rounds to whole grey levels would be another encoder.
    assert np.any(loaded.preprocess(chosen[0]).view(np.float32) % 1)


def test_a_batch_is_checked_and_may_be_empty(loaded: LoadedEncoder) -> None:
    assert loaded.encode(np.empty((0, 299, 299, 12), np.uint8)).shape == (0, 2048)
    with pytest.raises(ValueError, match="299, 12"):
        loaded.encode(np.zeros((1, 299, 299, 3), np.uint8))


def test_a_full_device_halves_the_batch(loaded: LoadedEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    batch = np.random.default_rng(0).random((3, 299, 299, 3), np.float32).view(np.uint8)
    expected = loaded.encode(batch)
    module = loaded._module  # type: ignore[attr-defined]

    def small(planes: torch.Tensor) -> torch.Tensor:
        if len(planes) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        found: torch.Tensor = module(planes)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(loaded, "_module", small)
        patch.setattr(loaded, "_batches", DeviceBatches("net", HostMemory(), 9))
        np.testing.assert_allclose(loaded.encode(batch), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_other_weights_are_refused(timm_checkpoint: Path) -> None:
    with pytest.raises(UnusableWeightsError, match="inception-v3-compat") as raised:
        replace(ENCODER, weights=LocalWeights(path=timm_checkpoint)).load()
    assert "\n" not in str(raised.value)
