from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from semsim_pipeline.comparison.selected import SelectedView, select_all
from semsim_pipeline.comparison.sets import open_sets
from semsim_pipeline.datasets.perceptual import perceptual_hash
from semsim_pipeline.extract import hashes as backfill
from semsim_pipeline.extract import prepare
from semsim_pipeline.extract.hashes import image_hashes
from semsim_pipeline.extract.records import Extraction, ExtractOptions
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.store.hashes import HASHED, HashStore, LoadedHashes
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource, FakeView, encoded, pixels

ONE = ExtractOptions(workers=1, part_rows=16)


def view(n: int, **changes: object) -> FakeView:
    return FakeView(source=FakeSource(n=n, **changes))  # type: ignore[arg-type]


def selected(extraction: Extraction, source: FakeSource, home: Path) -> SelectedView:
    return select_all("view", source, extraction, home)


class Counted:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        self.calls += 1
        return perceptual_hash(image)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    """How often images were hashed while embedding, and afterwards."""
    found = {"embedding": Counted(), "afterwards": Counted()}
    monkeypatch.setattr(prepare, "perceptual_hash", found["embedding"])
    monkeypatch.setattr(backfill, "perceptual_hash", found["afterwards"])
    return found


def test_hashes_are_made_where_images_are_decoded_once_for_all_encoders(
    tmp_path: Path, decoded: dict[str, Counted]
) -> None:
    images = view(40, distinct=30)
    first = embed_view(images, FakeEncoder(), tmp_path, ONE)
    assert (decoded["embedding"].calls, decoded["afterwards"].calls) == (30, 0)
    embed_view(images, FakeEncoder(name="other"), tmp_path, ONE)
    embed_view(images, FakeEncoder(), tmp_path, ONE)
    assert (decoded["embedding"].calls, decoded["afterwards"].calls) == (30, 0)
    found = open_sets(tmp_path, {"a": selected(first, images.source, tmp_path)})["a"].hashes
    assert found is not None
    wanted = [perceptual_hash(pixels(i % 30)) for i in range(40)]
    assert found.tolist() == [each.tolist() for each in wanted if each is not None]


def test_images_embedded_before_there_were_hashes_get_theirs_without_being_embedded_again(
    tmp_path: Path, decoded: dict[str, Counted]
) -> None:
    images, log = view(40, bad=frozenset({3})), tmp_path / "log"
    before = embed_view(images, FakeEncoder(log=str(log)), tmp_path, ONE)
    whole = selected(before, images.source, tmp_path)
    shutil.rmtree(image_hashes(tmp_path).folder)
    bare = selected(before, images.source, tmp_path)
    assert not bare.rows[HASHED].any()
    assert bare.version() != whole.version(), "a score without hashes is another score"
    assert open_sets(tmp_path, {"a": bare})["a"].hashes is not None
    after = embed_view(images, FakeEncoder(log=str(log)), tmp_path, ONE)
    assert decoded["afterwards"].calls == encoded(log) == 39
    assert selected(after, images.source, tmp_path).version() == whole.version()
    assert selected(after, images.source, tmp_path).rows.equals(whole.rows)
    embed_view(images, FakeEncoder(log=str(log)), tmp_path, ONE)
    assert decoded["afterwards"].calls == 39


def test_an_image_that_is_gone_stays_without_a_hash_and_stops_nobody(tmp_path: Path) -> None:
    images = view(20)
    done = embed_view(images, FakeEncoder(), tmp_path, ONE)
    shutil.rmtree(image_hashes(tmp_path).folder)
    gone = replace(images, source=replace(images.source, gone=frozenset({7})))
    embed_view(gone, FakeEncoder(), tmp_path, ONE)
    rows = selected(done, images.source, tmp_path).rows
    assert rows.filter(~pl.col(HASHED))["path"].to_list() == ["1/7.png"]


def test_an_image_in_two_files_of_hashes_is_one_row(tmp_path: Path) -> None:
    store = HashStore.at(tmp_path, "some", 2)
    one, other = np.array([[1, 2], [0, 0]], np.uint64), np.array([[0, 0], [5, 6]], np.uint64)
    store.write(store.path(["a", "b"]), ["a", "b"], one)
    store.write(store.path(["b", "c"]), ["b", "c"], other)
    rows = pl.DataFrame({"image_id": ["c", "b", "x", "a", "b"], "path": list("12345")})
    found = store.joined(rows)
    assert found["path"].to_list() == list("12345")
    assert found[HASHED].to_list() == [True, True, False, True, True]
    words = store.of(found)
    assert words is not None
    assert words.tolist() == [[5, 6], [0, 0], [0, 0], [1, 2], [0, 0]]
    assert store.of(rows) is None


def test_hashes_are_whole_or_absent(tmp_path: Path) -> None:
    store = HashStore.at(tmp_path, "some", 2)
    with pytest.raises(ValueError, match="do not agree"):
        store.write(store.path(["a"]), ["a"], np.zeros((2, 2), np.uint64))
    store.folder.mkdir(parents=True)
    (store.folder / ".tmp-999999999-ab").write_bytes(b"half")
    store.recover()
    assert not list(store.folder.iterdir())
    assert store.joined(pl.DataFrame({"image_id": ["a"]}))[HASHED].to_list() == [False]


def test_hashes_that_were_loaded_join_as_those_that_were_not(tmp_path: Path) -> None:
    store = HashStore.at(tmp_path, "some", 2)
    ids = [f"{number:064x}" for number in range(6)]
    assert LoadedHashes(store).joined(pl.DataFrame({"image_id": ids}))[HASHED].to_list() == [False] * 6
    store.write(store.path(ids[:3]), ids[:3], np.arange(6, dtype=np.uint64).reshape(3, 2))
    store.write(store.path(ids[2:4]), ids[2:4], np.array([[4, 5], [6, 7]], dtype=np.uint64))
    rows = pl.DataFrame({"image_id": [ids[3], ids[5], ids[2], ids[0], ids[2]], "other": range(5)})
    assert LoadedHashes(store).joined(rows).equals(store.joined(rows))
    assert LoadedHashes(store).joined(rows)[HASHED].to_list() == [True, False, True, True, True]
