"""Inception V3 as FID defines it: the network of 2015, its own resize and its 2048 pooled features.

Its building blocks and its resize are torch-fidelity's (extra `fid`), which checked them against the original
TensorFlow graph. The package's own `inception-v3` is another network: its numbers are not FID.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.encoders.bare_init import bare_parameters
from semsim_pipeline.encoders.base import ENCODERS, EncoderKind
from semsim_pipeline.encoders.checkpoint import fit, read_state_dict
from semsim_pipeline.encoders.cuda_feed import CudaMemory
from semsim_pipeline.encoders.device_batches import DeviceBatches, HostMemory
from semsim_pipeline.encoders.exact_float32 import exact_float32
from semsim_pipeline.encoders.network import NetworkEncoder, Recipe, facts_of
from semsim_pipeline.encoders.preprocess import TF1_BILINEAR, ResizeSpec
from semsim_pipeline.encoders.url_weights import UrlWeights

if TYPE_CHECKING:
    import torch

NAME = "inception-fid"
SIDE = 299
DIM = 2048
BYTES = np.dtype(np.float32).itemsize
FEATURES = "2048"
"""What torch-fidelity calls the pooled features."""
CLASSIFIER = "fc."
LAST = "AvgPool"


class InceptionRuntime:
    """A `LoadedEncoder` around the network. TensorFlow's resize gives fractions of grey levels, which FID keeps.

    So a prepared image is float32 [299, 299, 3], handed on as its bytes, uint8 [299, 299, 12].
    """

    def __init__(self, module: torch.nn.Module, recipe: Recipe) -> None:  # noqa: ARG002 - one recipe is all there is
        import torch

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module = module.float().eval().requires_grad_(False).to(self._device)
        cuda = self._device.type == "cuda"
        self._batches = DeviceBatches(NAME, CudaMemory(self._device) if cuda else HostMemory(), sys.maxsize)

    @property
    def dim(self) -> int:
        return DIM

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import torch
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        own = np.require(image, requirements=["C", "W"])
        planes = torch.from_numpy(own).permute(2, 0, 1).unsqueeze(0).to(torch.float32)
        with torch.inference_mode():
            resized = interpolate_bilinear_2d_like_tensorflow1x(planes, size=(SIDE, SIDE), align_corners=False)
        levels: NDArray[np.float32] = resized[0].permute(1, 2, 0).contiguous().numpy()
        return levels.view(np.uint8)

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As the protocol says. Raises ValueError on another dtype or size than `preprocess` gives."""
        if batch.dtype != np.uint8 or batch.shape[1:] != (SIDE, SIDE, 3 * BYTES):
            raise ValueError(f"a batch is uint8 [b, {SIDE}, {SIDE}, {3 * BYTES}]; found {batch.dtype} {batch.shape}")
        if len(batch) == 0:
            return np.empty((0, DIM), np.float32)
        return self._batches.rows(batch, self._rows)

    def _rows(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        out = np.empty((len(batch), DIM), np.float32)
        levels = np.require(batch, requirements=["C", "W"]).view(np.float32)
        with torch.inference_mode(), exact_float32():
            planes = torch.from_numpy(levels).to(self._device).permute(0, 3, 1, 2)
            features = self._module(((planes - 128) / 128).contiguous())
            torch.from_numpy(out).copy_(features)
        return out


def build_inception(recipe: Recipe, path: Path) -> torch.nn.Module:
    """The network up to its pooled features, with the weights of `path`. Raises UnusableWeightsError, ImportError."""
    import torch

    state = read_state_dict(path)
    with bare_parameters():
        whole = _unloaded()
    names = [name for name, _ in whole.named_children()]
    kept = {name: getattr(whole, name) for name in names[: names.index(LAST) + 1]}
    module = torch.nn.Sequential()
    for name, part in kept.items():
        module.add_module(name, part)
    module.add_module("flatten", torch.nn.Flatten(1))
    features = {key: value for key, value in state.items() if not key.startswith(CLASSIFIER)}
    state.clear()
    fit(module, features, path=path, arch=recipe.arch)
    return module


def _unloaded() -> torch.nn.Module:
    """torch-fidelity's extractor without weights. Its constructor would unpickle the file it is given, without care:
    it is given an empty one of ours, and loads nothing from it."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):  # type: ignore[misc] # torch-fidelity has no hints
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """The weights come later, through `fit`."""

    empty = BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    made: torch.nn.Module = Unloaded(NAME, [FEATURES], feature_extractor_weights_path=empty)
    return made


def run_inception(module: torch.nn.Module, recipe: Recipe) -> InceptionRuntime:
    """The network of `build_inception`, ready for batches."""
    return InceptionRuntime(module, recipe)


RECIPE = Recipe(
    family="torch_fidelity",
    library="torch-fidelity",
    arch="inception-v3-compat",
    resize=ResizeSpec(crop=(SIDE, SIDE), scale=(SIDE, SIDE), fit="squash", interpolation=TF1_BILINEAR),
    mean=(128 / 255,) * 3,
    std=(128 / 255,) * 3,
    pooling="pool3: 2048 features after the last average pooling",
    dim=DIM,
)
WEIGHTS = UrlWeights(
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    digest_prefix="6726825d",
)
ENCODER = NetworkEncoder(
    name=NAME,
    recipe=RECIPE,
    weights=WEIGHTS,
    facts=facts_of(
        RECIPE,
        name=NAME,
        weights=WEIGHTS,
        about={
            "licence": "Apache-2.0",
            "source": "Heusel et al. 2017, arXiv:1706.08500 (FID); Szegedy et al. 2015, arXiv:1512.00567; extra `fid`",
        },
    ),
    build=build_inception,
    run=run_inception,
    one_precision="FID is defined in float32",
)


def _resolve_short(name: str) -> NetworkEncoder:  # noqa: ARG001 - a short name has nothing to read
    return ENCODER


ENCODERS.add(NAME, EncoderKind(name=NAME, facts=ENCODER.facts, example=NAME, resolve=_resolve_short))
