"""Checkpoints of random weights in the published formats, and a hub that is a folder behind a local HTTP server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from numpy.typing import NDArray

OPEN_CLIP_ARCH = "ViT-S-32-alt"
TIMM_ARCH = "test_vit"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees this machine's home, weights or network."""
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def images() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((61, 87), (240, 173), (33, 32), (8, 8))] * 2


@pytest.fixture(scope="session")
def timm_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    # With its classifier, as published.
    save_file(timm.create_model(TIMM_ARCH, pretrained=False).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def open_clip_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("open_clip") / "open_clip_model.safetensors"
    save_file(open_clip.create_model(OPEN_CLIP_ARCH, pretrained=None).state_dict(), path)
    return path


class Hub:
    """Files by (repository, name); counts requests; can hang up in the middle of a body."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.hang_up_once_after: int | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                span = self.headers.get("Range")
                hub.requests.append((self.command, self.path, span))
                content = hub.files.get(self.path)
                if content is None:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("X-Repo-Commit", COMMIT)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
                self.send_response(206 if span else 200)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", str(len(content) - start))
                if span:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.end_headers()
                if body and hub.hang_up_once_after is not None:
                    self.wfile.write(content[start : start + hub.hang_up_once_after])
                    hub.hang_up_once_after = None
                    self.close_connection = True
                elif body:
                    self.wfile.write(content[start:])

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def publish(self, repo: str, filename: str, content: bytes) -> None:
        self.files[f"/{repo}/resolve/main/{filename}"] = content
        self.files[f"/{repo}/resolve/{COMMIT}/{filename}"] = content

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub()
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    # The hub's library reads the variable once, at import, which may have been under the fixture above.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in [key for key in os.environ if key.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    yield served
    served.close()
