"""Checkpoints of random weights in the published formats, and a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline_tests.servers import Hub, served_hub

OPEN_CLIP_ARCH = "ViT-S-32-alt"
TIMM_ARCH = "test_vit"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees this machine's home, weights or network."""
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def images() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((61, 87), (240, 173), (33, 32), (8, 8))] * 2


@pytest.fixture(scope="session")
def timm_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    # With its classifier, as published.
    save_file(timm.create_model(TIMM_ARCH, pretrained=False).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def open_clip_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("open_clip") / "open_clip_model.safetensors"
    save_file(open_clip.create_model(OPEN_CLIP_ARCH, pretrained=None).state_dict(), path)
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with served_hub(monkeypatch) as served:
        yield served


def one_line(error: BaseException) -> str:
    """What a person is told: one line, not too long."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 700
    return text


def weights_in(folder: Path) -> list[Path]:
    """What a later run could take for weights."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix in {".safetensors", ".pth", ".bin"}]
