"""Weights behind a plain URL: brought once, whole, from whichever place has them; what goes wrong is one clear line."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from semsim_pipeline import hub as hub_module
from semsim_pipeline.downloads import MIRROR
from semsim_pipeline.encoders import url_weights
from semsim_pipeline.encoders.inception_fid import WEIGHTS as FID
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.url_weights import UrlWeights
from semsim_pipeline.errors import MissingWeightsError, UnusableWeightsError
from semsim_pipeline.transfer import Patience
from semsim_pipeline_tests.encoders.conftest import one_line, weights_in
from semsim_pipeline_tests.heard import Heard
from semsim_pipeline_tests.servers import Fault, FileServer

CONTENT = bytes(range(256)) * 1_000
QUICK = Patience(connect_s=1, read_s=0.4, slow_s=0.4, slow_bytes=200_000, tries=3, pause_s=0.01, longest_pause_s=0.02)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FileServer]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(hub_module, "HUB_TIMEOUT_S", 0.5)
    monkeypatch.setattr(url_weights, "PATIENCE", QUICK)
    with FileServer() as server:
        yield server


def _behind(server: FileServer, content: bytes = CONTENT) -> UrlWeights:
    import hashlib

    url = server.publish("releases/w-00000000.pth", content)
    return UrlWeights(url=url, digest_prefix=hashlib.sha256(content).hexdigest()[:8])


def _left_beside(weights: UrlWeights) -> list[str]:
    return sorted(path.name for path in weights.path.parent.iterdir() if path.suffix != ".lock")


def test_a_url_is_fetched_once_and_recorded(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _behind(files)
    path = weights.fetch("net")
    assert path.read_bytes() == CONTENT
    assert path == weights.path
    asked = len(files.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert weights.fetch("net") == weights.find("net") == path
    assert len(files.requests) == asked
    assert _left_beside(weights) == [path.name]


def test_a_url_that_breaks_is_resumed(files: FileServer) -> None:
    weights = _behind(files)
    files.fail(Fault(drop_after=100_000), times=2)
    said = Heard()
    assert weights.fetch("net", said).read_bytes() == CONTENT
    assert said.lines[0].startswith(f"Fetching {weights.filename} (")
    assert sum("trying again" in line for line in said.lines) == 2
    assert said.stages[0] == ("download", len(CONTENT))
    assert said.done[-1] == len(CONTENT)
    assert [request.span for request in files.asked("GET")] == [None, "bytes=100000-", "bytes=200000-"]


def test_a_url_that_keeps_breaking_goes_on_the_next_time(files: FileServer) -> None:
    weights = _behind(files)
    files.fail(Fault(hang_after=50_000), times=3)
    with pytest.raises(MissingWeightsError) as raised:
        weights.fetch("net")
    assert "no data for 0.4 s" in one_line(raised.value)
    assert weights_in(weights.path.parent) == []
    assert weights.fetch("net").read_bytes() == CONTENT
    assert files.asked("GET")[-1].span == "bytes=150000-"
    assert _left_beside(weights) == [weights.filename]


@pytest.mark.parametrize("have", [100_000, len(CONTENT)])
def test_a_beginning_without_a_note_is_gone_on_with(files: FileServer, have: int) -> None:
    """As versions before left it; the digest tells whether it was right."""
    weights = _behind(files)
    weights.path.parent.mkdir(parents=True)
    weights.path.with_name(f"{weights.filename}.part").write_bytes(CONTENT[:have])
    assert weights.fetch("net").read_bytes() == CONTENT
    assert [request.span for request in files.asked("GET")] == [f"bytes={have}-"]


def test_a_dripping_server_is_given_up(files: FileServer) -> None:
    weights = _behind(files)
    files.always(Fault(pause=0.15))
    began = time.monotonic()
    with pytest.raises(MissingWeightsError, match=r"fewer than 200,000 bytes in 0\.4 s") as raised:
        weights.fetch("net")
    assert time.monotonic() - began < 10
    one_line(raised.value)
    assert weights_in(weights.path.parent) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_recovers_is_asked_again(status: int, files: FileServer) -> None:
    weights = _behind(files)
    files.fail(Fault(status=status), times=2)
    assert weights.fetch("net").read_bytes() == CONTENT
    assert len(files.asked("GET")) == 3


def test_a_version_that_changes_on_the_way_is_fetched_anew(files: FileServer) -> None:
    weights = _behind(files)
    other = CONTENT[::-1]
    files.publish(f"releases/{weights.filename}", other)
    files.fail(Fault(drop_after=50_000), times=QUICK.tries)
    with pytest.raises(MissingWeightsError):
        weights.fetch("net")
    files.publish(f"releases/{weights.filename}", CONTENT)
    assert weights.fetch("net").read_bytes() == CONTENT


def test_two_processes_fetch_once(files: FileServer) -> None:
    weights = _behind(files)
    files.fail(Fault(wait=0.3))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(weights.fetch("net"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [weights.path] * 2
    assert len(files.asked("GET")) == 1


@pytest.mark.parametrize("status", [404, 500])
def test_a_url_that_refuses(status: int, files: FileServer) -> None:
    weights = _behind(files)
    files.always(Fault(status=status))
    with pytest.raises(MissingWeightsError, match=f"HTTP {status}") as raised:
        weights.fetch("net")
    assert str(weights.path) in one_line(raised.value)
    assert MIRROR in str(raised.value)
    assert _left_beside(weights) == []
    assert len(files.asked("GET")) == (QUICK.tries if status == 500 else 1)


def test_a_url_that_nobody_answers(files: FileServer) -> None:
    weights = _behind(files)
    files.close()
    with pytest.raises(MissingWeightsError, match="cannot be reached"):
        weights.fetch("net")


def test_wrong_bytes_behind_a_url_leave_nothing(files: FileServer) -> None:
    weights = replace(_behind(files), digest_prefix="12345678")
    with pytest.raises(UnusableWeightsError, match=r"damaged: .*12345678… is published") as raised:
        weights.fetch("net")
    one_line(raised.value)
    assert _left_beside(weights) == []
    weights.path.write_bytes(b"put here by hand")
    with pytest.raises(UnusableWeightsError, match="damaged"):
        weights.find("net")


@pytest.mark.parametrize("kind", ["server", "folder"])
def test_a_mirror_is_tried_first(kind: str, files: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _behind(files)
    elsewhere = replace(weights, url=f"http://127.0.0.1:9/{weights.filename}")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / weights.filename).write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR, f"{files.url}/releases/" if kind == "server" else str(tmp_path / "shelf"))
    assert elsewhere.fetch("net").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["server", "folder"])
def test_a_mirror_with_wrong_bytes_is_passed_over(
    kind: str, files: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weights = _behind(files)
    wrong = files.publish(f"mirror/{weights.filename}", CONTENT[::-1])
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / weights.filename).write_bytes(CONTENT[::-1])
    monkeypatch.setenv(MIRROR, wrong.rpartition("/")[0] if kind == "server" else str(tmp_path / "shelf"))
    assert weights.fetch("net").read_bytes() == CONTENT
    assert _left_beside(weights) == [weights.filename]
    [told] = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "is not the published file" in told


def test_wrong_bytes_everywhere_leave_nothing(
    files: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = replace(_behind(files), digest_prefix="12345678")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / weights.filename).write_bytes(CONTENT[::-1])
    monkeypatch.setenv(MIRROR, str(tmp_path / "shelf"))
    with pytest.raises(UnusableWeightsError, match=r"damaged: .*Nothing was kept") as raised:
        weights.fetch("net")
    one_line(raised.value)
    assert _left_beside(weights) == []
    assert (tmp_path / "shelf" / weights.filename).is_file()  # the mirror's own file is not ours to remove


def test_a_mirror_s_password_is_not_shown(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _behind(files)
    files.close()
    monkeypatch.setenv(MIRROR, f"http://me:SECRET@127.0.0.1:{files.port}/x")
    with pytest.raises(MissingWeightsError) as raised:
        weights.fetch("net")
    assert f"http://127.0.0.1:{files.port}/x/{weights.filename}" in one_line(raised.value)
    assert "SECRET" not in str(raised.value)


def test_a_mirror_without_the_file_is_passed_over(
    files: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = _behind(files)
    monkeypatch.setenv(MIRROR, str(tmp_path))
    assert weights.fetch("net").read_bytes() == CONTENT
    weights.path.unlink()
    files.always(Fault(status=500))
    with pytest.raises(MissingWeightsError) as raised:
        weights.fetch("net")
    assert str(tmp_path) in one_line(raised.value)
    assert "HTTP 500" in str(raised.value)


def test_no_network_is_no_network_for_weights_too(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _behind(files)
    monkeypatch.setenv("SEMSIM_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match="SEMSIM_OFFLINE is set"):
        weights.fetch("net")
    assert files.asked("GET") == []


def test_offline_the_url_and_the_place_are_named(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingWeightsError) as raised:
        resolve_encoder("inception-fid").fingerprint()
    text = one_line(raised.value)
    assert FID.url in text
    assert str(FID.path) in text
    assert "`semsim encoders fetch inception-fid`" in text
