"""The servers that other tests rely on, through the client libraries that the package uses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from semsim_pipeline_tests.servers import Fault, FileServer, Hub, served_hub

CONTENT = os.urandom(200_000)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with served_hub(monkeypatch) as served:
        yield served


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_the_hub_s_library_lists_and_downloads_what_was_committed(hub: Hub, kind: str, tmp_path: Path) -> None:
    from huggingface_hub import HfApi, hf_hub_download

    first = hub.publish("org/thing", "data/a.bin", CONTENT, kind=kind)
    second = hub.publish("org/thing", "b.bin", b"b", kind=kind)
    api = HfApi(endpoint=hub.url)
    assert api.repo_info("org/thing", repo_type=kind[:-1]).sha == second != first
    entries = {entry.path: entry for entry in api.list_repo_tree("org/thing", repo_type=kind[:-1], recursive=True)}
    assert sorted(entries) == ["b.bin", "data/a.bin"]
    assert entries["data/a.bin"].lfs.sha256 == hashlib.sha256(CONTENT).hexdigest()
    where = {"repo_type": kind[:-1], "cache_dir": tmp_path / "cache", "endpoint": hub.url}
    found = hf_hub_download("org/thing", "data/a.bin", revision=first, **where)
    assert Path(found).read_bytes() == CONTENT
    assert first in found


def test_a_file_s_rest_is_sent_only_of_the_version_that_was_meant() -> None:
    with FileServer() as server:
        url = server.publish("a.bin", CONTENT)
        etag = requests.head(url, timeout=5).headers["ETag"]
        rest = requests.get(url, headers={"Range": "bytes=150000-", "If-Range": etag}, timeout=5)
        assert (rest.status_code, rest.content) == (206, CONTENT[150_000:])
        assert requests.get(url, headers={"Range": "bytes=200000-"}, timeout=5).status_code == 416
        server.publish("a.bin", CONTENT[::-1])
        whole = requests.get(url, headers={"Range": "bytes=150000-", "If-Range": etag}, timeout=5)
        assert (whole.status_code, whole.content) == (200, CONTENT[::-1])


def test_what_goes_wrong_is_what_was_asked_for() -> None:
    with FileServer() as server:
        url = server.publish("a.bin", CONTENT)
        server.fail(Fault(status=503))
        assert requests.get(url, timeout=5).status_code == 503
        server.fail(Fault(drop_after=50_000))
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            assert requests.get(url, timeout=5).content
        for silent in (Fault(hang_after=50_000), Fault(wait=5)):
            server.fail(silent)
            with pytest.raises((requests.ConnectionError, requests.Timeout)):
                assert requests.get(url, timeout=0.2).content
        assert requests.get(url, timeout=5).content == CONTENT
    with pytest.raises(requests.ConnectionError):
        requests.head(url, timeout=5)
