"""Servers for what downloads: files over HTTP that break on demand, and the protocol of the Hugging Face hub.

Both bind 127.0.0.1 only, keep what they were asked, and are told what goes wrong next.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

PIECE = 16_384
"""Bytes written at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one answer.

    status: answered instead of the content. drop_after: the connection ends behind so many bytes of the body.
    wait: seconds before the first byte of the answer. pause: seconds before each piece of the body (a slow line).
    hang_after: the body stops behind so many bytes, the connection stays open. headers: beside the usual.
    """

    status: int | None = None
    drop_after: int | None = None
    wait: float = 0.0
    pause: float = 0.0
    hang_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked. span: its Range. on: its If-Range."""

    method: str
    path: str
    span: str | None = None
    on: str | None = None


class Server:
    """What both have: a thread, requests that were made, faults to come. Use as a context, or `close` it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._faults: list[tuple[str | None, Fault]] = []
        self._always: dict[str | None, Fault] = {}
        self._over = Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                server.take(self)

            def do_GET(self) -> None:
                server.take(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.take(self)

            def log_message(self, *_: object) -> None:
                return

        self.server = _Quiet(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Nothing answers at this place any more; a second call does nothing."""
        if not self._over.is_set():
            self._over.set()
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()

    def fail(self, fault: Fault, *, path: str | None = None, times: int = 1) -> None:
        """The next `times` requests with a body (of `path`, or of any) go wrong in this way."""
        self._faults += [(path, fault)] * times

    def always(self, fault: Fault | None, *, path: str | None = None) -> None:
        """Every answer from now on, HEAD too; None ends it."""
        self._always.pop(path, None)
        if fault is not None:
            self._always[path] = fault

    def asked(self, method: str | None = None, path: str | None = None) -> list[Request]:
        """The requests so far."""
        return [r for r in self.requests if method in {None, r.method} and path in {None, r.path}]

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """One request."""
        path = unquote(urlsplit(handler.path).path)
        asked = Request(
            method=handler.command,
            path=path,
            span=handler.headers.get("Range"),
            on=handler.headers.get("If-Range"),
        )
        self.requests.append(asked)
        fault = self._fault(asked)
        if self._over.wait(fault.wait):
            handler.close_connection = True
        elif fault.status is not None:
            send(handler, fault.status, b"went wrong", fault.headers)
        else:
            self.answer(handler, asked, fault)

    def answer(self, handler: BaseHTTPRequestHandler, asked: Request, fault: Fault) -> None:
        """What this server says to a request without a status of its own."""
        raise AssertionError("each server has its own")

    def _fault(self, asked: Request) -> Fault:
        always = self._always.get(asked.path, self._always.get(None))
        if always is not None:
            return always
        if asked.method != "HEAD":
            for place, (path, fault) in enumerate(self._faults):
                if path in {None, asked.path}:
                    del self._faults[place]
                    return fault
        return Fault()

    def content(
        self, handler: BaseHTTPRequestHandler, asked: Request, body: bytes, headers: Mapping[str, str], fault: Fault
    ) -> None:
        """A file, or the part of it that was asked for, as the fault has it."""
        start = _start(asked, body, headers)
        if start is None:
            send(handler, 416, b"", {**headers, "Content-Range": f"bytes */{len(body)}"})
            return
        handler.send_response(206 if start else 200)
        said = {"Content-Length": str(len(body) - start), **headers, **fault.headers}
        if start:
            said["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        for name, value in said.items():
            handler.send_header(name, value)
        handler.end_headers()
        if asked.method == "HEAD":
            return
        cut = fault.drop_after if fault.hang_after is None else fault.hang_after
        end = len(body) if cut is None else min(len(body), start + cut)
        try:
            self._write(handler, body, range(start, end, PIECE), fault)
        except OSError:
            end = 0  # the other side has had enough
        if end < len(body):
            handler.close_connection = True

    def _write(self, handler: BaseHTTPRequestHandler, body: bytes, places: range, fault: Fault) -> None:
        for at in places:
            if self._over.wait(fault.pause):
                return
            handler.wfile.write(body[at : min(places.stop, at + PIECE)])
        if fault.hang_after is not None:
            self._over.wait(60)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in the middle is what half of the tests are about."""


def _start(asked: Request, body: bytes, headers: Mapping[str, str]) -> int | None:
    """The first byte to send: 0 for the whole, also where If-Range names another version; None beyond the end."""
    if not asked.span or "Accept-Ranges" not in headers:
        return 0
    if asked.on is not None and asked.on not in {headers.get("ETag"), headers.get("Last-Modified")}:
        return 0
    start = int(asked.span.removeprefix("bytes=").split("-")[0])
    return start if start < len(body) else None


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """A whole answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


class FileServer(Server):
    """Files by path, with ETag, Last-Modified, Range and If-Range, as a static server sends them."""

    def __init__(self, *, ranges: bool = True, etags: bool = True, dates: bool = True) -> None:
        """ranges, etags, dates: what the server supports."""
        self._ranges, self._etags, self._dates = ranges, etags, dates
        self.files: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        super().__init__()

    def publish(self, name: str, content: bytes) -> str:
        """A new version of a file; its URL."""
        path = f"/{name}"
        self.files[path] = content
        self.times[path] = self.times.get(path, time.time() - 86_400) + 60
        return f"{self.url}{path}"

    def answer(self, handler: BaseHTTPRequestHandler, asked: Request, fault: Fault) -> None:
        body = self.files.get(asked.path)
        if body is None:
            send(handler, 404, b"no such file", {})
            return
        headers = {"Content-Type": "application/octet-stream"}
        if self._ranges:
            headers["Accept-Ranges"] = "bytes"
        if self._etags:
            headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        if self._dates:
            headers["Last-Modified"] = formatdate(self.times[asked.path], usegmt=True)
        self.content(handler, asked, body, headers, fault)


@dataclass(slots=True)
class Repository:
    """A repository of the hub: commits by hash, and the branches and tags that name them. card: its card's data."""

    name: str
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    card: dict[str, object] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.names.get(revision)


class Hub(Server):
    """The hub's protocol for models and data sets, as far as its client's library asks for it.

    A data set's files lie at `/datasets/OWNER/NAME/resolve/…`, a model's at `/OWNER/NAME/resolve/…`.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        super().__init__()

    def publish(self, repo: str, filename: str, content: bytes, *, kind: str = "models", branch: str = "main") -> str:
        """A file of a repository, in a commit of its own. kind: `models` or `datasets`. Returns the commit."""
        return self.commit(repo, {filename: content}, kind=kind, branch=branch)

    def commit(
        self, repo: str, files: Mapping[str, bytes | None], *, kind: str = "models", branch: str = "main"
    ) -> str:
        """A new commit on a branch: the files of its last one, with these put in, or taken out (None)."""
        found = self.repositories.setdefault((kind, repo), Repository(name=repo))
        before = found.commits.get(found.names.get(branch, ""), {})
        after = {name: body for name, body in {**before, **files}.items() if body is not None}
        number = hashlib.sha1(f"{kind}/{repo}/{branch}/{len(found.commits)}".encode()).hexdigest()
        found.commits[number] = after
        found.names[branch] = number
        return number

    def card(self, repo: str, data: Mapping[str, object], *, kind: str = "datasets") -> None:
        """The data of a repository's card (the YAML before its README), such as `configs`."""
        self.repositories.setdefault((kind, repo), Repository(name=repo)).card = dict(data)

    def answer(self, handler: BaseHTTPRequestHandler, asked: Request, fault: Fault) -> None:
        parts = handler.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "api":
            self._api(handler, [unquote(part) for part in parts[1:]])
        elif parts[0] == "datasets":
            self._file(handler, "datasets", [unquote(part) for part in parts[1:]], asked, fault)
        else:
            self._file(handler, "models", [unquote(part) for part in parts], asked, fault)

    def _api(self, handler: BaseHTTPRequestHandler, parts: list[str]) -> None:
        kind, name, what = parts[0], "/".join(parts[1:3]), parts[3:]
        repo = self.repositories.get((kind, name))
        if repo is None:
            send(handler, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        commit = repo.commit_of(what[1] if len(what) > 1 else "main")
        if commit is None:
            send(handler, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        files = repo.commits[commit]
        said: object
        if what[:1] == ["tree"]:
            under = "/".join(what[2:])
            said = [_entry(n, body) for n, body in sorted(files.items()) if not under or n.startswith(f"{under}/")]
        else:
            said = _facts(repo, commit, files, parse_qs(urlsplit(handler.path).query))
        send(handler, 200, json.dumps(said).encode(), {"Content-Type": "application/json"})

    def _file(self, handler: BaseHTTPRequestHandler, kind: str, parts: list[str], asked: Request, fault: Fault) -> None:
        repo = self.repositories.get((kind, "/".join(parts[:2])))
        commit = repo.commit_of(parts[3]) if repo is not None and len(parts) > 4 and parts[2] == "resolve" else None
        if repo is None or commit is None:
            code = "RepoNotFound" if repo is None else "RevisionNotFound"
            send(handler, 404, b"", {"X-Error-Code": code})
            return
        body = repo.commits[commit].get("/".join(parts[4:]))
        if body is None:
            send(handler, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        digest = hashlib.sha256(body).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        self.content(handler, asked, body, headers, fault)


def _entry(name: str, body: bytes) -> dict[str, object]:
    large = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
    return {"type": "file", "oid": hashlib.sha1(body).hexdigest(), "size": len(body), "path": name, "lfs": large}


def _facts(
    repo: Repository, commit: str, files: Mapping[str, bytes], query: Mapping[str, list[str]]
) -> dict[str, object]:
    facts: dict[str, object] = {
        "author": repo.name.split("/", maxsplit=1)[0],
        "sha": commit,
        "lastModified": "2026-01-01T00:00:00.000Z",
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "cardData": repo.card,
        "siblings": [{"rfilename": name} for name in sorted(files)],
    }
    wanted = query.get("expand")  # as the hub: then nothing else
    return {"_id": commit[:24], "id": repo.name, **{k: v for k, v in facts.items() if not wanted or k in wanted}}


@contextmanager
def served_hub(patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that this process and its children take for Hugging Face's, whatever the machine's own settings."""
    with Hub() as hub:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        patch.delenv("TRANSFORMERS_OFFLINE", raising=False)
        # The hub's library reads the variable once, at import, which may have been under another test's setting.
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        for name in [key for key in os.environ if key.lower().endswith("_proxy")]:
            patch.delenv(name)
        yield hub
