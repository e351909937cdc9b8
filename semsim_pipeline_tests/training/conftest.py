"""Images that a small network can learn in seconds: coloured stripes, and a source of the kind `cifake`."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semsim_pipeline.training.images import Pictures


def striped(number: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """RGB uint8 [32, 32, 3]: stripes across, along or aslant by class, in random colours, with noise."""
    rows, columns = np.mgrid[:32, :32]
    wave = np.sin((rows, columns, rows + columns)[number] * 0.8 + random.uniform(0, 6))[..., None]
    colour = random.uniform(40, 110, 3)
    return np.clip(128 + wave * colour + random.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)


def pictures(n: int, seed: int) -> Pictures:
    random = np.random.default_rng(seed)
    classes = np.arange(n) % 3
    return Pictures(
        images=np.stack([striped(int(k), random) for k in classes]),
        classes=classes.astype(np.int64),
        ids=tuple(f"{seed}-{k}" for k in range(n)),
        paths=tuple(f"{k}.png" for k in range(n)),
    )


@pytest.fixture(scope="session")
def training() -> Pictures:
    return pictures(240, 0)


@pytest.fixture(scope="session")
def watched() -> Pictures:
    return pictures(90, 1)


def png(pixels: NDArray[np.uint8]) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAKE's layout with ten classes of six images, a copy, a twin of every held-out image, and FAKE ones."""
    random = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("cifake") / "small.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(10):
            suffix = f" ({number + 1})" if number else ""
            for each in range(6):
                small = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                pixels = np.asarray(Image.fromarray(small).resize((32, 32), Image.Resampling.BICUBIC))
                file.writestr(f"train/REAL/{each:04}{suffix}.png", png(pixels))
                file.writestr(f"train/REAL/{each + 50:04}{suffix}.png", png((pixels * 0.8 + 25).astype(np.uint8)))
                file.writestr(f"train/FAKE/{each:04}{suffix}.png", png(255 - pixels))
                if each == 0:
                    file.writestr(f"train/REAL/0099{suffix}.png", png(pixels))
    return path
