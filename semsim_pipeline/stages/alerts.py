"""News of scores that drifted or fell too low, sent once to a webhook: `SEMSIM_WEBHOOK_URL`.

One POST of JSON for all the news of a run:

    {"source": "semsim", "schema": 1, "text": "one line a piece of news, for chats",
     "alerts": [{"reason": "score_steady", "pair": KEY, "comparisons": [NAME, ...], "message": "...",
                 "severity": "WARN", "version": "<of the score>", "numbers": {"moved": -0.12, ...}}]}

`reason` is the name of the check. A pair's version is told once for each reason, however often it is looked at; what
could not be delivered is tried again by the next run. A webhook that does not answer costs seconds and fails nothing.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from http.client import HTTPException
from pathlib import Path

from semsim_pipeline.comparison.classes_json import Json
from semsim_pipeline.errors import StoreError
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.stages.checks.records import CheckResult
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline.store.locks import locked

URL = "SEMSIM_WEBHOOK_URL"
SCHEMA = 1
SECONDS = 5.0
TRIES = 3
PAUSE_SECONDS = 0.5
"""Before the second try; twice as long before each one after."""


def send_alerts(workspace: Workspace, results: Iterable[CheckResult]) -> str | None:
    """Tell the webhook what is news among these results; None where all went well or there was nothing to tell.

    Returns one line where it could not be told. Raises nothing: news is not worth a run. Two processes with the same
    news take turns, so that it is sent once.
    """
    url = os.environ.get(URL, "").strip()
    failed = [each for each in results if each.facts.alert and not each.passed]
    if not url or not failed:
        return None
    folder = workspace.home / "pipeline" / "alerts"
    try:
        with locked(folder / ".lock"):
            news = [each for each in failed if each.version not in _told(folder, each)]
            if not news:
                return None
            problem = _post(url, _body(workspace, news))
            if problem is None:
                _remember(folder, news)
            return (
                None
                if problem is None
                else f"{len(news):,} alerts could not be sent: {problem} The next run tries again."
            )
    except (StoreError, OSError) as error:
        return f"Alerts could not be sent: {error}"


def _told(folder: Path, news: CheckResult) -> list[str]:
    """The versions of a pair's score for which its listener knows this reason; empty where the record is damaged."""
    try:
        said = (read_json(_file(folder, news)) or {}).get(news.facts.name)
    except StoreError:
        return []
    return [str(version) for version in said] if isinstance(said, list) else []


def _remember(folder: Path, news: Sequence[CheckResult]) -> None:
    for each in news:
        path = _file(folder, each)
        try:
            said = read_json(path) or {}
        except StoreError:
            said = {}
        write_json(path, {**said, each.facts.name: [*_told(folder, each), each.version]})


def _file(folder: Path, news: CheckResult) -> Path:
    return folder / f"{news.partition}.json"


def _body(workspace: Workspace, news: Sequence[CheckResult]) -> bytes:
    alerts: list[Json] = []
    for each in news:
        pair = workspace.catalog.pairs.get(each.partition)
        alerts.append(
            {
                "reason": each.facts.name,
                "pair": each.partition,
                "comparisons": [] if pair is None else list(pair.comparisons),
                "message": each.message,
                "severity": each.facts.severity,
                "version": each.version,
                "numbers": dict(each.numbers),
            }
        )
    text = "\n".join(f"{each.partition}: {each.message}" for each in news)
    return json.dumps(
        {"source": "semsim", "schema": SCHEMA, "text": text, "alerts": alerts}, ensure_ascii=False, allow_nan=False
    ).encode()


def _post(url: str, body: bytes) -> str | None:
    """None where it was taken; else why not, after some tries. The address may hold a secret: it is not repeated."""
    if not url.startswith(("http://", "https://")):
        return f"{URL} is no http:// or https:// address."
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310  # checked above
        try:
            with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
                return None
        except urllib.error.HTTPError as error:
            error.close()
            problem = f"the webhook answered {error.code} {error.reason}."
            if error.code < 500 and error.code != 429:
                break  # it will not like it better the next time
        except (OSError, ValueError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            problem = f"the webhook cannot be reached ({str(reason).strip() or type(reason).__name__})."
    return problem
