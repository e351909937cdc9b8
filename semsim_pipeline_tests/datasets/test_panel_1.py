from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from semsim_pipeline.datasets import panel_1
from semsim_pipeline.errors import CorruptSourceError
from semsim_pipeline.fingerprint import image_id_of


def test_recipe() -> None:
    source = panel_1.build("", {})
    items = list(source.items())
    assert Counter(i.labels["label"] for i in items) == {p.name: 50 for p in panel_1.PHOTOGRAPHS}
    assert len(panel_1.PHOTOGRAPHS) == 21
    with source.open() as reader:
        crops = [reader.read(item) for item in items[:50]]
    for crop in crops:  # china, 640×427
        assert crop.dtype == np.uint8
        assert crop.shape[0] == crop.shape[1]
        assert crop.shape[2] == 3
        assert 106 <= crop.shape[0] <= 256
    assert len({image_id_of(crop) for crop in crops}) == 50


def test_crops_are_of_the_photograph() -> None:
    from sklearn.datasets import load_sample_image

    source = panel_1.build("", {})
    item = next(source.items())
    with source.open() as reader:
        crop = reader.read(item)
    top, left, side = panel_1._crop("china", 0, 427, 640)
    assert np.array_equal(crop, load_sample_image("china.jpg")[top : top + side, left : left + side])


def test_the_recipe_never_changes() -> None:
    # Drawn once with numpy 2's PCG64: a change here changes every encoder's background, so it needs a new name.
    assert [panel_1._crop("moon", k, 512, 512) for k in range(3)] == [(24, 122, 185), (201, 293, 149), (68, 28, 191)]


def test_a_changed_wheel_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = panel_1.PHOTOGRAPHS[0]._replace(sha256="0" * 64)
    gone = panel_1.PHOTOGRAPHS[1]._replace(file="sklearn/datasets/images/gone.jpg")
    for photograph, said in ((changed, "SHA-256"), (gone, "not installed")):
        with pytest.raises(CorruptSourceError, match=said):
            panel_1._pixels_of(photograph)


def test_every_photograph_is_there() -> None:
    for photograph in panel_1.PHOTOGRAPHS:
        assert min(panel_1._pixels_of(photograph).shape[:2]) >= 100
