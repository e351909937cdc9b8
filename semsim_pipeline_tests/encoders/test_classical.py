from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semsim_pipeline.encoders import classical
from semsim_pipeline.encoders.classical import DIM, HOG_DIM, ClassicalEncoder

CIFAKE = Path(__file__).parents[3] / "shared" / "data" / "cifake-train.zip"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ANIMALS = {"bird", "cat", "deer", "dog", "frog", "horse"}


def _embed(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    encoder = ClassicalEncoder().load()
    return encoder.encode(np.stack([encoder.preprocess(image) for image in images]))


def test_parts_have_their_weights(images: list[NDArray[np.uint8]]) -> None:
    rows = _embed(images)
    assert rows.shape == (len(images), DIM)
    np.testing.assert_allclose(np.linalg.norm(rows[:, :HOG_DIM], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows[:, HOG_DIM : HOG_DIM + 64], axis=1), 0.5, atol=1e-6)
    layout = np.linalg.norm(rows[:, HOG_DIM + 64 :], axis=1)
    assert (layout < 0.5).all()  # approaches its weight from below; noise has a faint thumbnail
    assert (layout > 0.4).all()


@pytest.mark.parametrize("level", [0, 1, 127, 128, 255])
def test_a_flat_image_has_a_row_with_a_direction(level: int) -> None:
    row = _embed([np.full((20, 30, 3), level, np.uint8)])[0]
    assert np.isfinite(row).all()
    assert np.linalg.norm(row) > 0.4
    assert not row[:HOG_DIM].any()


def test_a_row_does_not_depend_on_its_batch_to_the_bit(images: list[NDArray[np.uint8]]) -> None:
    together = _embed(images)
    alone = np.concatenate([_embed([image]) for image in images])
    np.testing.assert_array_equal(together, alone)


def test_colour_and_shape_both_count() -> None:
    disc = np.zeros((64, 64, 3), np.uint8)
    rows, columns = np.mgrid[:64, :64]
    inside = (rows - 32) ** 2 + (columns - 32) ** 2 < 400
    red, blue, bar = disc.copy(), disc.copy(), disc.copy()
    red[inside], blue[inside], bar[24:40] = (200, 0, 0), (0, 0, 200), (200, 0, 0)
    unit = _embed([red, blue, bar]).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    assert unit[0] @ unit[1] < 0.95
    assert unit[0] @ unit[2] < 0.95


def test_one_grey_level_moves_a_sky_only_a_little() -> None:
    # The reason for soft bins: a hard bin's edge would turn the colour part by up to 90 degrees.
    rows = _embed([np.full((32, 32, 3), level, np.uint8) for level in range(100, 140)]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    steps = (rows[1:] * rows[:-1]).sum(axis=1)
    # 0.98 where the lightness crosses L = 50 and the faint thumbnail of a flat image turns; else above 0.9998.
    assert steps.min() > 0.975


def test_the_fingerprint_covers_parameters_and_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ClassicalEncoder().fingerprint()
    assert before == ClassicalEncoder(batch_size=3).fingerprint()
    for name, value in (("REVISION", 99), ("COLOUR_WEIGHT", 0.6), ("CELL", 16)):
        with monkeypatch.context() as patch:
            patch.setattr(classical, name, value)
            assert ClassicalEncoder().fingerprint() != before
    versions = {"scikit-image": "0.99.1", "pillow": "12.3.0"}
    monkeypatch.setattr(classical, "version", versions.__getitem__)
    other_minor = ClassicalEncoder().fingerprint()
    versions["scikit-image"] = "0.99.7"
    assert ClassicalEncoder().fingerprint() == other_minor != before


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        ClassicalEncoder().load().encode(np.zeros((1, 64, 64, 3), np.uint8))


@pytest.mark.skipif(not CIFAKE.is_file(), reason=f"needs the real CIFAKE archive at {CIFAKE}")
def test_real_classes_come_in_the_published_order() -> None:
    classes = _real_classes(150)
    squared = 0.25  # a quarter of a median squared distance of about 1; the order does not hang on it
    within = {name: _mean_kernel(rows, rows, squared, exclude_self=True) for name, rows in classes.items()}

    def similarity(a: str, b: str) -> float:
        cross = _mean_kernel(classes[a], classes[b], squared)
        return 2 * cross / (within[a] + within[b])

    order = [("cat", "dog"), ("automobile", "truck"), ("airplane", "automobile"), ("cat", "ship"), ("frog", "ship")]
    values = [similarity(a, b) for a, b in order]
    assert values == sorted(values, reverse=True)
    pairs = [(a, b) for a in CLASSES for b in CLASSES if a < b]
    same_kind = [similarity(a, b) for a, b in pairs if (a in ANIMALS) == (b in ANIMALS)]
    other_kind = [similarity(a, b) for a, b in pairs if (a in ANIMALS) != (b in ANIMALS)]
    assert np.median(same_kind) > max(other_kind)


def _real_classes(n: int) -> dict[str, NDArray[np.float64]]:
    """The first n real images of each class, embedded, as unit rows."""
    out = {}
    with zipfile.ZipFile(CIFAKE) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("train/REAL/"))
        for number, label in enumerate(CLASSES, start=1):
            tail = r"\d+\.jpg" if number == 1 else rf"\d+ \({number}\)\.jpg"
            chosen = [name for name in names if re.fullmatch(f"train/REAL/{tail}", name)][:n]
            pixels = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in chosen]
            rows = _embed(pixels).astype(np.float64)
            out[label] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


def _mean_kernel(
    a: NDArray[np.float64], b: NDArray[np.float64], squared: float, *, exclude_self: bool = False
) -> float:
    kernel = np.exp(-(2 - 2 * a @ b.T) / squared)
    if exclude_self:
        return float((kernel.sum() - np.trace(kernel)) / (len(a) * (len(a) - 1)))
    return float(kernel.mean())
