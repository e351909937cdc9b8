"""Edits of the catalogue's file: exactly the lines of one entry change, and never into a wrong catalogue."""

from __future__ import annotations

import difflib
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from semsim_pipeline.catalog import edit as editing
from semsim_pipeline.catalog import load_catalog
from semsim_pipeline.catalog.add import add_comparison, add_dataset, add_encoder, add_pair
from semsim_pipeline.catalog.load import PACKAGED
from semsim_pipeline.catalog.remove import remove_comparison, remove_dataset, remove_encoder, remove_pair
from semsim_pipeline.errors import CatalogError, MissingPathError, SemsimError, UnknownNameError, WrongCallError
from semsim_pipeline_tests.datasets.conftest import make_folder

TEXT = """\
# Ours.
datasets:
    # the good ones
    a:   digits      # ten classes
    b: {spec: "digits-generated",   values: {label: ['3', "8"]}}

    # until May
    c: "digits[label=3]"   # three

# Which networks
encoders: { e: classical }   # only one

comparisons:
  x:   # two of them
    title: >
      A long
      title
    pairs:
    - [a, b]   # first
    -   - a
        - c
    # last comment of x
  y: {across: a, by: label, encoders: [e]}
  z: {pairs: [[a, a], [b, b]]}
# the end
"""
FLOW = "datasets: {a: digits, b: digits-generated}\nencoders: {e: classical}\ncomparisons: {x: {pairs: [[a, b]]}}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (folder / "catalog.yaml").write_text(TEXT, encoding="utf-8")
    return folder


def diff(home: Path, before: str = TEXT) -> list[str]:
    after = (home / "catalog.yaml").read_text(encoding="utf-8")
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in list(lines)[2:] if not line.startswith("@@")]


CASES: list[tuple[str, Callable[[Path], object], list[str]]] = [
    ("add dataset", lambda home: add_dataset(home, "d", "digits"), ["+    d: digits"]),
    (
        "add dataset with values",
        lambda home: add_dataset(home, "d", "digits", ["label=1|'2'"]),
        ["+    d: {spec: digits, values: {label: [1, 2]}}"],
    ),
    (
        "add encoder",
        lambda home: add_encoder(home, "f", "classical"),
        ["-encoders: { e: classical }   # only one", "+encoders: { e: classical, f: classical }   # only one"],
    ),
    ("add pair", lambda home: add_pair(home, ("b", "c"), comparison="x"), ["+    - [b, c]"]),
    (
        "add a view as a pair",
        lambda home: add_pair(home, ("b[ label = 3 ]", "c"), comparison="z"),
        ["-  z: {pairs: [[a, a], [b, b]]}", '+  z: {pairs: [[a, a], [b, b], ["b[label=3]", c]]}'],
    ),
    (
        "add pair elsewhere",
        lambda home: add_pair(home, ("b", "c")),
        ["+  pairs:", "+    pairs:", "+      - [b, c]"],
    ),
    (
        "add pair under an encoder",
        lambda home: add_pair(home, ("b", "c"), ["e"]),
        ["+  pairs-e:", "+    pairs:", "+      - [b, c]", "+    encoders: [e]"],
    ),
    (
        "add comparison",
        lambda home: add_comparison(home, "v", {"across": "b", "by": "label", "schedule": "0 3 * * *", "limit": "9"}),
        ["+  v:", "+    across: b", "+    by: label", '+    schedule: "0 3 * * *"', "+    limit: 9"],
    ),
    ("remove a pair in a block", lambda home: remove_pair(home, ["a", "c"]), ["-    -   - a", "-        - c"]),
    ("remove a pair by its key", lambda home: remove_pair(home, ["a~c@e"]), ["-    -   - a", "-        - c"]),
    ("remove a pair with its comment", lambda home: remove_pair(home, ["a", "b"]), ["-    - [a, b]   # first"]),
    (
        "remove a pair in brackets",
        lambda home: remove_pair(home, ["a~a@e"]),
        ["-  z: {pairs: [[a, a], [b, b]]}", "+  z: {pairs: [[b, b]]}"],
    ),
    (
        "remove the last pair in brackets",
        lambda home: remove_pair(home, ["b", "b"], "z"),
        ["-  z: {pairs: [[a, a], [b, b]]}", "+  z: {pairs: [[a, a]]}"],
    ),
    (
        "remove comparison in one line",
        lambda home: remove_comparison(home, "y"),
        ["-  y: {across: a, by: label, encoders: [e]}"],
    ),
    (
        "remove comparison in a block, with the comment inside it",
        lambda home: remove_comparison(home, "x"),
        [f"-{line}" for line in TEXT.splitlines()[13:22]],
    ),
]


@pytest.mark.parametrize(("change", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_only_the_lines_of_the_entry_change(
    home: Path, change: Callable[[Path], editing.Edited], expected: list[str]
) -> None:
    edited = change(home)
    assert diff(home) == expected
    assert load_catalog(home).pairs.keys() == edited.after.pairs.keys()
    assert len(edited.said) == 1


def test_what_comes_and_goes_is_told(home: Path) -> None:
    edited = add_pair(home, ("b", "c"), comparison="x")
    assert (edited.added, edited.removed, edited.began) == (["b~c@e"], [], False)
    edited = remove_comparison(home, "z")
    assert (edited.added, edited.removed) == ([], ["a~a@e", "b~b@e"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda home: remove_dataset(home, "a"), "in use by 3 comparisons: x, y, z. Remove or change these first"),
        (lambda home: remove_dataset(home, "c"), "in use by 1 comparison: x."),
        (lambda home: remove_dataset(home, "d"), "Unknown dataset 'd'. Known: a, b, c"),
        (lambda home: remove_encoder(home, "e"), "in use by 1 comparison: y."),
        (lambda home: remove_comparison(home, "xx"), "Did you mean 'x'?"),
        (lambda home: remove_pair(home, ["b", "c"]), "do not list b against c"),
        (lambda home: remove_pair(home, ["a", "b"], "z"), "The comparison 'z' does not list a against b"),
        (lambda home: remove_pair(home, ["a.3~a.8@e"]), "a pair of classes in y and goes with it"),
        (lambda home: remove_pair(home, ["a~d@e"]), "Unknown pair 'a~d@e'. Did you mean 'a~c@e'?"),
        (lambda home: add_dataset(home, "a", "digits"), "There is a dataset 'a' in"),
        (lambda home: add_dataset(home, "a.b", "digits"), "Nothing was changed.*the name 'a.b' cannot be used"),
        (lambda home: add_dataset(home, "d", "digits[label=x]"), "Unknown label 'x'|unknown label 'x'"),
        (lambda home: add_dataset(home, "d", "nowhere/x"), "There is no file or folder"),
        (
            lambda home: add_dataset(home, "d", "digits", ["lable"]),
            "Unknown label column 'lable'. Did you mean 'label'",
        ),
        (lambda home: add_dataset(home, "d", "digits", ["label=1,x=2"]), "name one column"),
        (lambda home: add_encoder(home, "f", "clasical"), "Did you mean 'classical'?"),
        (lambda home: add_pair(home, ("a", "nowhere")), "catalog add dataset NAME nowhere"),
        (lambda home: add_pair(home, ("a", "b"), comparison="x"), "the pair a~b@e is there twice"),
        (lambda home: add_pair(home, ("b", "c"), comparison="y"), "takes its pairs from the classes"),
        (lambda home: add_pair(home, ("b", "c"), ["classical"], "x"), "'x' is under e, not classical"),
        (lambda home: add_pair(home, ("b", "c"), ["clasical"]), "Unknown encoder of the catalogue 'clasical'"),
        (
            lambda home: add_pair(home, ("b", "c"), ["timm:resnet18"]),
            "needs an alias.*add encoder ALIAS 'timm:resnet18'",
        ),
        (lambda home: add_comparison(home, "v", {"across": "a"}), "Nothing was changed.*`across` needs `by`"),
        (lambda home: add_comparison(home, "v", {"across": "a", "by": "label", "schedule": "x"}), "five fields"),
    ],
)
def test_what_is_refused_changes_nothing(home: Path, change: Callable[[Path], object], message: str) -> None:
    with pytest.raises(SemsimError, match=message):
        change(home)
    assert diff(home) == []
    assert not [path for path in home.iterdir() if path.name.startswith(".tmp")]


def test_a_wrong_file_is_told_with_its_lines_and_left_alone(home: Path) -> None:
    text = TEXT.replace("datasets:", "datasts:")
    (home / "catalog.yaml").write_text(text)
    with pytest.raises(CatalogError, match=r"catalog\.yaml:2: unknown key 'datasts'"):
        add_dataset(home, "d", "digits")
    assert diff(home, text) == []


def test_it_begins_with_an_empty_catalogue_and_the_default_encoder(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    assert add_dataset(home, "a", "digits").began
    edited = add_pair(home, ("a", "a"))
    assert not edited.began
    assert list(edited.said) == ["Added encoder mini: mini", "Added a against a to the comparison pairs"]
    assert (home / "catalog.yaml").read_text() == (
        "datasets:\n  a: digits\n\nencoders:\n  mini: mini\n\n"
        "comparisons:\n  pairs:\n    pairs:\n      - [a, a]\n    encoders: [mini]\n"
    )
    remove_pair(home, ["a", "a"])
    remove_dataset(home, "a")
    remove_encoder(home, "mini")
    assert (home / "catalog.yaml").read_text() == "datasets:\n\nencoders:\n\ncomparisons:\n"
    add_dataset(home, "b", "digits")
    assert (home / "catalog.yaml").read_text() == "datasets:\n  b: digits\n\nencoders:\n\ncomparisons:\n"


def test_everything_in_brackets(home: Path) -> None:
    path = home / "catalog.yaml"
    path.write_text(FLOW)
    add_dataset(home, "c", "digits[label=3]")
    add_pair(home, ("a", "c"), ["e"])
    assert path.read_text() == (
        'datasets: {a: digits, b: digits-generated, c: "digits[label=3]"}\nencoders: {e: classical}\n'
        "comparisons: {x: {pairs: [[a, b]]}, pairs-e: {pairs: [[a, c]], encoders: [e]}}\n"
    )
    remove_comparison(home, "x")
    remove_dataset(home, "b")
    remove_pair(home, ["a", "c"])
    remove_dataset(home, "c")
    remove_dataset(home, "a")
    assert path.read_text() == "datasets: {}\nencoders: {e: classical}\ncomparisons: {}\n"
    add_dataset(home, "d", "digits")
    assert path.read_text().startswith("datasets: {d: digits}\n")


@pytest.mark.parametrize(
    "text",
    [
        "datasets: &all\n  a: &x digits\n  b: *x\nencoders: {e: classical}\ncomparisons:\n  x: {pairs: [[a, b]]}\n",
        "{datasets: {a: digits, b: digits}, encoders: {e: classical}, comparisons: {x: {pairs: [[a, b]]}}}\n",
        "datasets:\n  a: digits\n  ? b\n  : digits\nencoders: {e: classical}\ncomparisons: {x: {pairs: [[a, b]]}}\n",
        FLOW.replace("\n", "\r\n"),
        "\ufeff" + FLOW,
        FLOW.rstrip("\n"),
        f"---\n{FLOW}...\n",
        "datasets:\n  a: digits\n  b: |\n    digits\n\n\nencoders:\n  e:\n    classical\n"
        "comparisons:\n  x: {pairs: [[a, b]]}\n",
        '"datasets":\n  "a": digits\n  \'b\': "digi\\\n    ts"\nencoders: ~\ncomparisons:\n',
    ],
)  # fmt: skip
def test_odd_spellings_are_edited_rightly_or_not_at_all(home: Path, text: str) -> None:
    path = home / "catalog.yaml"
    path.write_bytes(text.encode())
    before = load_catalog(home)
    for change in (
        lambda: add_dataset(home, "d", "digits"),
        lambda: add_encoder(home, "f", "classical"),
        lambda: remove_comparison(home, "x"),
        lambda: remove_dataset(home, "b"),
        lambda: add_comparison(home, "v", {"across": "a", "by": "label"}),
    ):
        now = path.read_bytes()
        try:
            edited = change()
        except SemsimError:
            assert path.read_bytes() == now
        else:
            after = load_catalog(home)
            assert after.pairs.keys() == edited.after.pairs.keys()
            assert set(before.datasets) ^ set(after.datasets) <= {"b", "d"}
    if "\r\n" in text:
        assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") == text.startswith("\ufeff")


def test_a_cut_that_would_change_something_else_is_not_made(home: Path) -> None:
    text = FLOW.replace("{x: {pairs: [[a, b]]}}", "{x: &two {pairs: [[a, b]]}, y: *two}")
    (home / "catalog.yaml").write_text(text)
    with pytest.raises(CatalogError, match=r"cannot change by itself.*edit it by hand"):
        add_pair(home, ("b", "b"), comparison="y")
    assert diff(home, text) == []


def test_paths_mean_the_same_from_the_catalogues_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "home" / "sub"
    make_folder(here / "photos")
    make_folder(tmp_path / "far")
    make_folder(home / "digits")
    (here / "groups.csv").write_text("path,group\ncat/a/1.jpg,one\n")
    monkeypatch.chdir(here)
    add_dataset(home, "near", "photos[label=cat]")
    add_dataset(home, "grouped", "photos[group_by=groups.csv]")
    add_dataset(home, "far", "../../far/")
    add_dataset(home, "local", "../digits")
    add_dataset(home, "set", "digits")
    catalog = load_catalog(home)
    assert {name: each.spec for name, each in catalog.datasets.items()} == {
        "near": "sub/photos[label=cat]",
        "grouped": "sub/photos[group_by=sub/groups.csv]",
        "far": str(tmp_path / "far"),
        "local": "./digits",
        "set": "digits",
    }
    assert catalog.datasets["local"].view().source.location == str(home / "digits")
    assert {item.group for item in catalog.datasets["grouped"].view().select()} == {"one", None}
    monkeypatch.chdir(home)  # here a folder wins over the embedded set, as for `semsim compare`
    add_dataset(home, "shadowed", "digits")
    assert load_catalog(home).datasets["shadowed"].spec == "./digits"


def test_classes_are_read_where_they_are_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    edited = add_dataset(tmp_path / "home", "p", "photos", ["label"])
    assert edited.after.datasets["p"].values["label"] == ("cat", "dog")
    make_folder(tmp_path / "photos" / "null")
    assert add_dataset(tmp_path / "home", "q", "photos", ["label"]).after.datasets["q"].values["label"][-1] == "null"


def test_a_source_may_come_later_if_one_says_so(home: Path) -> None:
    with pytest.raises(MissingPathError):
        add_dataset(home, "d", "later/photos")
    add_dataset(home, "d", "later/photos", ["label=cat|dog"], look=False)
    assert diff(home)[0].startswith("+    d: {spec: ")


def test_a_link_and_permissions_stay(home: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.yaml"
    (home / "catalog.yaml").rename(real)
    (home / "catalog.yaml").symlink_to(real)
    real.chmod(0o640)
    add_dataset(home, "d", "digits")
    assert (home / "catalog.yaml").is_symlink()
    assert "d: digits" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_an_editor_that_saves_in_between_wins(home: Path) -> None:
    def saved(_after: object) -> None:
        (home / "catalog.yaml").write_text(TEXT + "# saved\n")

    with pytest.raises(CatalogError, match="changed by somebody else"):
        editing.edit(home, lambda draft: draft.add("datasets", "d", "digits"), saved)
    assert diff(home) == ["+# saved"]


def test_two_writers_lose_nothing(home: Path) -> None:
    threads = [threading.Thread(target=add_dataset, args=(home, f"t{n}", "digits")) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"t{n}" for n in range(6)} <= set(load_catalog(home).datasets)


def test_the_packaged_catalogue_can_be_edited(home: Path) -> None:
    text = PACKAGED.read_text(encoding="utf-8")
    (home / "catalog.yaml").write_text(text, encoding="utf-8")
    add_dataset(home, "d", "digits[label=3]")
    add_encoder(home, "f", "classical")
    add_pair(home, ("d", "digits"), ["f"])
    remove_comparison(home, "digit-classes")
    added = ['d: "digits[label=3]"', "f: classical", "pairs-f:", "  pairs:", "    - [d, digits]", "  encoders: [f]"]
    removed = ["digit-classes:", "  title: Handwritten digits, class against class", "  across: digits", "  by: label",
               "  encoders: [classical]"]  # fmt: skip
    assert sorted(diff(home, text)) == sorted([*(f"+  {each}" for each in added), *(f"-  {each}" for each in removed)])


@pytest.mark.parametrize("written", ["mini:w/x.pt", "mini:w/x.pt+bf16", "mini/w/x.pt", "dinov2-s-14/w/x+bf16"])
def test_a_checkpoint_is_the_one_that_is_meant_here(home: Path, tmp_path: Path, written: str) -> None:
    (tmp_path / "w").mkdir()
    for name in ("x.pt", "x"):
        (tmp_path / "w" / name).touch()
    add_encoder(home, "f", written)
    assert load_catalog(home).encoders["f"] == written.replace("w/x", f"{tmp_path}/w/x")


def test_the_errors_are_wrong_calls(home: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        remove_dataset(home, "nothing")
    assert isinstance(caught.value, WrongCallError)
