from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from semsim_pipeline.datasets.archive import SeenPaths, build
from semsim_pipeline.datasets.base import what_else
from semsim_pipeline.errors import CorruptSourceError, MissingPathError, UnreadableImageError, WrongCallError
from semsim_pipeline_tests.datasets.conftest import MEMBERS, contents, jpeg, make_tar, make_zip

TAR_MODES = ["w", "w:gz", "w:bz2", "w:xz"]


@pytest.mark.parametrize("mode", ["zip", *TAR_MODES])
def test_recognised_by_content_and_read(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "no-telling-name"
    make_zip(path) if mode == "zip" else make_tar(path, mode)
    source = build(str(path), {})
    items = list(source.items())
    assert [item.path for item in items] == list(MEMBERS)
    assert [item.labels["label"] for item in items] == ["cat", "cat", "cat", "dog", ""]
    with source.open() as reader:
        assert [reader.read(item) for item in items] == [contents()[item.path] for item in items]


@pytest.mark.parametrize("mode", ["zip", *TAR_MODES])
def test_truncated(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x"
    make_zip(path) if mode == "zip" else make_tar(path, mode)
    whole = path.read_bytes()
    # In the middle of the third image: a tar pads its end with zeros, which half of the file may well be.
    keep = whole.index(contents()["cat/b/1.png"]) + 20 if mode == "w" else len(whole) // 2
    path.write_bytes(whole[:keep])

    def everything() -> None:
        source = build(str(path), {})
        with source.open() as reader:
            for item in source.items():
                reader.read(item)

    with pytest.raises(CorruptSourceError, match="truncated") as caught:
        everything()
    assert "\n" not in str(caught.value)


def test_a_tar_cut_between_members_is_not_whole(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "x.tar")
    with tarfile.open(path) as archive:
        second = archive.getmembers()[1]
    path.write_bytes(path.read_bytes()[: second.offset])
    with pytest.raises(CorruptSourceError, match="truncated"):
        list(build(str(path), {}).items())
    path.write_bytes(make_tar(path).read_bytes()[: second.offset] + b"garbage " * 400)
    with pytest.raises(CorruptSourceError, match="truncated"):
        list(build(str(path), {}).items())


def test_the_consumers_own_error_is_not_the_archives(tmp_path: Path) -> None:
    source = build(str(make_tar(tmp_path / "x.tar")), {})
    with pytest.raises(OSError, match="disk full"), source.open():
        raise OSError("disk full")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", bytes(4096), gzip.compress(b"not a tar" * 200, mtime=0)],
    ids=["empty", "text", "zeros", "gzip"],
)
def test_neither_zip_nor_tar(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(CorruptSourceError):
        list(build(str(tmp_path / "x.zip"), {}).items())


def test_wrong_places(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        build(str(tmp_path / "x.zip"), {})
    with pytest.raises(WrongCallError, match="folder"):
        build(str(tmp_path), {})
    source = build(str(make_zip(tmp_path / "x.zip")), {})
    (tmp_path / "x.zip").unlink()
    with pytest.raises(MissingPathError):
        list(source.items())


def test_links_in_a_tar_are_reported_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("1.jpg")
        member.size = len(jpeg(1))
        archive.addfile(member, io.BytesIO(jpeg(1)))
        for name, kind in (("2.jpg", tarfile.LNKTYPE), ("3.jpg", tarfile.SYMTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "1.jpg"
            archive.addfile(link)
        archive.addfile(tarfile.TarInfo("x" * 150 + ".jpg"), io.BytesIO())
    os.utime(path, ns=(0, -(10**9)))  # before 1970: a dash more in every stamp
    source = build(str(path), {})
    items = list(source.items())
    assert [item.path for item in items] == ["1.jpg", "2.jpg", "3.jpg", "x" * 150 + ".jpg"]
    with source.open() as reader:
        assert reader.read(items[0]) == jpeg(1)
        for item in items[1:3]:
            with pytest.raises(UnreadableImageError, match="link"):
                reader.read(item)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(1))
        archive.writestr("a.jpg", jpeg(2))
    source = build(str(tmp_path / "x.zip"), {})
    items = list(source.items())
    assert [item.path for item in items] == ["a.jpg", f"a.jpg#{items[1].locator}"]
    with source.open() as reader:
        assert [reader.read(item) for item in items] == [jpeg(1), jpeg(2)]


def test_seen_paths_is_a_set() -> None:
    seen = SeenPaths()
    names = [f"train/{i % 3000}.jpg" for i in range(5000)]
    assert [seen.is_new(name) for name in names] == [i < 3000 for i in range(5000)]


def test_stamps_change_with_content(tmp_path: Path) -> None:
    def stamp(path: Path) -> str | None:
        return next(build(str(path), {}).items()).stamp

    for kind in ("zip", "tar"):
        stamps = set()
        for seed in (1, 2):
            path = tmp_path / f"{seed}.{kind}"
            if kind == "zip":
                with zipfile.ZipFile(path, "w") as archive:
                    archive.writestr("a.jpg", bytes([seed]) * 100)
            else:
                with tarfile.open(path, "w") as packed:
                    member = tarfile.TarInfo("a.jpg")
                    member.size = 100
                    packed.addfile(member, io.BytesIO(bytes([seed]) * 100))
            stamps.add(stamp(path))
        assert len(stamps) == 2


def test_says_what_else_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("docs/", "")
        archive.writestr("docs/a.txt", "x")
    source = build(str(tmp_path / "x.zip"), {})
    assert list(source.items()) == []
    assert what_else(source) == "1 other file (1 .txt)"


def test_listing_a_tar_is_flat(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "x.tar"
    path.write_bytes(b"".join(tarfile.TarInfo(f"cat/{i:05d}.jpg").tobuf() for i in range(5_000)) + bytes(1024))
    source = build(str(path), {})
    tracemalloc.start()
    assert sum(1 for _ in source.items()) == 5_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 700_000  # TarFile's own list of members: 4 MB
