from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from semsim_pipeline.datasets.base import Fetchable, fetch, is_here
from semsim_pipeline.datasets.resolve import open_source, open_view
from semsim_pipeline.datasets.url import Url
from semsim_pipeline.errors import (
    CorruptSourceError,
    MissingFilesError,
    UnknownNameError,
    UnreachableError,
    WrongCallError,
    WrongChecksumError,
)
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests.datasets.conftest import jpeg, make_tar, make_zip
from semsim_pipeline_tests.published_sets import hub_parquet
from semsim_pipeline_tests.servers import Fault, FileServer


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as served:
        yield served


@pytest.fixture
def zipped(tmp_path: Path) -> bytes:
    return make_zip(tmp_path / "made.zip").read_bytes()


def opened(spec: str) -> Url:
    source = open_view(spec).source
    assert isinstance(source, Url)
    assert isinstance(source, Fetchable)
    return source


def test_an_archive_is_fetched_once_and_read_as_one_s_own(server: FileServer, zipped: bytes, tmp_path: Path) -> None:
    url = server.publish("made.zip", zipped)
    source = opened(url)
    assert server.requests == []  # opening asks nobody
    assert not is_here(source)
    with pytest.raises(MissingFilesError, match="semsim datasets fetch"):
        list(source.items())
    fetch(source, Silent())
    own = open_source(str(tmp_path / "made.zip"))
    assert [(item.path, item.labels) for item in source.items()] == [(item.path, item.labels) for item in own.items()]
    with source.open() as theirs, own.open() as ours:
        for item in own.items():
            assert theirs.read(item) == ours.read(item)
    assert len(server.asked("GET")) == 1


def test_tars_and_parquet_too(server: FileServer, tmp_path: Path) -> None:
    tar = opened(server.publish("made.tar.gz", make_tar(tmp_path / "made.tar.gz").read_bytes()))
    table = opened(server.publish("t", hub_parquet([jpeg(1), jpeg(2)], [0, 1], ["cat", "dog"])))
    for source in (tar, table):
        fetch(source, Silent())
        assert {"cat", "dog"} <= {item.labels["label"] for item in source.items()}


def test_two_files_of_one_name_are_two(server: FileServer, zipped: bytes) -> None:
    first = opened(server.publish("a/photos.zip", zipped))
    second = opened(server.publish("b/photos.zip", zipped))
    assert first.file.path != second.file.path
    assert first.file.path.name == second.file.path.name == "photos.zip"


def test_views_of_an_address(server: FileServer, zipped: bytes) -> None:
    url = server.publish("made.zip", zipped)
    view = open_view(f"{url}[label=cat,limit=2]")
    fetch(view.source, Silent())
    assert len(list(view.select())) == 2
    assert {item.labels["label"] for item in open_view(f'"{url}"[label=cat]').select()} == {"cat"}
    with pytest.raises(UnknownNameError, match="lable"):
        open_view(f"{url}[lable=cat]")
    assert open_view(f"url:{url}").source.location == url


def test_a_wrong_key_before_the_file_is_here_is_said_when_it_is(server: FileServer, zipped: bytes) -> None:
    view = open_view(f"{server.publish('made.zip', zipped)}[lable=cat]")
    fetch(view.source, Silent())
    with pytest.raises(UnknownNameError, match="lable"):
        list(view.select())


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_a_digest_makes_it_immutable(server: FileServer, zipped: bytes, spelled: object) -> None:
    digest = hashlib.sha256(zipped).hexdigest().upper()
    url = server.publish("made.zip", zipped)
    source = opened(f"{url}[sha256={digest.lower() if spelled is str.lower else digest}]")
    fetch(source, Silent())
    asked = len(server.requests)
    fetch(source, Silent())
    assert source.stamp().digest == source.stamp_here() == digest.lower()
    assert len(server.requests) == asked
    with pytest.raises(WrongChecksumError, match="expected 0000"):
        fetch(opened(f"{server.publish('other.zip', zipped)}[sha256={'0' * 64}]"), Silent())


def test_its_stamp_is_the_server_s_word(server: FileServer, zipped: bytes, tmp_path: Path) -> None:
    url = server.publish("made.zip", zipped)
    source = opened(url)
    before = source.stamp()
    fetch(source, Silent())
    assert source.stamp_here() == source.stamp().digest == before.digest
    server.publish("made.zip", make_zip(tmp_path / "more.zip").read_bytes() + b"")
    again = source.stamp()
    server.files["/made.zip"] = zipped + b"\0"
    assert source.stamp() not in {before, again}
    assert source.stamp_here() == before.digest
    server.always(Fault(status=500))
    with pytest.raises(UnreachableError):
        source.stamp()
    assert source.stamp_here() == before.digest


@pytest.mark.parametrize("etags", [True, False])
def test_without_etags_the_date_tells(etags: bool, zipped: bytes) -> None:
    with FileServer(etags=etags) as server:
        url = server.publish("made.zip", zipped)
        source = opened(url)
        before = source.stamp()
        server.publish("made.zip", zipped)  # the same bytes, a minute later
        assert (source.stamp() == before) == etags


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("url:photos.zip", "no address"),
        ("url:ftp://host/a.zip", "no address"),
        ("https://", "no address"),
        ("https://host/a.zip[sha256=abc]", "64 hex digits"),
        ("url", "url"),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_request(spec: str, says: str) -> None:
    with pytest.raises((WrongCallError, MissingFilesError), match=says):
        list(open_view(spec).select())


def test_a_page_instead_of_an_archive_is_one_line(server: FileServer) -> None:
    source = opened(server.publish("made.zip", b"<html>Please log in</html>" * 50))
    fetch(source, Silent())
    with pytest.raises(CorruptSourceError, match="neither a zip nor a tar"):
        list(source.items())
