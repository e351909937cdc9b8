from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semsim_pipeline.errors import StoreError, WrongCallError
from semsim_pipeline.extract import export
from semsim_pipeline.extract.export import check_export_folder, export_view
from semsim_pipeline.extract.records import Extraction
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline.records import ItemRef
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource, FakeView


@dataclass(frozen=True, kw_only=True)
class Grouped(FakeSource):
    """Every third image is in no group."""

    def items(self) -> Iterator[ItemRef]:
        for item in super().items():
            yield replace(item, group=None if item.locator % 3 == 0 else f"g{item.locator % 3}")


@pytest.fixture
def extraction(tmp_path: Path) -> Extraction:
    return embed_view(FakeView(source=Grouped(n=9)), FakeEncoder(), tmp_path / "home")


def foreign(path: Path) -> Path:
    pq.write_table(pa.table({"mine": [1]}), path)
    return path


def test_groups_are_exported_with_their_scope(extraction: Extraction, tmp_path: Path) -> None:
    for scope in ("", "k\x1f"):
        export_view(extraction, tmp_path / "out", group_scope=scope)
        found = pl.read_parquet(tmp_path / "out" / "part-*.parquet")
        assert found.columns == ["image_id", "path", "group", "embedding"]
        assert found["group"].to_list() == [None, f"{scope}g1", f"{scope}g2"] * 3


def test_a_folder_with_other_peoples_files_is_left_alone(extraction: Extraction, tmp_path: Path) -> None:
    for name in ("part-00001.parquet", "train.parquet", "manifest.parquet"):
        out = tmp_path / name.split(".")[0]
        out.mkdir()
        before = foreign(out / name).read_bytes()
        with pytest.raises(WrongCallError, match=f"holds {name}, not written by semsim"):
            export_view(extraction, out)
        assert [path.name for path in out.iterdir()] == [name]
        assert (out / name).read_bytes() == before
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(WrongCallError, match=r"x\.parquet"):
        check_export_folder(tmp_path / "broken", tmp_path / "home")


def test_the_store_itself_is_no_place_for_an_export(extraction: Extraction, tmp_path: Path, monkeypatch) -> None:
    before = sorted((tmp_path / "home").rglob("*"))
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for out in (extraction.folder, tmp_path / "home", tmp_path / "home" / "new", tmp_path / "link" / "new"):
        with pytest.raises(WrongCallError, match="own store"):
            export_view(extraction, out)
    assert sorted((tmp_path / "home").rglob("*")) == before
    shutil.copytree(extraction.folder, tmp_path / "another-store")
    with pytest.raises(WrongCallError, match="semsim store"):
        export_view(extraction, tmp_path / "another-store")
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    with pytest.raises(WrongCallError, match="own store"):
        check_export_folder(tmp_path / "home" / "new")
    check_export_folder(tmp_path / "not-there-yet")
    foreign(tmp_path / "file")
    with pytest.raises(WrongCallError, match="is a file"):
        check_export_folder(tmp_path / "file")


def test_surplus_parts_go_last_and_nothing_else_goes(extraction: Extraction, tmp_path: Path, monkeypatch) -> None:
    out = export_view(extraction, tmp_path / "out")
    surplus = out / "part-00001.parquet"
    other = out / "part-mine.parquet"
    for copy in (surplus, other):
        shutil.copy(out / "part-00000.parquet", copy)
    (out / "notes.txt").write_text("mine")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(export.shutil, "copyfileobj", full)
        with pytest.raises(StoreError, match="No space"):
            export_view(extraction, out)
    names = ["manifest.parquet", "notes.txt", "part-00000.parquet", "part-00001.parquet", "part-mine.parquet"]
    assert sorted(path.name for path in out.iterdir()) == names
    export_view(extraction, out)
    assert sorted(path.name for path in out.iterdir()) == [name for name in names if name != surplus.name]
