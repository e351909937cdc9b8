from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from semsim_pipeline.datasets.base import SOURCES, Source
from semsim_pipeline.datasets.folder import Folder
from semsim_pipeline.datasets.resolve import open_source
from semsim_pipeline.datasets.stamp import RACY_NS, Stamp, Watchable
from semsim_pipeline.errors import MissingPathError
from semsim_pipeline.stages.watched import stamp_of
from semsim_pipeline_tests.pictures import write_pictures


def as_folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos" / "cat", 3).parent


def as_zip(tmp_path: Path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "photos"), "zip", as_folder(tmp_path)))


def as_parquet(tmp_path: Path) -> Path:
    images = [path.read_bytes() for path in sorted(as_folder(tmp_path).rglob("*.png"))]
    shards = tmp_path / "shards"
    shards.mkdir()
    pl.DataFrame({"image": images}).write_parquet(shards / "one.parquet")
    return shards


def as_cifake(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "cifake" / "train" / "REAL", 3, name="{:04d} (4).png").parents[1]


MAKERS: dict[str, Callable[[Path], Path]] = {
    "folder": as_folder, "archive": as_zip, "parquet": as_parquet, "cifake": as_cifake,
}  # fmt: skip


def stamp(source: Source) -> str:
    return stamp_of(source)[0]


FETCHED = {"cifar10", "cifar100", "url", "huggingface"}
"""Their stamps are what was published, and so in the tests of these sources, which have a server."""


def test_every_kind_that_can_change_is_watched() -> None:
    assert set(MAKERS) | FETCHED == {kind.name for kind in SOURCES if not kind.embedded}
    assert not isinstance(open_source("digits"), Watchable)
    assert stamp(open_source("digits")) == stamp(open_source("digits"))


@pytest.mark.parametrize("kind", MAKERS)
def test_a_stamp_moves_with_every_write_and_with_nothing_else(tmp_path: Path, kind: str) -> None:
    where = MAKERS[kind](tmp_path)
    source = open_source(f"{kind}:{where}")
    before = stamp(source)
    assert stamp(source) == before
    file = where if where.is_file() else next(path for path in where.rglob("*") if path.is_file())
    kept = file.stat()
    content = file.read_bytes()
    time.sleep(0.02)
    file.write_bytes(content[:-1] + b"x")  # as long as before, and its modification time put back
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert stamp(source) != before


def test_a_folder_shows_what_was_added_renamed_and_removed_but_not_what_is_no_image(tmp_path: Path) -> None:
    where = as_folder(tmp_path)
    source = Folder(location=str(where))
    seen = {stamp(source)}
    (where / "notes.txt").write_text("nothing to see", encoding="utf-8")
    assert {stamp(source)} == seen
    write_pictures(where / "dog", 1, seed=5)
    seen.add(stamp(source))
    (where / "dog" / "000.png").rename(where / "dog" / "001.png")
    seen.add(stamp(source))
    (where / "cat" / "000.png").unlink()
    seen.add(stamp(source))
    assert len(seen) == 4


def test_the_csv_of_groups_is_watched_with_its_folder(tmp_path: Path) -> None:
    where = as_folder(tmp_path)
    csv = tmp_path / "groups.csv"
    csv.write_text("path,group\ncat/000.png,a\n", encoding="utf-8")
    source = open_source(str(where), {"group_by": str(csv)})
    before = stamp(source)
    csv.write_text("path,group\ncat/000.png,ab\n", encoding="utf-8")
    assert stamp(source) != before


@pytest.mark.parametrize("kind", MAKERS)
def test_a_source_that_has_gone_says_so(tmp_path: Path, kind: str) -> None:
    where = MAKERS[kind](tmp_path)
    source = open_source(f"{kind}:{where}")
    shutil.rmtree(where) if where.is_dir() else where.unlink()
    with pytest.raises((MissingPathError, OSError)):
        stamp(source)


def test_what_was_just_written_is_not_settled_and_a_clock_set_back_is_no_reason_to_wait() -> None:
    found = Stamp(digest="x", newest_ns=10 * RACY_NS)
    assert not found.settled(10 * RACY_NS)
    assert not found.settled(11 * RACY_NS - 1)
    assert found.settled(11 * RACY_NS)
    assert found.settled(9 * RACY_NS)
