"""Published values and catalogues elsewhere: how they are read, and what stays as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from semsim_pipeline.catalog import parse, read_catalog
from semsim_pipeline.catalog.experiment import PACKAGED, experiment_home, find_catalog
from semsim_pipeline.datasets.base import fetch, is_here
from semsim_pipeline.datasets.resolve import open_source
from semsim_pipeline.errors import CatalogError, MissingFilesError, WrongCallError
from semsim_pipeline.home import downloads_folder
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests.datasets.conftest import make_cifake

ROOT = Path(__file__).parents[2]
TEXT = """# stays
datasets:
  digits: digits
  photos: {spec: 'photos[label=cat]', values: {label: [cat]}}
encoders:
  a: classical
  own: timm:resnet18/w.safetensors   # a checkpoint beside the file
  copy: dinov2-s-14/w.safetensors+bf16
  small: mini:w.safetensors
comparisons:
  d:
    across: digits
    by: label
    encoders: [a]
    published:
      source: a paper
      encoder: a
      metric: mean_cosine
      tolerance: 0.02
      values: [["3", "8", 0.9], [1, 0, -0.5]]
"""


def _with(**changed: str) -> str:
    text = TEXT
    for key, value in changed.items():
        (line,) = [each for each in TEXT.splitlines() if each.startswith(f"      {key}:")]
        text = text.replace(line, f"      {key}: {value}" if value else "")
    return text


def test_a_published_value_finds_its_pair_in_either_order() -> None:
    published = parse(TEXT, Path("x.yaml")).comparisons["d"].published
    assert {key: each.value for key, each in published.items()} == {
        "digits.3~digits.8@a": 0.9,
        "digits.0~digits.1@a": -0.5,
    }
    assert {(each.metric, each.tolerance, each.source) for each in published.values()} == {
        ("mean_cosine", 0.02, "a paper")
    }


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"values": '[["3", "11", 0.9]]'}, "no pair of '3' and '11'"),
        ({"values": '[["3", "8", much]]'}, "expected a number such as 0.827; found 'much'"),
        ({"values": '[["3", "8", nan]]'}, "expected a number"),
        ({"values": '[["3", "8"]]'}, "two classes and a number"),
        ({"values": "0.9"}, "expected a list"),
        ({"encoder": "b"}, "encoder alias of the comparison 'b'"),
        ({"encoder": "own"}, "encoder alias of the comparison 'own'"),
        ({"tolerance": "-1"}, "a tolerance is 0 or more"),
        ({"source": ""}, "it needs source"),
    ],
)
def test_what_cannot_be_read_says_where(changed: dict[str, str], says: str) -> None:
    with pytest.raises(CatalogError, match=r"x\.yaml:[0-9]+: comparisons\.d\.published") as raised:
        parse(_with(**changed), Path("x.yaml"))
    assert says in str(raised.value)


def test_a_catalogue_elsewhere_means_the_same_in_its_own_home(tmp_path: Path) -> None:
    file, home = tmp_path / "there" / "trial.yaml", tmp_path / "home"
    file.parent.mkdir()
    file.write_text(TEXT)
    folder = experiment_home(file, home)
    assert folder == home / "experiments" / "trial"
    copied, original = read_catalog(folder / "catalog.yaml"), read_catalog(file)
    assert copied.datasets["photos"].own == original.datasets["photos"].own
    assert copied.encoders == original.encoders
    assert copied.comparisons == original.comparisons
    text = (folder / "catalog.yaml").read_text()
    assert "# stays" in text
    assert "# a checkpoint beside the file" in text
    assert not (home / "catalog.yaml").exists()


def test_the_copy_follows_its_file_and_an_edited_one_is_not_lost(tmp_path: Path) -> None:
    file, home = tmp_path / "trial.yaml", tmp_path / "home"
    file.write_text(TEXT)
    copy = experiment_home(file, home) / "catalog.yaml"
    file.write_text(TEXT.replace("0.9", "0.8"))
    experiment_home(file, home)
    assert "0.8" in copy.read_text()
    edited = copy.read_text() + "# mine\n"
    copy.write_text(edited)
    experiment_home(file, home)
    assert copy.read_text() == edited
    file.write_text(TEXT)
    with pytest.raises(CatalogError, match="it was edited") as raised:
        experiment_home(file, home)
    assert "\n" not in str(raised.value)
    assert copy.read_text() == edited


@pytest.mark.parametrize("fetched_in", ["home", "experiment"])
def test_an_experiment_shares_what_its_home_has_fetched(
    fetched_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shelf").mkdir()
    make_cifake(tmp_path / "shelf" / "cifake.zip")
    monkeypatch.setenv("SEMSIM_MIRROR", str(tmp_path / "shelf"))
    file = tmp_path / "trial.yaml"
    file.write_text(TEXT)
    homes = {"home": tmp_path / "home", "experiment": experiment_home(file, tmp_path / "home")}
    for name in (fetched_in, *homes):
        monkeypatch.setenv("SEMSIM_HOME", str(homes[name]))
        source = open_source("cifake")
        if name == fetched_in:
            fetch(source, Silent())
            monkeypatch.setenv("SEMSIM_OFFLINE", "1")
        assert is_here(source)
        assert len(list(source.items())) == 40
    assert (tmp_path / "home" / "downloads" / "cifake" / "cifake.zip").is_file()
    monkeypatch.setenv("SEMSIM_HOME", str(homes["experiment"]))
    with pytest.raises(MissingFilesError, match=re.escape(f"put it at {tmp_path / 'home' / 'downloads' / 'cifar10'}")):
        list(open_source("cifar10").items())


@pytest.mark.parametrize("refused", [PermissionError, FileExistsError])
def test_a_disk_without_links_leaves_an_experiment_its_own_downloads(
    refused: type[OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr(Path, "symlink_to", refuse)
    (tmp_path / "trial.yaml").write_text(TEXT)
    folder = experiment_home(tmp_path / "trial.yaml", tmp_path / "home")
    monkeypatch.setenv("SEMSIM_HOME", str(folder))
    assert downloads_folder() == folder / "downloads"


def test_a_link_of_the_user_s_own_is_left_to_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is not mounted must not become a folder of another one."""
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path))
    (tmp_path / "downloads").symlink_to(tmp_path / "elsewhere" / "downloads")
    assert downloads_folder() == tmp_path / "downloads"


def test_an_experiment_with_downloads_of_its_own_keeps_them(tmp_path: Path) -> None:
    file, own = tmp_path / "trial.yaml", tmp_path / "home" / "experiments" / "trial" / "downloads"
    own.mkdir(parents=True)
    (own / "x").write_text("here")
    file.write_text(TEXT)
    experiment_home(file, tmp_path / "home")
    assert not own.is_symlink()
    assert (own / "x").read_text() == "here"


def test_two_files_of_one_name_do_not_share_a_home(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "trial.yaml").write_text(TEXT)
    experiment_home(tmp_path / "one" / "trial.yaml", tmp_path / "home")
    with pytest.raises(CatalogError, match="copied from another file"):
        experiment_home(tmp_path / "two" / "trial.yaml", tmp_path / "home")


def test_a_wrong_catalogue_leaves_no_home(tmp_path: Path) -> None:
    file = tmp_path / "trial.yaml"
    file.write_text("datasets: [")
    with pytest.raises(CatalogError, match="not YAML"):
        experiment_home(file, tmp_path / "home")
    assert not (tmp_path / "home").exists()
    with pytest.raises(WrongCallError, match=r"cannot name a home"):
        experiment_home(tmp_path / "a b.yaml", tmp_path / "home")


def test_a_catalogue_is_a_file_or_a_packaged_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_catalog("cifar10_classes").parent == PACKAGED
    with pytest.raises(WrongCallError, match="packaged experiments: cifake, "):
        find_catalog("cifar10_clases")
    # Its relative places start where the user is.
    monkeypatch.chdir(tmp_path)
    folder = experiment_home(find_catalog("cifake_offline"), tmp_path / "home")
    assert str(tmp_path / "cifake-train.zip") in (folder / "catalog.yaml").read_text()


def test_the_packaged_experiments_are_the_repositorys() -> None:
    ours = {path.name: path.read_text() for path in PACKAGED.glob("*.yaml")}
    assert ours == {path.name: path.read_text() for path in (ROOT / "data" / "experiments").glob("*.yaml")}
    assert set(ours) == {"cifake.yaml", "cifake_offline.yaml", "cifar10_classes.yaml"}


def test_the_experiments_ask_what_was_published() -> None:
    classes = read_catalog(PACKAGED / "cifar10_classes.yaml").comparisons["cifar10-classes"]
    assert len(classes.pairs) == 90
    assert {(classes.labels[key], each.value) for key, each in classes.published.items()} == {
        (("cat", "dog"), 0.827),
        (("airplane", "automobile"), 0.728),
        (("deer", "dog"), 0.78),
        (("automobile", "truck"), 0.77),
        (("bird", "ship"), 0.73),
    }
    cifake = read_catalog(PACKAGED / "cifake.yaml")
    assert set(cifake.encoders.values()) == {"clip-vit-b-32", "dinov2-s-14"}
    assert [len(each.pairs) for each in cifake.comparisons.values()] == [2, 20]
    offline = read_catalog(PACKAGED / "cifake_offline.yaml")
    assert {(name, tuple(each.encoders), len(each.pairs)) for name, each in offline.comparisons.items()} == {
        ("real-classes-unseen", ("mini", "classical"), 90),
        ("real-vs-fake-unseen", ("mini", "classical"), 20),
        ("real-classes", ("classical",), 45),
        ("real-vs-fake-overall", ("classical",), 1),
        ("real-vs-fake", ("classical",), 10),
    }
