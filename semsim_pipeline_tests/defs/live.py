"""A real `semsim ui` and its GraphQL, as the browser uses it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 600.0
"""Patience with a busy machine; a test that works waits for a tenth of it."""
LOCATION = {"repositoryLocationName": "semsim", "repositoryName": "__repository__"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def live_ui(home: Path, *options: str, code: Path | None = None) -> Iterator[Live]:
    """`semsim ui` on a home, up and loaded; told to end afterwards, and it must. code: a folder with another
    `semsim_pipeline` in it, to be run instead."""
    port = free_port()
    log = home.parent / "ui.log"
    environment = {**os.environ, "SEMSIM_HOME": str(home)}
    if code is not None:
        environment["PYTHONPATH"] = str(code)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "semsim_pipeline", "ui", "--port", str(port), *options],
            env=environment, cwd=code, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    found = Live(url=f"http://127.0.0.1:{port}", process=process, log=log)
    try:
        found.wait_until(found.loaded, "the code location to load")
        yield found
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)  # its servers get a tenth of this before it kills them
            finally:
                process.kill()
                process.wait()


@dataclass(frozen=True, kw_only=True)
class Live:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def query(self, text: str, **variables: object) -> dict[str, Any]:
        body = json.dumps({"query": text, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        data: dict[str, Any] = found["data"]
        return data

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            assert self.process.poll() is None, f"semsim ui ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}: {self.log.read_text()[-3000:]}"
            time.sleep(0.3)

    def loaded(self) -> bool:
        try:
            found = self.query("{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name } } } }")
        except OSError:
            return False
        return bool(found["repositoriesOrError"].get("nodes"))

    def materialise(self, asset: str, partition: str) -> str:
        """What the button of the UI sends for one partition; the run's id."""
        found = self.query(
            """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
                 __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
            p={
                "selector": {
                    **LOCATION, "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": [asset]}],
                    "assetCheckSelection": [],
                },
                "runConfigData": {},
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
            },
        )["launchPipelineExecution"]  # fmt: skip
        assert found["__typename"] == "LaunchRunSuccess", found
        return str(found["run"]["runId"])

    def run(self, run_id: str) -> dict[str, Any]:
        """A finished run: its status and the messages of what failed in it."""
        text = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status
                  eventConnection { events { __typename ... on ExecutionStepFailureEvent {
                    failureMetadata { description } error { message } } } } } } }"""

        def done() -> bool:
            return self.query(text, id=run_id)["runOrError"]["status"] in {"SUCCESS", "FAILURE", "CANCELED"}

        self.wait_until(done, f"run {run_id}")
        found: dict[str, Any] = self.query(text, id=run_id)["runOrError"]
        return found

    def backfill(self, partitions: Mapping[str, Sequence[str]], seconds: float = SECONDS) -> str:
        """Asset to partitions, all as one backfill, waited for; its status."""
        return self.backfill_status(self.launch_backfill(partitions), seconds)

    def launch_backfill(self, partitions: Mapping[str, Sequence[str]]) -> str:
        """Asset to partitions, all as one backfill; its id."""
        found = self.query(
            """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
                 __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            p={
                "partitionsByAssets": [
                    {
                        "assetKey": {"path": [asset]},
                        "partitions": {"ranges": [{"start": key, "end": key} for key in keys]},
                    }
                    for asset, keys in partitions.items()
                ]
            },
        )["launchPartitionBackfill"]
        assert found["__typename"] == "LaunchBackfillSuccess", found
        return str(found["backfillId"])

    def backfill_status(self, backfill: str, seconds: float = SECONDS) -> str:
        """How a backfill ended, waited for."""
        text = (
            "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
        )

        def status() -> str:
            return str(self.query(text, id=backfill)["partitionBackfillOrError"]["status"])

        ended = {"COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
        self.wait_until(lambda: status() in ended, "the backfill", seconds)
        return status()

    def runs(self) -> list[dict[str, Any]]:
        """Every run, newest first: `status`, `assets`, `partition`."""
        found = self.query(
            """{ runsOrError { ... on Runs { results { status assetSelection { path } tags { key value } } } } }"""
        )["runsOrError"]["results"]
        return [
            {
                "status": run["status"],
                "assets": [each["path"][0] for each in run["assetSelection"] or ()],
                "partition": next((tag["value"] for tag in run["tags"] if tag["key"] == "dagster/partition"), None),
            }
            for run in found
        ]

    def events(self, asset: str, partition: str) -> list[dict[str, Any]]:
        """The materialisations of a partition, newest first: `tags` and `metadata` as plain values."""
        found = self.query(
            """query($k: AssetKeyInput!, $p: [String!]) { assetOrError(assetKey: $k) { ... on Asset {
                 assetMaterializations(partitions: $p, limit: 50) { runId tags { key value } metadataEntries { label
                   ... on FloatMetadataEntry { floatValue } ... on IntMetadataEntry { intValue }
                   ... on TextMetadataEntry { text } ... on BoolMetadataEntry { boolValue }
                   ... on MarkdownMetadataEntry { mdStr } } } } } }""",
            k={"path": [asset]},
            p=[partition],
        )["assetOrError"].get("assetMaterializations", [])
        kinds = ("floatValue", "intValue", "text", "boolValue", "mdStr")
        return [
            {
                "run": event["runId"],
                "tags": {tag["key"]: tag["value"] for tag in event["tags"]},
                "metadata": {
                    entry["label"]: next((entry[kind] for kind in kinds if entry.get(kind) is not None), None)
                    for entry in event["metadataEntries"]
                },
            }
            for event in found
        ]
