"""What a dataset's spec opens, what is selected on top of it, and what the command line finds under a name."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from semsim_pipeline.catalog import Catalog, check, find_view, parse
from semsim_pipeline.datasets.resolve import open_view
from semsim_pipeline.datasets.views import parse_view
from semsim_pipeline.errors import MissingPathError, UnknownNameError, ViewSyntaxError, WrongCallError
from semsim_pipeline_tests.catalog.conftest import Read
from semsim_pipeline_tests.datasets.conftest import make_cifake, make_folder, make_zip


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalogue beside its data, read from another working folder."""
    home = tmp_path / "home"
    make_folder(home / "photos")
    make_zip(home / "photos.zip")
    make_cifake(home / "c.zip")
    (home / "groups.csv").write_text("path,group\ncat/a/1.jpg,one\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return parse(
        """
datasets:
  photos: photos
  packed: "photos.zip[label=cat|dog]"
  grouped: "photos[group_by=groups.csv]"
  by-folder: "photos[group_by=subfolder]"
  real: "cifake:c.zip[label=REAL,split=train]"
  some: "digits[limit=200]"
  digits: digits
  gone: gone
  gone-zip: gone.zip
encoders:
  e: classical
comparisons:
  x: {across: real, by: class}
  y: {pairs: [[gone, gone-zip]]}
""",
        home / "catalog.yaml",
    )


def names_of(catalog: Catalog, spec: str) -> list[str]:
    return [item.path for item in find_view(spec, catalog).select()]


def test_specs_start_at_the_catalogues_folder(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.datasets["photos"].view().source.location == str(tmp_path / "home" / "photos")
    assert len(names_of(catalog, "photos")) == 5
    assert names_of(catalog, "packed") == ["cat/a/1.jpg", "cat/a/2.JPG", "cat/b/1.png", "dog/1.jpg"]
    groups = {item.group for item in catalog.datasets["grouped"].view().select()}
    assert groups == {"one", None}
    (tmp_path / "home" / "subfolder").mkdir()
    assert "cat/a" in {item.group for item in catalog.datasets["by-folder"].view().select()}
    assert {(i.labels["label"], i.path.split("/")[0]) for i in catalog.datasets["real"].view().select()} == {
        ("REAL", "train")
    }


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("photos", "photos"),
        ("photos[label=cat]", "photos[label=cat]"),
        ("photos[ limit=2, label=cat ]", "photos[label=cat,limit=2]"),
        ("packed", "packed"),
        ("packed[label=cat]", "packed[label=cat]"),
        ("grouped", "grouped"),
        ("real", "real"),
        ("real[class=cat]", "real[class=cat]"),
        ("some", "some"),
        ("some[label=3]", "some[label=3]"),
        ("some[limit=20]", "some[limit=20]"),
        ("digits[label=3]", "digits[label=3]"),
    ],
)
def test_a_found_view_is_called_as_in_the_catalogue(catalog: Catalog, spec: str, name: str) -> None:
    view = find_view(spec, catalog)
    assert view.name == name
    assert next(view.select()).path
    copy = pickle.loads(pickle.dumps(view))
    assert copy == view
    assert copy.name == name


def test_a_smaller_limit_shows_in_the_name(catalog: Catalog) -> None:
    from dataclasses import replace

    for spec, name in {"some": "some[limit=5]", "photos": "photos[limit=5]"}.items():
        view = find_view(spec, catalog)
        assert replace(view, view=view.view.limited(5)).name == name


def test_an_existing_path_wins_then_the_catalogue_then_embedded_names(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_view("photos", catalog).name == "photos"
    make_folder(Path("photos"))
    Path("photos", "cat", "a", "1.jpg").unlink()
    assert find_view("photos", catalog).source.location == str(Path("photos").absolute())
    assert len(names_of(catalog, "photos")) == 4
    make_folder(Path("photos[label=x]"))
    assert len(names_of(catalog, "photos[label=x]")) == 5
    assert find_view("panel-1", catalog).source.kind == "panel-1"
    own = parse("datasets: {panel-1: digits}", Path("catalog.yaml"))
    assert find_view("panel-1", own).source.kind == "digits"
    with pytest.raises(UnknownNameError, match=r"Unknown dataset 'photo'. Did you mean 'photos'\?.*cifake, cifar10"):
        find_view("photo", catalog)
    with pytest.raises(UnknownNameError, match="Did you mean 'label'"):
        find_view("real[lable=cat]", catalog)
    with pytest.raises(MissingPathError, match=r"nothing\.zip"):
        find_view("nothing.zip", catalog)
    with pytest.raises(UnknownNameError, match="source kind"):
        find_view("cifak:x", catalog)
    with pytest.raises(ViewSyntaxError):
        find_view("photos[label", catalog)


def test_embedded_names_in_a_catalogue_are_never_folders(catalog: Catalog, tmp_path: Path) -> None:
    for folder in (tmp_path / "home", Path.cwd()):
        make_folder(folder / "digits")
    assert catalog.datasets["digits"].view().source.kind == "digits"
    assert catalog.datasets["digits"].view().view == open_view("digits").view
    again = parse("datasets: {digits: digits, mine: ./digits}", tmp_path / "home" / "catalog.yaml")
    assert again.datasets["digits"].kind == "digits"
    assert again.datasets["mine"].view().source.kind == "folder"


def test_brackets_in_a_path(tmp_path: Path) -> None:
    make_folder(tmp_path / "a[b=c]")
    where = tmp_path / "catalog.yaml"
    plain = parse("datasets: {a: 'a[b=c]', b: 'a[b=c][label=cat]', c: '\"gone[1]\"[label=cat]'}", where)
    assert len(list(plain.datasets["a"].view().select())) == 5
    assert len(list(plain.datasets["b"].view().select())) == 3
    assert plain.datasets["c"].own.base == str(tmp_path / "gone[1]")


def test_a_sample_is_divided_and_not_drawn_again(catalog: Catalog) -> None:
    whole = set(names_of(catalog, "some"))
    assert len(whole) == 200
    parts = [set(names_of(catalog, f"some[label={label}]")) for label in range(10)]
    assert set.union(*parts) == whole
    assert sum(map(len, parts)) == 200
    fewer = set(names_of(catalog, "some[limit=50]"))
    assert len(fewer) == 50
    assert fewer == set(names_of(catalog, "digits[limit=50]")), "the lowest hashes of the lowest hashes"
    views = [
        find_view(spec, catalog) for spec in ("some", "some[label=3]", "digits[label=3]", "digits[label=3,limit=200]")
    ]
    assert len({view.key() for view in views}) == 4
    item = next(iter(views[1].select()))
    with views[1].source.open() as reader:
        assert reader.read(item) is not None
    with pytest.raises(UnknownNameError, match="Unknown key of some 'lable'"):
        find_view("some[lable=3]", catalog)


def test_filters_on_top_of_filters(catalog: Catalog) -> None:
    assert names_of(catalog, "packed[label=dog]") == ["dog/1.jpg"]
    with pytest.raises(WrongCallError, match=r"packed is 'photos.zip\[label=cat|dog\]', which filters label already"):
        find_view("packed[label=dog|frog]", catalog)
    with pytest.raises(WrongCallError, match="filters split already"):
        find_view("real[split=test]", catalog)
    assert len(names_of(catalog, "real[class=cat]")) == 1
    with pytest.raises(UnknownNameError, match="split"):
        catalog.datasets["photos"].select(parse_view("any[split=x]"))


def test_what_is_gone_fails_where_it_is_used(catalog: Catalog, tmp_path: Path) -> None:
    for name in ("gone", "gone-zip"):
        with pytest.raises(MissingPathError, match=str(tmp_path / "home" / "gone")):
            catalog.datasets[name].view()
    problems = check(catalog)
    assert [(each.kind, each.name) for each in problems] == [("dataset", "gone"), ("dataset", "gone-zip")]
    assert all("no file or folder" in each.message for each in problems)


def test_check_tells_columns_and_encoders_that_loading_cannot_know(read: Read, tmp_path: Path) -> None:
    make_folder(tmp_path / "photos")
    catalog = read(
        "datasets: {p: photos, q: photos}\n"
        "encoders: {e: classical, f: 'open_clip:ViT-B-33/x.bin', g: 'timm:resnet18/x.bin'}\n"
        "comparisons:\n  x: {pairs: [['p[lable=cat]', 'p[group=x]'], [q, 'q[label=cat]']]}\n"
    )
    dataset, group, clip, timm = check(catalog)
    assert (group.name, group.message) == ("p", "no image has group 'x'; they have no group at all")
    assert (dataset.kind, dataset.name) == ("dataset", "p")
    assert dataset.message.startswith("Unknown column of p 'lable'. Did you mean 'label'?")
    assert (clip.kind, clip.name) == ("encoder", "f")
    assert "ViT-B-32" in clip.message
    assert (timm.kind, timm.name) == ("encoder", "g")
    assert str(tmp_path / "x.bin") in timm.message


def test_a_source_declares_what_it_holds(catalog: Catalog) -> None:
    for name in ("real", "digits"):
        dataset = catalog.datasets[name]
        declared = dataset.source_kind
        assert declared is not None
        found = {column: {i.labels[column] for i in dataset.view().select()} for column in declared.classes}
        assert {column: set(values) for column, values in dataset.values.items()} == found
