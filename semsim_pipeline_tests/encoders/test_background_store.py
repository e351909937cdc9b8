from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsim_pipeline.encoders import background_store as store
from semsim_pipeline.encoders.background_store import Calibration
from semsim_pipeline.errors import StoreError

PRINT = "ab" * 32
CALIBRATION = Calibration(
    encoder_fingerprint=PRINT,
    panel="panel-1",
    panel_digest="cd" * 32,
    n=1000,
    bandwidth=0.1 + 0.2,
    kappa=1 / 3,
    mean=np.random.default_rng(0).normal(size=5),
)


def test_what_is_saved_comes_back_to_the_last_digit(tmp_path: Path) -> None:
    saved = store.save_background(tmp_path, CALIBRATION)
    read = store.cached_background(tmp_path, PRINT, "panel-1")
    assert read is not None
    assert (read.id, read.bandwidth, read.kappa, read.source) == (saved.id, 0.1 + 0.2, 1 / 3, "panel-1")
    assert read.calibrated
    assert read.mean is not None
    np.testing.assert_array_equal(read.mean, CALIBRATION.mean)


def test_the_id_follows_from_everything() -> None:
    ids = {
        each.background().id
        for each in (
            CALIBRATION,
            replace(CALIBRATION, n=999),
            replace(CALIBRATION, kappa=0.3),
            replace(CALIBRATION, bandwidth=0.3),
            replace(CALIBRATION, panel="other"),
            replace(CALIBRATION, panel_digest="00"),
            replace(CALIBRATION, encoder_fingerprint="00"),
            replace(CALIBRATION, mean=CALIBRATION.mean + 1e-12),
        )
    }
    assert len(ids) == 8


def test_the_panel_calibrated_last_is_the_active_one(tmp_path: Path) -> None:
    assert store.cached_background(tmp_path, PRINT) is None
    store.save_background(tmp_path, CALIBRATION)
    own = store.save_background(tmp_path, replace(CALIBRATION, panel="photos[label=cat]"))
    active = store.active_background(tmp_path, PRINT)
    assert active is not None
    assert active.id == own.id
    first = store.cached_background(tmp_path, PRINT, "panel-1")
    assert first is not None
    assert first.source == "panel-1"
    again = store.save_background(tmp_path, CALIBRATION)
    active = store.active_background(tmp_path, PRINT)
    assert active is not None
    assert active.id == again.id


def test_another_encoders_background_is_not_found(tmp_path: Path) -> None:
    store.save_background(tmp_path, CALIBRATION)
    assert store.cached_background(tmp_path, "ff" * 32) is None
    # Equal in the 16 digits that name the folder, different after them.
    assert store.cached_background(tmp_path, PRINT[:16] + "0" * 48) is None


def test_packaged_ones_are_matched_by_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "files", lambda package: tmp_path)
    assert store.packaged_background(PRINT) is None
    store.write_calibration(
        tmp_path / "backgrounds" / "other.json", replace(CALIBRATION, encoder_fingerprint="00" * 32)
    )
    assert store.packaged_background(PRINT) is None
    store.write_calibration(tmp_path / "backgrounds" / "this.json", CALIBRATION)
    found = store.packaged_background(PRINT)
    assert found is not None
    assert found.id == CALIBRATION.background().id
    fallback = store.active_background(tmp_path / "home", PRINT)
    assert fallback is not None
    assert fallback.id == found.id


def test_every_packaged_background_can_be_read() -> None:
    folder = Path(store.__file__).parent / "backgrounds"
    for path in folder.glob("*.json"):
        store.read_calibration(path)


@pytest.mark.parametrize("damage", ["cut", "edited", "not json", "a list"])
def test_a_damaged_file_is_refused_with_the_remedy(damage: str, tmp_path: Path) -> None:
    store.save_background(tmp_path, CALIBRATION)
    path = tmp_path / "backgrounds" / PRINT[:16] / "panel-1.json"
    text = path.read_text()
    content = json.loads(text)
    content["kappa"] = 0.5
    path.write_text({"cut": text[:40], "edited": json.dumps(content), "not json": "?", "a list": "[1]"}[damage])
    with pytest.raises(StoreError, match="semsim encoders calibrate"):
        store.cached_background(tmp_path, PRINT)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_two_panels_never_share_a_file(panels: list[str]) -> None:
    slugs = [store._slug(panel) for panel in panels]
    assert slugs[0].lower() != slugs[1].lower()
    for slug in slugs:
        assert slug not in {"", ".", "..", "active"}
        assert "/" not in slug


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = store.save_background(tmp_path, CALIBRATION)

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(StoreError, match="No space left"):
        store.save_background(tmp_path, replace(CALIBRATION, kappa=0.5))
    monkeypatch.undo()
    read = store.cached_background(tmp_path, PRINT)
    assert read is not None
    assert read.id == old.id
    assert list(tmp_path.rglob("*.tmp")) == []
