from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from semsim_pipeline.datasets import archive, folder
from semsim_pipeline.datasets.base import Source
from semsim_pipeline.errors import MissingPathError, WrongCallError
from semsim_pipeline_tests.datasets.conftest import make_folder, make_zip

Make = Callable[[dict[str, str]], Source]


@pytest.fixture(params=["folder", "archive"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "folder":
        place = make_folder(tmp_path / "images")
        return lambda options: folder.build(str(place), options)
    packed = make_zip(tmp_path / "images.zip")
    return lambda options: archive.build(str(packed), options)


def groups(source: Source) -> dict[str, str | None]:
    return {item.path: item.group for item in source.items()}


def test_second_level(make: Make) -> None:
    got = groups(make({"group_by": "subfolder"}))
    assert got["cat/a/1.jpg"] == got["cat/a/2.JPG"] == "cat/a"
    assert got["cat/b/1.png"] == "cat/b"
    assert got["dog/1.jpg"] is None


def test_csv(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "groups.csv").write_text("\ufeffpath,group,note\ncat/a/1.jpg,v1,x\n./dog/1.jpg,v1,y\n")
    monkeypatch.chdir(tmp_path)
    source = make({"group_by": "groups.csv"})
    assert source.options["group_by"] == str(tmp_path / "groups.csv")
    got = groups(source)
    assert got["cat/a/1.jpg"] == got["dog/1.jpg"] == "v1"
    assert got["root.png"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "columns path,group"), ("path,group\ncat/9.jpg,v\n", "cat/9.jpg"), ("", "columns")],
)
def test_csv_that_is_wrong(make: Make, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(WrongCallError, match=said):
        list(make({"group_by": str(tmp_path / "groups.csv")}).items())


def test_neither_word_nor_file(make: Make) -> None:
    with pytest.raises(MissingPathError, match="'subfolder' or a CSV"):
        make({"group_by": "subfolders"})
