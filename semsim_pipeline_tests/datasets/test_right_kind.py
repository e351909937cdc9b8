from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from semsim_pipeline.datasets.right_kind import problem_of
from semsim_pipeline_tests.datasets.conftest import jpeg, make_parquet, make_tar, make_zip


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_what_is_whole_passes(tmp_path: Path, mode: str) -> None:
    assert problem_of(make_zip(tmp_path / "a.zip"), "a.zip") is None
    assert problem_of(make_parquet(tmp_path / "a.parquet"), "a.parquet") is None
    tar = make_tar(tmp_path / "a.tar", mode)
    for name in ("a.tar", "A.TAR.GZ", "a.tgz", "a.tar.bz2", "a.tbz2", "a.tar.xz", "a.txz"):
        assert problem_of(tar, name) is None  # a tar is told by its content, however it is packed


def test_a_zip_may_be_empty_have_a_comment_or_something_in_front(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "none.zip", "w"):
        pass
    assert problem_of(tmp_path / "none.zip", "none.zip") is None
    with zipfile.ZipFile(make_zip(tmp_path / "a.zip"), "a") as archive:
        archive.comment = b"PK\x05\x06 of a comment" * 20
    assert problem_of(tmp_path / "a.zip", "a.zip") is None
    inside = put(tmp_path / "b.zip", b"#!/bin/sh\n" + (tmp_path / "a.zip").read_bytes())
    assert problem_of(inside, "b.zip") is None


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_zip_or_table_that_is_cut_short(tmp_path: Path, part: float) -> None:
    for path, kind in ((make_zip(tmp_path / "a.zip"), "zip"), (make_parquet(tmp_path / "a.parquet"), "Parquet file")):
        whole = path.read_bytes()
        cut = put(tmp_path / f"cut{path.suffix}.part", whole[: int(len(whole) * part)])
        assert problem_of(cut, path.name) == f"is a {kind} that is cut short or damaged"


def test_a_zip_whose_beginning_is_missing(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "a.zip", zipfile.ZIP_STORED).read_bytes()
    assert problem_of(put(tmp_path / "b.zip", whole[100:]), "b.zip") == "is not a zip"


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_that_ends_in_its_first_member(tmp_path: Path, mode: str) -> None:
    content = jpeg(1, (200, 200))
    with tarfile.open(tmp_path / "a.tar", mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("cat/1.jpg")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    whole = (tmp_path / "a.tar").read_bytes()
    assert problem_of(tmp_path / "a.tar", "a.tar") is None
    cut = put(tmp_path / "cut", whole[: min(len(whole) // 2, len(content) // 2)])
    assert problem_of(cut, "a.tar") == "is a tar that is cut short or damaged"


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.parquet"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty, not a "),
        (b"\n <!DOCTYPE HTML PUBLIC>", "is a web page (HTML), not a "),
        (b"<!-- hello -->\n<html lang='en'>", "is a web page (HTML), not a "),
        (b'{"error": "quota"}', "is not a "),
        (b"\0" * 2000, "is not a "),
    ],
)
def test_something_else_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    said = problem_of(put(tmp_path / "x", content), name)
    assert said is not None
    assert said.startswith(says)


@pytest.mark.parametrize("name", ["download", "a.bin", "zip", "a.zip.txt", "w.pth"])
def test_a_name_that_says_nothing_is_not_looked_at(tmp_path: Path, name: str) -> None:
    assert problem_of(put(tmp_path / "x", b"<html>"), name) is None
