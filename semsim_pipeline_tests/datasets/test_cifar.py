from __future__ import annotations

import hashlib
import os
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline.datasets import cifar10, cifar100, cifar_batches
from semsim_pipeline.datasets.base import Source, fetch, is_here
from semsim_pipeline.datasets.resolve import open_source, open_view
from semsim_pipeline.datasets.stamp import Watchable
from semsim_pipeline.errors import (
    CorruptSourceError,
    MissingFilesError,
    MissingPathError,
    SemsimError,
    UnknownNameError,
    WrongCallError,
    WrongChecksumError,
)
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests.published_sets import cifar10 as made10
from semsim_pipeline_tests.published_sets import cifar10_batch, pixels, python2_pickle, tar_gz
from semsim_pipeline_tests.published_sets import cifar100 as made100
from semsim_pipeline_tests.servers import Fault, FileServer

MADE10, MADE100 = made10(), made100()
RAN: list[str] = []


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Where both archives are published, and what their checksums are."""
    with FileServer() as served:
        for module, content in ((cifar10, MADE10), (cifar100, MADE100)):
            file = module.LAYOUT.file
            url = served.publish(file.name, content)
            made = replace(file, url=url, checksum=f"md5:{hashlib.md5(content).hexdigest()}")
            monkeypatch.setattr(module, "LAYOUT", replace(module.LAYOUT, file=made))
        yield served


def copy(tmp_path: Path, content: bytes, name: str = "mine.tar.gz") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def read_all(source: Source) -> list[np.ndarray]:
    with source.open() as reader:
        return [np.asarray(reader.read(item)) for item in source.items()]


def test_the_published_addresses_and_checksums() -> None:
    ten, hundred = cifar10.LAYOUT.file, cifar100.LAYOUT.file
    assert (ten.url, ten.checksum) == (
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "md5:c58f30108f718f92721af3b95e74349a",
    )
    assert (hundred.url, hundred.checksum) == (
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "md5:eb9058c3a382ffc7106e4002c42a8d85",
    )
    assert [len(set(each)) for each in (cifar10.CLASSES, cifar100.FINE, cifar100.COARSE)] == [10, 100, 20]


def test_it_is_fetched_once_and_every_pixel_is_where_it_belongs(server: FileServer) -> None:
    source = open_source("cifar10")
    assert not is_here(source)
    fetch(source, Silent())
    fetch(source, Silent())
    assert len(server.requests) == 1
    items = list(source.items())
    assert Counter(item.labels["label"] for item in items) == Counter(dict.fromkeys(cifar10.CLASSES, 12))
    assert len({item.path for item in items}) == len(items) == 120
    images = read_all(source)
    batch, row = next((place, item) for place, item in enumerate(items) if item.path.startswith("data_batch_3/00007"))
    assert row.path == "data_batch_3/00007/thing_s_000007.png"
    planes = pixels(20, 3)[7].reshape(3, 32, 32)
    assert images[batch].shape == (32, 32, 3)
    assert (images[batch][:, :, 1] == planes[1]).all()
    assert row.labels == {"label": cifar10.CLASSES[(7 + 3) % 10]}


def test_splits_labels_and_views(server: FileServer) -> None:
    fetch(open_source("cifar10"), Silent())
    fetch(open_source("cifar100"), Silent())
    cats = list(open_view("cifar10[label=cat,split=test]").select())
    assert {item.path.split("/")[0] for item in cats} == {"test_batch"}
    assert {item.labels["label"] for item in cats} == {"cat"}
    assert len(list(open_view("cifar10[split=train]").select())) == 100
    trees = list(open_view("cifar100[coarse=trees]").select())
    assert {item.labels["coarse"] for item in trees} == {"trees"}
    assert open_source("cifar100").label_columns == ("label", "coarse")
    with pytest.raises(UnknownNameError, match="train"):
        open_view("cifar10[split=trian]")
    with pytest.raises(UnknownNameError, match="label"):
        list(open_view("cifar10[lable=cat]").select())


def test_readers_agree_in_any_order_and_hold_one_batch(server: FileServer) -> None:
    source = open_source("cifar10")
    fetch(source, Silent())
    items = list(source.items())
    in_order = read_all(source)
    with source.open() as reader:
        for place in (119, 0, 60, 1):
            assert (reader.read(items[place]) == in_order[place]).all()
    assert cifar_batches._load.cache_info().currsize == 1
    assert pickle.loads(pickle.dumps(source)) == source


def test_offline_it_says_what_where_and_how(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSIM_OFFLINE", "1")
    source = open_source("cifar10")
    for step in (lambda: fetch(source, Silent()), lambda: list(source.items())):
        with pytest.raises(MissingFilesError) as raised:
            step()
        text = str(raised.value)
        for part in (
            "cifar-10-python.tar.gz",
            "`semsim datasets fetch cifar10`",
            os.environ["SEMSIM_HOME"],
            "cifar10:",
        ):
            assert part in text
        assert "\n" not in text


def test_a_wrong_archive_is_refused(server: FileServer) -> None:
    server.publish("cifar-10-python.tar.gz", made10(per_batch=10))
    with pytest.raises(WrongChecksumError, match="md5"):
        fetch(open_source("cifar10"), Silent())
    assert not is_here(open_source("cifar10"))


def test_it_never_changes_so_nobody_is_asked(server: FileServer) -> None:
    source = open_source("cifar10")
    assert isinstance(source, Watchable)
    before = source.stamp()
    fetch(source, Silent())
    asked = len(server.requests)
    server.always(Fault(status=500))
    assert source.stamp() == before
    assert len(server.requests) == asked


def test_a_copy_is_read_without_a_network(tmp_path: Path) -> None:
    path = copy(tmp_path, MADE10)
    source = open_source(f"cifar10:{path}")
    assert is_here(source)
    assert source.location == str(path)
    assert len(read_all(source)) == 120
    with pytest.raises(MissingPathError):
        open_source(f"cifar10:{tmp_path}/none.tar.gz")
    with pytest.raises(WrongCallError, match="is a folder"):
        open_source(f"cifar10:{tmp_path}")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (RAN.append, ("ran",))


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (pickle.dumps({b"data": pixels(2, 1), b"labels": [0, 1], b"more": Evil()}), "builtins"),
        (b"cos\nsystem\n(S'touch /tmp/semsim-ran'\ntR.", "os.system"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.", "another encoding"),
        (pickle.dumps({b"data": np.array([Ellipsis], dtype=object), b"labels": [0]}), "array of 'O8'"),
        (pickle.dumps({b"data": np.zeros((2, 3072), dtype=np.float64), b"labels": [0, 1]}), "array of 'f8'"),
        (pickle.dumps([1, 2]), "no dictionary"),
        (python2_pickle({b"labels": [0]}), "has no images"),
        (python2_pickle({b"data": pixels(2, 1), b"labels": [0]}), "has no labels"),
        (python2_pickle({b"data": pixels(2, 1), b"labels": [0, 10]}), "number 10, of 10"),
        (cifar10_batch(5, 1)[:-500], "plain arrays"),
        (b"", "plain arrays"),
    ],
    ids=["method", "os", "codec", "objects", "floats", "list", "no data", "short", "class", "cut", "empty"],
)
def test_a_batch_that_is_no_plain_batch_is_refused_and_not_run(tmp_path: Path, batch: bytes, says: str) -> None:
    path = copy(tmp_path, tar_gz({"cifar-10-batches-py/data_batch_1": batch}))
    with pytest.raises(CorruptSourceError) as raised:
        list(open_source(f"cifar10:{path}").items())
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert RAN == []
    assert not Path("/tmp/semsim-ran").exists()


def test_what_a_pickle_sets_on_a_name_ends_with_it(tmp_path: Path) -> None:
    # BUILD with attributes for the class `numpy.ndarray`, as the pickle sees it.
    bad = b"\x80\x02cnumpy\nndarray\nN}X\x0c\x00\x00\x00__setstate__K\x01s\x86b."
    path = copy(tmp_path, tar_gz({"cifar-10-batches-py/data_batch_1": bad}), "bad.tar.gz")
    with pytest.raises(CorruptSourceError):
        list(open_source(f"cifar10:{path}").items())
    assert len(read_all(open_source(f"cifar10:{copy(tmp_path, MADE10)}"))) == 120


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tar_gz({"cifar-10-batches-mat/data_batch_1.mat": b"x"}), "the version for Python"),
        (MADE10[: len(MADE10) // 2], "damaged or truncated"),
        (b"no tar at all" * 100, "is no tar"),
    ],
    ids=["matlab", "half", "text"],
)
def test_an_archive_that_is_another_one_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(SemsimError, match=says):
        list(open_source(f"cifar10:{copy(tmp_path, content)}").items())
