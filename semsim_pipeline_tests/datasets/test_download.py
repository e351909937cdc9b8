from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline import transfer
from semsim_pipeline.datasets.download import download, version_now
from semsim_pipeline.datasets.published import Published, receipt_of
from semsim_pipeline.errors import (
    MissingFilesError,
    StoreError,
    UnreachableError,
    WrongChecksumError,
)
from semsim_pipeline.progress import Silent
from semsim_pipeline.transfer import Patience
from semsim_pipeline_tests.heard import Heard
from semsim_pipeline_tests.servers import Fault, FileServer

CONTENT = np.random.default_rng(1).bytes(600_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
QUICK = Patience(connect_s=1, read_s=0.4, slow_s=0.4, slow_bytes=200_000, tries=3, pause_s=0.01, longest_pause_s=0.02)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEMSIM_MIRROR", raising=False)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as served:
        yield served


def wanted(server: FileServer, content: bytes = CONTENT, checksum: str | None = None) -> Published:
    url = server.publish("photos.bin", content)
    return published(url, checksum)


def published(url: str, checksum: str | None = None) -> Published:
    return Published(
        url=url,
        name="photos.bin",
        folder="test",
        fetch="semsim datasets fetch X",
        instead="name a copy: PATH",
        checksum=checksum,
    )


def left_in(file: Published) -> list[str]:
    return sorted(path.name for path in file.path.parent.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("checksum", [None, SHA256, MD5, SHA256[:7] + SHA256[7:].upper()], ids=str)
def test_a_file_is_fetched_once_with_progress_and_a_receipt(server: FileServer, checksum: str | None) -> None:
    file, heard = wanted(server, checksum=checksum), Heard()
    assert download(file, heard, QUICK).read_bytes() == CONTENT
    assert left_in(file) == ["photos.bin", "receipt.json"]
    receipt = receipt_of(file)
    assert receipt is not None
    assert (receipt.origin, receipt.digest) == (file.url, SHA256.partition(":")[2])
    assert heard.stages == [("download", len(CONTENT))]
    assert heard.done == sorted(heard.done)
    assert heard.done[-1] == len(CONTENT)
    assert "0.6 MB" in heard.lines[0]
    download(file, Heard(), QUICK)
    assert len(server.asked("GET")) == 1
    assert len(server.asked("HEAD")) == (0 if checksum else 1)  # what a checksum names cannot change


@pytest.mark.parametrize("known", ["etag", "date", "checksum"])
def test_a_broken_download_goes_on_where_it_stopped(known: str) -> None:
    with FileServer(etags=known == "etag", dates=known == "date") as server:
        file = wanted(server, checksum=SHA256 if known == "checksum" else None)
        server.fail(Fault(drop_after=200_000), times=2)
        heard = Heard()
        assert download(file, heard, QUICK).read_bytes() == CONTENT
        spans = [asked.span for asked in server.asked("GET")]
        assert spans == [None, "bytes=200000-", "bytes=400000-"]
        assert [bool(asked.on) for asked in server.asked("GET")] == [False, known != "checksum", known != "checksum"]
        assert sum("trying again" in line for line in heard.lines) == 2


def test_the_next_process_goes_on_too(server: FileServer) -> None:
    file = wanted(server)
    server.fail(Fault(drop_after=100_000))
    server.fail(Fault(status=503), times=2)
    with pytest.raises(MissingFilesError, match="503"):
        download(file, Silent(), replace(QUICK, tries=2))
    assert left_in(file) == ["part.json", "photos.bin.part"]
    assert download(file, Silent(), QUICK).read_bytes() == CONTENT
    assert server.asked("GET")[-1].span == "bytes=100000-"


@pytest.mark.parametrize("again", ["changed", "no ranges", "no validator"])
def test_a_beginning_is_never_joined_to_another_file(again: str) -> None:
    with FileServer(ranges=again != "no ranges", etags=again != "no validator", dates=again == "changed") as server:
        file = wanted(server)
        server.fail(Fault(drop_after=300_000))
        with pytest.raises(MissingFilesError):
            download(file, Silent(), replace(QUICK, tries=1))
        assert ("photos.bin.part" in left_in(file)) == (again != "no validator")
        new = CONTENT[::-1] if again == "changed" else CONTENT
        wanted(server, new)
        assert download(file, Silent(), QUICK).read_bytes() == new


def test_a_server_that_lies_about_ranges_is_not_believed(server: FileServer) -> None:
    file = wanted(server)
    server.fail(Fault(drop_after=300_000))
    server.fail(Fault(headers={"Content-Range": "bytes 0-9/10"}))
    server.fail(Fault(status=416))
    assert download(file, Silent(), QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(status=404), "HTTP 404"),
        (Fault(status=403), "HTTP 403"),
        (Fault(status=500), "HTTP 500"),
        (Fault(status=429, headers={"Retry-After": "1"}), "HTTP 429"),
        (Fault(wait=3), "no answer within 0.4 s"),
        (Fault(hang_after=0), "no data for 0.4 s"),
        (Fault(pause=0.1), "fewer than 200,000 bytes in 0.4 s"),
        (Fault(drop_after=0), "the connection broke"),
        (Fault(headers={"Location": "file:///etc/passwd"}, status=302), "no address"),
        (Fault(headers={"Location": "/photos.bin"}, status=302), "redirects"),
    ],
    ids=lambda value: str(value).replace("/", "-") if isinstance(value, str) else "",
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing_under_the_name(
    server: FileServer, fault: Fault, says: str
) -> None:
    file = wanted(server)
    server.always(fault)
    began = time.monotonic()
    with pytest.raises(MissingFilesError) as raised:
        download(file, Silent(), QUICK)
    assert time.monotonic() - began < 20
    text = str(raised.value)
    assert "\n" not in text
    for part in (says, "photos.bin is missing", file.url, "`semsim datasets fetch X`", str(file.path), "PATH"):
        assert part in text
    tries = 1 if says in {"HTTP 404", "HTTP 403", "no address", "redirects"} else QUICK.tries
    assert len(server.asked("GET")) >= tries
    assert says == "redirects" or len(server.asked("GET")) <= tries * (1 if fault.pause == 0 else 9)
    assert not file.path.exists()


def test_nobody_there_is_one_line(server: FileServer) -> None:
    file = wanted(server)
    server.close()
    with pytest.raises(MissingFilesError, match="cannot be reached"):
        download(file, Silent(), QUICK)
    assert left_in(file) == []


def test_a_wrong_checksum_is_refused_and_the_file_removed(server: FileServer) -> None:
    file = wanted(server, CONTENT[:-1] + b"x", checksum=SHA256)
    with pytest.raises(WrongChecksumError) as raised:
        download(file, Silent(), QUICK)
    found = hashlib.sha256(CONTENT[:-1] + b"x").hexdigest()
    assert f"sha256 {found}, expected {SHA256.partition(':')[2]}" in str(raised.value)
    assert left_in(file) == []
    wanted(server)
    assert download(file, Silent(), QUICK).read_bytes() == CONTENT


def test_a_file_cut_short_with_a_length_that_fits_is_caught_by_its_checksum(server: FileServer) -> None:
    file = wanted(server, CONTENT[:300_000], checksum=MD5)
    with pytest.raises(WrongChecksumError, match="md5"):
        download(file, Silent(), QUICK)
    assert left_in(file) == []


@pytest.mark.parametrize("kind", ["folder", "server"])
def test_a_mirror_comes_first(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with FileServer() as mirror:
        mirror.publish("shelf/photos.bin", CONTENT)
        (tmp_path / "photos.bin").write_bytes(CONTENT)
        monkeypatch.setenv("SEMSIM_MIRROR", f"{mirror.url}/shelf/" if kind == "server" else str(tmp_path))
        file = wanted(server, checksum=SHA256)
        assert download(file, Silent(), QUICK).read_bytes() == CONTENT
        assert server.requests == []


@pytest.mark.parametrize("fault", [Fault(status=404), Fault(status=500), Fault(hang_after=1000), Fault(drop_after=9)])
def test_a_mirror_that_fails_costs_only_its_tries(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    with FileServer() as mirror:
        mirror.publish("photos.bin", CONTENT)
        mirror.always(fault)
        monkeypatch.setenv("SEMSIM_MIRROR", mirror.url)
        assert download(wanted(server), Silent(), QUICK).read_bytes() == CONTENT
        assert mirror.requests


def test_a_mirror_with_another_file_is_told_and_left(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "photos.bin").write_bytes(b"something else")
    monkeypatch.setenv("SEMSIM_MIRROR", str(tmp_path))
    heard = Heard()
    assert download(wanted(server, checksum=SHA256), heard, QUICK).read_bytes() == CONTENT
    assert any("not the published file" in line for line in heard.lines)
    assert (tmp_path / "photos.bin").read_bytes() == b"something else"  # the mirror's own file is not ours to remove


def test_another_version_is_fetched_and_the_same_is_not(server: FileServer) -> None:
    file = wanted(server)
    download(file, Silent(), QUICK)
    for _ in range(2):
        download(file, Silent(), QUICK)
    assert len(server.asked("GET")) == 1
    wanted(server, CONTENT[::-1])
    assert download(file, Silent(), QUICK).read_bytes() == CONTENT[::-1]
    assert len(server.asked("GET")) == 2


def test_a_server_that_is_away_does_not_cost_what_is_here(server: FileServer) -> None:
    file, heard = wanted(server), Heard()
    download(file, Silent(), QUICK)
    server.always(Fault(status=503))
    assert download(file, heard, QUICK).read_bytes() == CONTENT
    assert "the copy on this machine is used" in heard.lines[0]
    assert "503" in heard.lines[0]
    with pytest.raises(UnreachableError):
        version_now(file)
    server.close()
    assert download(file, Silent(), QUICK).read_bytes() == CONTENT


def test_a_new_version_that_cannot_be_had_leaves_the_old_one(server: FileServer) -> None:
    file = wanted(server)
    download(file, Silent(), QUICK)
    wanted(server, CONTENT[::-1])
    server.fail(Fault(drop_after=1000), times=99)
    server.fail(Fault(status=500), times=3)
    with pytest.raises(MissingFilesError, match="copy from before is still at"):
        download(file, Silent(), replace(QUICK, tries=1))
    assert file.path.read_bytes() == CONTENT


def test_a_server_without_head_is_asked_by_get(server: FileServer) -> None:
    file = wanted(server)
    server.always(Fault(status=405))
    with pytest.raises(MissingFilesError, match="405"):
        version_now(file)
    assert [asked.method for asked in server.requests] == ["HEAD", "GET"]


def test_a_file_put_in_its_place_is_taken(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    file = wanted(server, checksum=SHA256)
    monkeypatch.setenv("SEMSIM_OFFLINE", "1")
    with pytest.raises(MissingFilesError, match="SEMSIM_OFFLINE is set"):
        download(file, Silent(), QUICK)
    file.path.write_bytes(CONTENT)
    assert download(file, Silent(), QUICK) == file.path
    assert server.requests == []
    other = replace(file, folder="other")
    other.path.parent.mkdir()
    other.path.write_bytes(b"not it")
    with pytest.raises(WrongChecksumError, match="is not the published file"):
        download(other, Silent(), QUICK)
    assert other.path.read_bytes() == b"not it"  # it is the user's


def test_a_file_put_in_its_place_is_the_version_that_the_server_has(server: FileServer) -> None:
    file = wanted(server)
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(CONTENT)
    download(file, Silent(), QUICK)
    assert server.asked("GET") == []
    wanted(server, CONTENT[::-1])
    assert download(file, Silent(), QUICK).read_bytes() == CONTENT[::-1]


def test_two_at_once_fetch_once(server: FileServer) -> None:
    file = wanted(server)
    server.fail(Fault(wait=0.3))
    heard = [Heard(), Heard()]
    threads = [threading.Thread(target=download, args=(file, each, QUICK)) for each in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(server.asked("GET")) == 1
    assert sum("waiting" in line for each in heard for line in each.lines) == 1


def test_no_space_is_said_before_the_first_byte(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Full())
    file = wanted(server)
    with pytest.raises(StoreError, match="600,000 bytes"):
        download(file, Silent(), QUICK)
    assert left_in(file) == []


def test_a_damaged_note_begins_anew(server: FileServer) -> None:
    file = wanted(server)
    server.fail(Fault(drop_after=200_000))
    with pytest.raises(MissingFilesError):
        download(file, Silent(), replace(QUICK, tries=1))
    (file.path.parent / "part.json").write_text("{", encoding="utf-8")
    assert download(file, Silent(), QUICK).read_bytes() == CONTENT
    assert server.asked("GET")[-1].span is None
    receipt = file.path.parent / "receipt.json"
    receipt.write_text(json.dumps({"origin": 1}), encoding="utf-8")
    assert receipt_of(file) is None
    assert download(file, Silent(), QUICK).read_bytes() == CONTENT


def test_the_limits_are_those_of_a_person(server: FileServer) -> None:
    assert transfer.GLANCE.connect_s + transfer.GLANCE.read_s <= 6  # a sensor has ten seconds
    assert Patience().tries >= 3
