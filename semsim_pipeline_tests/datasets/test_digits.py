from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from semsim_pipeline.datasets import digits


def test_pixels_and_labels_are_scikit_learns() -> None:
    got, bundle = digits.load(), load_digits()
    assert got.images.shape == (1797, 8, 8)
    assert np.array_equal(got.images, np.floor(bundle.images * 255 / 16 + 0.5))
    assert got.images.max() == 255
    assert got.labels == tuple(map(str, bundle.target))
