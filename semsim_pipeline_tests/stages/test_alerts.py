"""News reaches a webhook once; a dead one costs a line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from semsim_pipeline.stages import alerts
from semsim_pipeline.stages.alerts import URL, send_alerts
from semsim_pipeline.stages.checks import CheckResult, facts_of
from semsim_pipeline.stages.workspace import Workspace

PAIR = "left~alone@classical"
GATES = facts_of("pair_metrics")
DRIFT = CheckResult(
    facts=GATES["score_steady"],
    partition=PAIR,
    version="v1",
    passed=False,
    message="0.9 → 0.5.",
    numbers={"moved": -0.4},
)
LOW = replace(DRIFT, facts=GATES["above_threshold"], message="0.5 is below the threshold 0.8 of whole.")


@dataclass
class Hook:
    """A webhook. answers: status codes to give, the last one for ever after."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [200])
    got: list[dict[str, object]] = field(default_factory=list)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            found.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.answers.pop(0) if len(found.answers) > 1 else found.answers[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}/hook?token=secret"
        monkeypatch.setenv(URL, found.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(alerts, "PAUSE_SECONDS", 0.01)
        yield found
        server.shutdown()
        thread.join()


def test_one_post_for_all_the_news_of_a_run(workspace: Workspace, hook: Hook) -> None:
    noticed = replace(DRIFT, facts=GATES["no_confound"])
    fine = replace(DRIFT, version="v2", passed=True)
    assert send_alerts(workspace, [DRIFT, LOW, noticed, fine]) is None
    [body] = hook.got
    assert (body["source"], body["schema"]) == ("semsim", 1)
    assert body["text"] == f"{PAIR}: 0.9 → 0.5.\n{PAIR}: 0.5 is below the threshold 0.8 of whole."
    first, second = body["alerts"]  # type: ignore[misc]
    assert first == {
        "reason": "score_steady", "pair": PAIR, "comparisons": ["whole"], "message": "0.9 → 0.5.", "severity": "WARN",
        "version": "v1", "numbers": {"moved": -0.4},
    }  # fmt: skip
    assert (second["reason"], second["severity"]) == ("above_threshold", "ERROR")


def test_the_same_news_is_told_once(workspace: Workspace, hook: Hook) -> None:
    send_alerts(workspace, [DRIFT])
    send_alerts(workspace, [DRIFT])
    send_alerts(workspace, [DRIFT, LOW])
    send_alerts(workspace, [replace(DRIFT, version="v2"), LOW])
    told = [[(each["reason"], each["version"]) for each in body["alerts"]] for body in hook.got]  # type: ignore[attr-defined]
    assert told == [[("score_steady", "v1")], [("above_threshold", "v1")], [("score_steady", "v2")]]


def test_two_processes_with_the_same_news_send_it_once(workspace: Workspace, hook: Hook) -> None:
    threads = [threading.Thread(target=send_alerts, args=(workspace, [DRIFT])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.got) == 1


def test_a_hiccup_is_tried_again_and_a_refusal_is_not(workspace: Workspace, hook: Hook) -> None:
    hook.answers = [503, 429, 200]
    assert send_alerts(workspace, [DRIFT]) is None
    assert len(hook.got) == 3
    hook.got.clear()
    hook.answers = [404]
    problem = send_alerts(workspace, [LOW])
    assert problem is not None
    assert "answered 404" in problem
    assert "secret" not in problem
    assert len(hook.got) == 1
    hook.answers = [200]
    assert send_alerts(workspace, [LOW]) is None  # what was not taken is still news
    assert len(hook.got) == 2


def test_a_dead_webhook_is_a_line(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, hook: Hook) -> None:
    monkeypatch.setenv(URL, "http://127.0.0.1:9/hook?token=secret")
    problem = send_alerts(workspace, [DRIFT, LOW])
    assert problem is not None
    assert problem.startswith("2 alerts could not be sent: the webhook cannot be reached (")
    assert "secret" not in problem
    monkeypatch.setenv(URL, "hook.example")
    assert "is no http" in str(send_alerts(workspace, [DRIFT]))
    assert hook.got == []


def test_nobody_listens(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    monkeypatch.setattr(alerts, "_post", lambda *_: pytest.fail("sent"))
    assert send_alerts(workspace, [DRIFT]) is None
    assert not (workspace.home / "pipeline" / "alerts").exists()


def test_a_damaged_record_tells_once_more(workspace: Workspace, hook: Hook) -> None:
    send_alerts(workspace, [DRIFT])
    (workspace.home / "pipeline" / "alerts" / f"{PAIR}.json").write_text("[", encoding="utf-8")
    assert send_alerts(workspace, [DRIFT]) is None
    assert send_alerts(workspace, [DRIFT]) is None
    assert len(hook.got) == 2
