from __future__ import annotations

import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from semsim_pipeline.datasets import kaggle_files
from semsim_pipeline.datasets.base import fetch, is_here
from semsim_pipeline.datasets.cifake import CLASSES, build
from semsim_pipeline.datasets.resolve import open_source, open_view
from semsim_pipeline.errors import EmptyDatasetError, MissingFilesError, UnknownNameError, WrongCallError
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests.datasets.conftest import CIFAKE, make_cifake, make_zip, needs_cifake
from semsim_pipeline_tests.servers import FileServer


def test_labels_from_names(tmp_path: Path) -> None:
    items = {item.path: item.labels for item in build(str(make_cifake(tmp_path / "c.zip")), {}).items()}
    assert len(items) == 40  # the one with (11) is not of the layout
    assert items["train/REAL/0001.jpg"] == {"label": "REAL", "class": "airplane"}
    assert items["test/FAKE/0001 (10).jpg"] == {"label": "FAKE", "class": "truck"}
    assert items["train/FAKE/0001 (4).jpg"]["class"] == "cat"


def test_split_and_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(make_cifake(tmp_path / "c.zip")) as archive:
        archive.extractall(tmp_path / "cifake")
    source = build(str(tmp_path / "cifake"), {"split": "test"})
    items = list(source.items())
    assert len(items) == 20
    assert all(item.path.startswith("test/") for item in items)
    with pytest.raises(UnknownNameError, match="train"):
        build(str(tmp_path / "cifake"), {"split": "trian"})


def test_another_layout_is_named(tmp_path: Path) -> None:
    source = build(str(make_zip(tmp_path / "x.zip")), {})
    with pytest.raises(WrongCallError, match=r"expected train/REAL.*found cat/a/1.jpg"):
        list(source.items())


@needs_cifake
def test_the_real_training_split() -> None:
    counts = Counter((i.labels["label"], i.labels["class"]) for i in build(str(CIFAKE), {}).items())
    assert counts == {(label, name): 5000 for label in ("REAL", "FAKE") for name in CLASSES}
    with pytest.raises(EmptyDatasetError, match="it has: train"):
        list(build(str(CIFAKE), {"split": "test"}).items())


class Client:
    """Stands for Kaggle's client where a test needs its answer; the names are the client's own."""

    class exceptions:
        BackendError = type("BackendError", (Exception,), {})
        CredentialError = type("CredentialError", (Exception,), {})
        DataCorruptionError = type("DataCorruptionError", (Exception,), {})
        NotFoundError = type("NotFoundError", (Exception,), {})
        UnauthenticatedError = type("UnauthenticatedError", (Exception,), {})

    def __init__(self, answer: Path | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def dataset_download(self, handle: str) -> str:
        self.asked.append(handle)
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEMSIM_MIRROR", raising=False)
    return tmp_path / "home"


def installed(monkeypatch: pytest.MonkeyPatch, client: Client | None) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    monkeypatch.setitem(sys.modules, "kagglehub.exceptions", None if client is None else client.exceptions)


def test_without_kaggle_s_client_the_exact_line_to_install_it(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, None)
    with pytest.raises(MissingFilesError) as raised:
        fetch(open_source("cifake"), Silent())
    text = str(raised.value)
    for part in ("pip install 'semsim-pipeline[kaggle]'", "cifake:PATH", str(own_home / "downloads/cifake/cifake.zip")):
        assert part in text
    assert "\n" not in text


def test_kaggle_s_client_is_asked_once_for_a_fixed_version(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(make_cifake(tmp_path / "c.zip")) as archive:
        archive.extractall(tmp_path / "kaggle" / "3")
    client = Client(tmp_path / "kaggle" / "3")
    installed(monkeypatch, client)
    view = open_view("cifake[label=REAL]")
    assert not is_here(view.source)
    fetch(view.source, Silent())
    fetch(view.source, Silent())
    assert client.asked == [kaggle_files.HANDLE]
    copy = open_view(f"cifake:{tmp_path / 'kaggle' / '3'}[label=REAL]")
    assert [item.path for item in view.select()] == [item.path for item in copy.select()]
    assert len(list(view.select())) > 0


@pytest.mark.parametrize("error", [OSError("403 Client Error\nand more"), Client.exceptions.BackendError("quota")])
def test_kaggle_s_refusals_are_one_line(own_home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    installed(monkeypatch, Client(error))
    with pytest.raises(MissingFilesError) as raised:
        fetch(open_source("cifake"), Silent())
    assert str(error).splitlines()[0] in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_machine_without_a_network_is_told_so(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from requests.exceptions import ConnectionError as NotConnected

    words = "HTTPSConnectionPool(host='api.kaggle.com', port=443): Max retries exceeded with url: /v1/datasets"
    installed(monkeypatch, Client(NotConnected(words)))
    with pytest.raises(MissingFilesError, match=r"CIFAKE is missing \(Kaggle cannot be reached\)\. Fetch it with"):
        fetch(open_source("cifake"), Silent())


@pytest.mark.parametrize("kind", ["folder", "server"])
def test_a_mirror_is_enough(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    installed(monkeypatch, None)
    (tmp_path / "shelf").mkdir()
    content = make_cifake(tmp_path / "shelf" / "cifake.zip").read_bytes()
    with FileServer() as server:
        server.publish("cifake.zip", content)
        monkeypatch.setenv("SEMSIM_MIRROR", server.url if kind == "server" else str(tmp_path / "shelf"))
        source = open_source("cifake")
        fetch(source, Silent())
    assert {item.labels["label"] for item in source.items()} == {"REAL", "FAKE"}


@pytest.mark.parametrize("then", ["mirror", "kaggle", "neither"])
def test_half_a_zip_from_the_mirror_is_not_kept(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    content = make_cifake(tmp_path / "c.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "c.zip") as archive:
        archive.extractall(tmp_path / "kaggle")
    installed(monkeypatch, None)
    shelf = tmp_path / "shelf" / "cifake.zip"
    shelf.parent.mkdir()
    shelf.write_bytes(content[: len(content) // 2])
    monkeypatch.setenv("SEMSIM_MIRROR", str(shelf.parent))
    source = open_source("cifake")
    kept = own_home / "downloads" / "cifake" / "cifake.zip"
    for _ in range(2):
        with pytest.raises(MissingFilesError, match="is a zip that is cut short") as raised:
            fetch(source, Silent())
        assert "\n" not in str(raised.value)
        assert not is_here(source)
        # What a version without this check kept, with its receipt:
        kept.write_bytes(content[: len(content) // 2])
    with pytest.raises(MissingFilesError, match="the copy on this machine is a zip that is cut short"):
        list(source.items())
    if then == "mirror":
        shelf.write_bytes(content)
    elif then == "kaggle":
        installed(monkeypatch, Client(tmp_path / "kaggle"))
    else:
        return
    fetch(source, Silent())
    assert {item.labels["label"] for item in source.items()} == {"REAL", "FAKE"}
    assert kept.is_file() == (then == "mirror")


def test_the_client_has_the_names_that_are_used() -> None:
    import kagglehub  # of the dev group: a skip here once hid that it was never there

    assert callable(kagglehub.dataset_download)
    for name in vars(Client.exceptions):
        if not name.startswith("_"):
            assert issubclass(getattr(kagglehub.exceptions, name), Exception)
