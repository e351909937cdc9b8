from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from semsim_pipeline.cli.app import run
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
from semsim_pipeline.transfer import Patience
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
        ('"https://[host/a.zip"', "no address"),
        ("https://host/a%00.zip", "cannot be kept"),
        ("https://host/a%0Ab.zip", "cannot be kept"),
        ("https://host/%2e%2e", "cannot be kept"),
        ("https://host/..", "cannot be kept"),
        ("https://host/receipt.json", "cannot be kept"),
        (f"https://host/{'a' * 300}.zip", "at most 200 bytes"),
        ("url", "url"),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_request(spec: str, says: str) -> None:
    with pytest.raises((WrongCallError, MissingFilesError), match=says) as raised:
        list(open_view(spec).select())
    assert "\n" not in str(raised.value)


SECRET = "SECRET"


@pytest.mark.parametrize("wrong", ["away", "missing", "changed", "checksum", "not fetched", "key"])
def test_secrets_of_an_address_are_not_shown(
    wrong: str, server: FileServer, zipped: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command line, with an address as a cloud's storage signs it."""
    from semsim_pipeline.datasets import download

    monkeypatch.setattr(download, "PATIENCE", Patience(connect_s=1, read_s=1, tries=1))
    server.publish("made.zip", zipped)
    url = f"http://me:{SECRET}@127.0.0.1:{server.port}/made.zip?token={SECRET}&x=1"
    view = {"checksum": f"sha256={'0' * 64}", "key": "lable=cat"}.get(wrong)
    if wrong == "changed":
        assert run(["datasets", "fetch", url]) == 0
        server.publish("made.zip", zipped + b"\0")
        server.fail(Fault(status=404))
    elif wrong == "away":
        server.close()
    elif wrong == "missing":
        server.always(Fault(status=404))
    if wrong == "not fetched":
        with pytest.raises(MissingFilesError) as raised:
            list(open_view(url).select())
        said = str(raised.value)
    else:
        assert run(["datasets", "fetch", url if view is None else f"{url}[{view}]"]) == 1 + (wrong == "key")
        told = capsys.readouterr()
        said = told.out + told.err
    assert f"127.0.0.1:{server.port}/made.zip" in said
    assert SECRET not in said
    if wrong in {"missing", "not fetched"}:
        assert f"`semsim datasets fetch 'http://127.0.0.1:{server.port}/made.zip?…'`" in said


def test_what_is_done_with_a_secret_address_is_said_without_it(
    server: FileServer, zipped: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    server.publish("made.zip", zipped)
    assert run(["datasets", "fetch", f"{server.url}/made.zip?token={SECRET}[label=cat]"]) == 0
    told = capsys.readouterr()
    assert f"{server.url}/made.zip[label=cat]: 3 images" in told.out
    assert SECRET not in told.out + told.err


PAGE = b"<!DOCTYPE html>\n<html>Please log in</html>" * 50


@pytest.mark.parametrize("wrong", ["page", "half", "nothing", "text"])
@pytest.mark.parametrize("name", ["made.zip", "made.tar.gz", "made.parquet"])
def test_something_else_instead_of_an_archive_is_one_line_and_not_kept(
    server: FileServer, tmp_path: Path, name: str, wrong: str
) -> None:
    right = {
        "made.zip": lambda: make_zip(tmp_path / "made.zip").read_bytes(),
        "made.tar.gz": lambda: make_tar(tmp_path / "made.tar.gz", "w:gz").read_bytes(),
        "made.parquet": lambda: hub_parquet([jpeg(1), jpeg(2)], [0, 1], ["cat", "dog"]),
    }[name]()
    sent = {"page": PAGE, "half": right[: len(right) // 8], "nothing": b"", "text": b"no archive" * 90}[wrong]
    says = {"page": "web page \\(HTML\\), not", "half": "cut short", "nothing": "is empty", "text": "is not a"}[wrong]
    source = opened(server.publish(name, sent))
    with pytest.raises(MissingFilesError, match=f"{name} is missing .*{says}") as raised:
        fetch(source, Silent())
    assert "\n" not in str(raised.value)
    assert not is_here(source)
    assert [path.name for path in source.file.path.parent.iterdir() if path.name != ".lock"] == []
    server.publish(name, right)
    fetch(source, Silent())
    assert {item.labels["label"] for item in source.items()} >= {"cat", "dog"}


def test_a_page_under_a_name_that_says_nothing_is_one_line(server: FileServer) -> None:
    source = opened(server.publish("get", PAGE))
    fetch(source, Silent())
    with pytest.raises(CorruptSourceError, match="neither a zip nor a tar"):
        list(source.items())


def test_a_mirror_with_half_a_file_is_told_and_left(
    server: FileServer,
    zipped: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "made.zip").write_bytes(zipped[:-100])
    monkeypatch.setenv("SEMSIM_MIRROR", str(tmp_path / "shelf"))
    url = server.publish("made.zip", zipped)
    assert run(["datasets", "fetch", url]) == 0
    assert "sent as made.zip is a zip that is cut short" in " ".join(capsys.readouterr().err.split())
    assert opened(url).file.path.read_bytes() == zipped


@pytest.mark.parametrize("damage", ["cut", "zeros"])
def test_a_kept_copy_that_is_not_whole_is_fetched_again(server: FileServer, zipped: bytes, damage: str) -> None:
    source = opened(server.publish("made.zip", zipped))
    fetch(source, Silent())
    path = source.file.path
    half = zipped[: len(zipped) // 2]
    path.write_bytes(half if damage == "cut" else half + bytes(len(zipped) - len(half)))
    fetch(source, Silent())
    assert path.read_bytes() == zipped
    assert len(server.asked("GET")) == 2
    assert is_here(source)


def test_a_new_version_that_is_a_page_leaves_the_old_one(server: FileServer, zipped: bytes) -> None:
    source = opened(server.publish("made.zip", zipped))
    fetch(source, Silent())
    server.publish("made.zip", PAGE)
    with pytest.raises(MissingFilesError, match=r"is a web page.*copy from before is still at"):
        fetch(source, Silent())
    assert source.file.path.read_bytes() == zipped
