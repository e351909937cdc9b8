from __future__ import annotations

import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.encoders import DEFAULT_ENCODER, mini
from semsim_pipeline.encoders.background_store import packaged_background
from semsim_pipeline.encoders.base import LoadedEncoder
from semsim_pipeline.encoders.mini_network import DIM
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.errors import MissingPathError, MissingWeightsError, UnusableWeightsError, WrongCallError

MOST_BYTES = 4 * 2**20


@pytest.fixture(scope="module")
def loaded() -> LoadedEncoder:
    return resolve_encoder("mini").load()


def embed(encoder: LoadedEncoder, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return encoder.encode(np.stack([encoder.preprocess(image) for image in images]))


def test_it_is_the_default_and_small_enough_to_ship() -> None:
    assert DEFAULT_ENCODER == "mini"
    assert mini.WEIGHTS.stat().st_size <= MOST_BYTES
    assert mini.WEIGHTS.is_relative_to(Path(mini.__file__).parent)  # so that it is in the wheel


def test_rows_are_float32_batch_independent_and_the_same_again(loaded: LoadedEncoder, images) -> None:
    together = embed(loaded, images)
    assert together.shape == (len(images), DIM)
    assert together.dtype == np.float32
    assert 128 <= DIM <= 256
    alone = np.concatenate([embed(loaded, [image]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(embed(loaded, images), together)
    np.testing.assert_array_equal(embed(resolve_encoder("mini").load(), images), together)


def test_any_size_is_reduced_without_aliasing(loaded: LoadedEncoder) -> None:
    # Fine stripes become grey, as for the peers' transforms; without a widened filter they would stay.
    stripes = np.tile(np.array([0, 255], np.uint8)[None, :, None], (320, 160, 3))
    grey = np.full((320, 320, 3), 127, np.uint8)
    assert np.abs(loaded.preprocess(stripes).astype(int) - loaded.preprocess(grey).astype(int)).max() <= 6  # of 127


def test_it_needs_no_network_and_its_fingerprint_no_home(monkeypatch, tmp_path: Path, images) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "never"))
    encoder = pickle.loads(pickle.dumps(resolve_encoder("mini")))
    assert len(encoder.fingerprint()) == 64
    assert np.isfinite(embed(encoder.load(), images)).all()
    assert not (tmp_path / "never").exists()


def test_the_background_that_ships_is_of_these_weights() -> None:
    found = packaged_background(resolve_encoder("mini").fingerprint())
    assert found is not None, "run: semsim encoders calibrate mini --panel panel-1, and copy its file"
    assert found.source == "panel-1"
    assert 0 < found.kappa < 0.5
    assert len(found.mean) == DIM


def test_a_copy_is_another_encoder_only_where_its_weights_differ(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    same, other = tmp_path / "same.safetensors", tmp_path / "other.safetensors"
    same.write_bytes(mini.WEIGHTS.read_bytes())
    weights = load_file(same)
    save_file({name: value * np.float16(1.01) for name, value in weights.items()}, other)
    shipped = resolve_encoder("mini").fingerprint()
    assert resolve_encoder(f"mini:{same}").fingerprint() == shipped
    assert resolve_encoder(f"mini:{other}").fingerprint() != shipped
    save_file({name: value for name, value in weights.items() if not name.endswith("bias")}, other)
    with pytest.raises(UnusableWeightsError, match="missing"):
        resolve_encoder(f"mini:{other}").load()


def test_wrong_names_and_a_broken_installation_are_one_line(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(WrongCallError, match="mini:runs"):
        resolve_encoder("mini:")
    with pytest.raises(MissingPathError, match="called 'mini'"):
        resolve_encoder(f"mini:{tmp_path}/nothing.safetensors")
    lost = mini._encoder("mini", mini.PackagedWeights(path=tmp_path / "gone.safetensors"), mini.ABOUT)
    with pytest.raises(MissingWeightsError, match="force-reinstall"):
        lost.fingerprint()
    with pytest.raises(MissingWeightsError, match="force-reinstall"):
        lost.load()
