from __future__ import annotations

import os
from pathlib import Path

import pytest

from semsim_pipeline.datasets.base import what_else
from semsim_pipeline.datasets.folder import build
from semsim_pipeline.errors import MissingPathError, UnreadableImageError, WrongCallError
from semsim_pipeline_tests.datasets.conftest import contents, jpeg, later, make_folder


def test_lists_images_in_order_without_litter(tmp_path: Path) -> None:
    items = list(build(str(make_folder(tmp_path)), {}).items())
    assert [item.path for item in items] == ["root.png", "cat/a/1.jpg", "cat/a/2.JPG", "cat/b/1.png", "dog/1.jpg"]
    assert [item.labels["label"] for item in items] == ["", "cat", "cat", "cat", "dog"]
    assert all(item.group is None for item in items)
    with build(str(tmp_path), {}).open() as reader:
        assert [reader.read(item) for item in items] == [contents()[item.path] for item in items]


def test_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(1))
    source = build(str(tmp_path), {})
    before = next(source.items())
    later(path)
    assert next(source.items()).stamp != before.stamp
    assert before.size == path.stat().st_size


def test_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    (root / "a" / "b").mkdir(parents=True)
    other.mkdir()
    (other / "1.jpg").write_bytes(jpeg(1))
    (root / "a" / "2.jpg").write_bytes(jpeg(2))
    (root / "a" / "b" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "linked").symlink_to(other)
    (root / "a" / "3.jpg").symlink_to(other / "1.jpg")
    (root / "4.jpg").symlink_to("4.jpg")
    (root / "5.jpg").symlink_to("gone")
    os.mkfifo(root / "6.jpg")
    source = build(str(root), {})
    items = list(source.items())
    assert [i.path for i in items] == ["4.jpg", "5.jpg", "a/2.jpg", "a/3.jpg", "linked/1.jpg"]
    with source.open() as reader:
        assert reader.read(items[3]) == jpeg(1)
        for broken in items[:2]:
            with pytest.raises(UnreadableImageError) as caught:
                reader.read(broken)
            assert str(tmp_path) not in str(caught.value)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "b\\ackslash").mkdir()
    for i, name in enumerate((b"\xff\xfe.jpg", b"b\\ackslash/\xe9.jpg", "ü\u20ac.jpg".encode())):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(jpeg(i))
    source = build(str(tmp_path), {})
    items = list(source.items())
    assert len(items) == 3
    with source.open() as reader:
        assert sorted(reader.read(item) for item in items) == sorted(jpeg(i) for i in range(3))
    assert all(item.path.encode() and item.labels["label"].encode() is not None for item in items)


def test_an_empty_folder_says_what_is_there(tmp_path: Path) -> None:
    source = build(str(tmp_path), {})
    assert list(source.items()) == []
    assert what_else(source) == "nothing"
    (tmp_path / "x.csv").touch()
    assert what_else(source) == "1 other file (1 .csv)"


def test_wrong_places(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match="no folder"):
        build(str(tmp_path / "gone"), {})
    (tmp_path / "file").touch()
    with pytest.raises(WrongCallError, match="is a file"):
        build(str(tmp_path / "file"), {})
    source = build(str(tmp_path), {})
    (tmp_path / "file").unlink()
    tmp_path.rmdir()
    with pytest.raises(MissingPathError):
        list(source.items())
    tmp_path.mkdir()
