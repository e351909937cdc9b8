from __future__ import annotations

import json
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from semsim_pipeline.errors import InvalidEmbeddingsError, TooFewSamplesError
from semsim_pipeline.metrics import background as module
from semsim_pipeline.metrics.background import measure_background

NAMES = list("aabbbccddee")
ROWS = np.random.default_rng(5).normal(size=(len(NAMES), 4)) + 0.5


def test_against_plain_loops() -> None:
    unit = [row / np.sqrt((row**2).sum()) for row in ROWS]
    s2 = median(float(((x - y) ** 2).sum()) for x, y in combinations(unit, 2)) / 4
    kernels = [
        np.exp(-((x - y) ** 2).sum() / s2)
        for i, x in enumerate(unit)
        for j, y in enumerate(unit)
        if NAMES[i] != NAMES[j]
    ]
    found = measure_background(ROWS, NAMES, source="panel")
    assert found.bandwidth == pytest.approx(s2, rel=1e-12)
    assert found.kappa == pytest.approx(float(np.mean(kernels)), rel=1e-12)
    np.testing.assert_allclose(found.mean, np.mean(unit, axis=0), rtol=1e-12)


def test_tiles_and_order_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure_background(ROWS, NAMES, source="panel")
    order = np.random.default_rng(1).permutation(len(NAMES))
    monkeypatch.setattr(module, "TILE_ROWS", 3)
    tiled = measure_background(ROWS[order], [NAMES[i] for i in order], source="panel")
    assert tiled.kappa == pytest.approx(whole.kappa, rel=1e-12)
    assert tiled.bandwidth == pytest.approx(whole.bandwidth, rel=1e-12)


def test_float32_is_close() -> None:
    single = measure_background(ROWS.astype(np.float32), NAMES, source="panel")
    # float32's rounding, 6e-8, divided by s² inside the exponential.
    assert single.kappa == pytest.approx(measure_background(ROWS, NAMES, source="panel").kappa, rel=1e-5)


def test_refusals() -> None:
    with pytest.raises(TooFewSamplesError, match=r"at least 5 categories.*'photos' name 4"):
        measure_background(ROWS, ["a" if name == "b" else name for name in NAMES], source="photos")
    with pytest.raises(TooFewSamplesError, match="no scale"):
        measure_background(np.ones((11, 4)), NAMES, source="photos")
    with pytest.raises(InvalidEmbeddingsError, match="all zeros"):
        measure_background(np.zeros((11, 4)), NAMES, source="photos")


def test_the_packaged_background_is_a_measurement_of_panel_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from semsim_pipeline.comparison.backgrounds import calibrate
    from semsim_pipeline.encoders.resolve import resolve_encoder

    packaged = files("semsim_pipeline.encoders").joinpath("backgrounds", "classical.json")
    if not packaged.is_file():
        pytest.skip("no background ships for `classical`")
    said = json.loads(packaged.read_text(encoding="utf-8"))
    encoder = resolve_encoder("classical")
    if said["encoder_fingerprint"] != encoder.fingerprint():
        pytest.skip("this Pillow or scikit-image is not the one that the packaged background was measured with")
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path))
    found = calibrate(encoder, "panel-1", tmp_path)
    assert found.mean is not None
    # The same code on the same pixels: what differs is the order in which a BLAS sums.
    assert found.bandwidth == pytest.approx(said["bandwidth"], rel=1e-4)
    assert found.kappa == pytest.approx(said["kappa"], rel=1e-4)
    np.testing.assert_allclose(found.mean, said["mean"], atol=1e-4)
