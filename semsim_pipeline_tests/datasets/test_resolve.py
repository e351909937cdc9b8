from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from semsim_pipeline.datasets.resolve import group_scope, open_source, open_view, source_key
from semsim_pipeline.datasets.selection import rank
from semsim_pipeline.errors import (
    CorruptSourceError,
    EmptyDatasetError,
    MissingPathError,
    UnknownNameError,
    ViewSyntaxError,
    WrongCallError,
)
from semsim_pipeline_tests.datasets.conftest import jpeg, make_cifake, make_folder, make_parquet, make_tar, make_zip


def paths(spec: str) -> list[str]:
    return [item.path for item in open_view(spec).select()]


def test_kinds_by_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    made = {
        "folder": make_folder(tmp_path / "images"),
        "archive": make_tar(tmp_path / "oddly named", "w:gz"),
        "parquet": make_parquet(tmp_path / "shards" / "x.parquet"),
    }
    for kind, path in made.items():
        assert open_view(str(path)).source.kind == kind
    assert open_view(str(tmp_path / "shards")).source.kind == "parquet"
    assert open_view(f"cifake:{make_cifake(tmp_path / 'c.zip')}").source.kind == "cifake"
    assert open_view("digits").source.kind == "digits"
    (tmp_path / "shards" / "1.jpg").write_bytes(jpeg(1))
    assert open_view(str(tmp_path / "shards")).source.kind == "folder"


def test_a_path_beats_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "digits")
    make_folder(tmp_path / "a[label=dog]")
    assert open_view("digits").source.kind == "folder"
    assert len(paths("a[label=dog]")) == 5
    assert len(paths("a[label=dog][label=cat]")) == 3


def test_filters(tmp_path: Path) -> None:
    place = make_zip(tmp_path / "x.zip")
    assert paths(f"{place}[label=dog]") == ["dog/1.jpg"]
    assert paths(f"{place}[label=dog|cat]") == ["cat/a/1.jpg", "cat/a/2.JPG", "cat/b/1.png", "dog/1.jpg"]
    assert paths(f'{place}[label=""]') == ["root.png"]
    assert paths(f"{place}[group_by=subfolder,group=cat/b]") == ["cat/b/1.png"]
    with pytest.raises(UnknownNameError, match="Did you mean 'cat'"):
        paths(f"{place}[label=cta]")
    with pytest.raises(UnknownNameError, match="Did you mean 'dog'"):
        paths(f"{place}[label=cat|dgo]")
    with pytest.raises(EmptyDatasetError, match="together"):
        paths(f"{place}[group_by=subfolder,label=dog,group=cat/b]")


def test_unknown_keys(tmp_path: Path) -> None:
    place = make_zip(tmp_path / "x.zip")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'label'.*group_by"):
        open_view(f"{place}[lable=cat]")
    with pytest.raises(UnknownNameError, match="cifake:"):
        open_view(f"{place}[class=cat]")
    assert open_view(f"cifake:{make_cifake(tmp_path / 'c.zip')}[class=cat,split=train]").view.options == {
        "split": "train"
    }


def test_limit_is_a_fair_sample_in_source_order() -> None:
    everything = paths("digits")
    some = paths("digits[limit=500]")
    assert some == [path for path in everything if path in set(some)]
    assert set(some) == set(sorted(everything, key=lambda path: rank(0, path))[:500])
    assert set(paths("digits[limit=100]")) < set(some)
    assert set(paths("digits[limit=500,seed=1]")) != set(some)
    assert paths("digits[limit=5000]") == everything
    counts = Counter(item.labels["label"] for item in open_view("digits[limit=500]").select())
    assert min(counts.values()) > 25
    assert len(paths("digits[label=3,limit=20]")) == 20


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ("digit", UnknownNameError, "Did you mean 'digits'.*path"),
        ("folder:", WrongCallError, "needs a location"),
        ("folder", WrongCallError, "folder:PATH"),
        ("digits:x", WrongCallError, "takes no location"),
        ("ciffake:x.zip", UnknownNameError, "Did you mean 'cifake'"),
        ("gone/photos", MissingPathError, "/gone/photos"),
        ("photos.zip", MissingPathError, "/photos.zip"),
        ("folder:gone", MissingPathError, "gone"),
        ("photos.zip[label=cat", ViewSyntaxError, "not closed"),
        ("digits[group_by=x]", UnknownNameError, "label"),
        ("one.jpg", WrongCallError, "single image"),
        ("notes.txt", WrongCallError, "no dataset"),
        ("bad.zip", CorruptSourceError, "neither"),
        ("bad.parquet", CorruptSourceError, "Parquet"),
        ("x\0y/z", MissingPathError, "no file"),
    ],
)
def test_wrong_specs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, error: type[Exception], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.jpg").write_bytes(jpeg(1))
    for name in ("notes.txt", "bad.zip", "bad.parquet"):
        (tmp_path / name).write_bytes(b"nothing useful")
    with pytest.raises(error, match=said) as caught:
        open_view(spec)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(EmptyDatasetError, match=r"1 \.csv"):
        paths(str(tmp_path))


def test_two_folders_of_one_name_are_two_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (make_folder(tmp_path / side / "train") for side in "ab")
    keys = {source_key(open_view(str(place)).source) for place in (one, other)}
    slugs = {open_view(str(place)).slug() for place in (one, other)}
    assert len(keys) == len(slugs) == 2
    monkeypatch.chdir(tmp_path / "a")
    assert source_key(open_view("train").source) in keys
    assert open_view("train").slug() in slugs
    assert open_view("train").key() == open_view(str(one)).key()
    assert open_view("train[label=cat]").key() != open_view("train").key()
    assert source_key(open_view("train[group_by=subfolder]").source) not in keys


def test_groups_of_subfolders_are_the_sources_own(tmp_path: Path) -> None:
    folders = [make_folder(tmp_path / name) for name in ("one", "two")]
    scopes = [group_scope(open_source(str(folder), {"group_by": "subfolder"})) for folder in folders]
    assert scopes[0] != scopes[1]
    assert all(scope.endswith("\x1f") for scope in scopes)
    assert group_scope(open_source(str(folders[0]))) == ""
    named = tmp_path / "groups.csv"
    named.write_text("path,group\n")
    assert group_scope(open_source(str(folders[0]), {"group_by": str(named)})) == "", "a CSV names groups on purpose"
