"""Against a real `dagster dev`: daemon, queue, run processes, GraphQL. Slow, and the only proof that it works."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import semsim_pipeline as semsim
from semsim_pipeline.stages.outcome import STAGES
from semsim_pipeline_tests.defs.live import Live, free_port, live_ui
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

N = 80
PAIRS = ("left.blobs~left.stripes@classical", "left~right@classical", "left~left@classical")
CATALOG = """
datasets:
  left: {spec: left, values: {label: [blobs, stripes]}}
  right: right
  gone: gone
encoders: {classical: classical}
comparisons:
  inside: {across: left, by: label}
  whole: {pairs: [[left, right], [left, left], [left, gone]]}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("live") / "home"
    for number, dataset in enumerate(("left", "right")):
        for kind in ("stripes", "blobs"):
            write_pictures(folder / dataset / kind, N, seed=10 * number, kind=kind)
    (folder / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def ui(home: Path) -> Iterator[Live]:
    with live_ui(home) as found:
        yield found


def similarity(ui: Live, pair: str) -> float:
    return float(ui.events("pair_metrics", pair)[0]["metadata"]["similarity"])


def test_every_way_gives_the_same_numbers(ui: Live, home: Path) -> None:
    # A page names what fails, so that is known before: the first to find out would write the page anew.
    assert ui.run(ui.materialise("dataset_manifest", "gone"))["status"] == "FAILURE"

    # 1. By the button, stage by stage, one partition a run.
    for asset, partition in (
        ("dataset_manifest", "left"),
        ("embeddings", "left@classical"),
        ("pair_metrics", PAIRS[0]),
        ("pair_plots", PAIRS[0]),
    ):
        assert ui.run(ui.materialise(asset, partition))["status"] == "SUCCESS"
    by_button = similarity(ui, PAIRS[0])
    [event] = ui.events("pair_plots", PAIRS[0])
    assert any("data:image/png;base64," in str(value) for value in event["metadata"].values())
    version = ui.events("pair_metrics", PAIRS[0])[0]["tags"]["dagster/data_version"]

    # 2. A backfill over several pairs and the stages that they need.
    backfill = {
        "dataset_manifest": ["left", "right"],
        "embeddings": ["left@classical", "right@classical"],
        "pair_metrics": PAIRS,
        "pair_plots": PAIRS,
        "similarity_matrix": ["inside", "whole"],
        "report": ["inside", "whole"],
    }
    assert ui.backfill(backfill) == "COMPLETED_SUCCESS"
    by_backfill = {pair: similarity(ui, pair) for pair in PAIRS}
    again = ui.events("pair_metrics", PAIRS[0])
    assert len(again) == 2
    assert again[0]["metadata"]["computed"] is False  # found, not computed, and the version said again
    assert again[0]["tags"]["dagster/data_version"] == version

    # 3. In bulk from the shell: nothing is left to compute but what nobody asked for.
    ran = subprocess.run(
        [sys.executable, "-m", "semsim_pipeline", "rescore", "-q"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1  # a dataset is missing, and said so
    assert "dataset_manifest of gone" in ran.stderr
    assert " 0 computed now" in ran.stdout
    for stage in STAGES:
        for partition in backfill[stage]:
            assert len(ui.events(stage, partition)) <= 2  # no event where Dagster knew this version

    # 4. `semsim compare` on the folders.
    alone = semsim.compare(str(home / "left"), str(home / "right"), encoder="classical")
    assert alone.value == by_backfill["left~right@classical"]
    assert by_button == by_backfill[PAIRS[0]]
    assert by_backfill["left~left@classical"] == pytest.approx(1.0, abs=0.02)


def test_a_failing_partition_says_why_where_one_looks(ui: Live) -> None:
    run = ui.run(ui.materialise("dataset_manifest", "gone"))
    assert run["status"] == "FAILURE"
    [failure] = [each for each in run["eventConnection"]["events"] if each["__typename"] == "ExecutionStepFailureEvent"]
    said = str(failure["failureMetadata"]["description"])
    assert "gone" in said
    assert "Traceback" not in said


def test_the_job_is_there_for_the_ui_and_schedules(ui: Live) -> None:
    found = ui.query("{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }")
    names = {job["name"] for node in found["repositoriesOrError"]["nodes"] for job in node["jobs"]}
    assert "rescore" in names


def test_sigterm_ends_every_process_in_time(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with live_ui(home) as found:
        group = _children(found.process.pid)
        assert len(group) >= 3  # dagster dev, webserver, daemon, code server
        began = time.monotonic()
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(15) == 0
        assert time.monotonic() - began < 10
    deadline = time.monotonic() + 3
    while (alive := [pid for pid in group if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive


def test_a_port_in_use_is_one_line_with_a_free_one(home: Path) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        ran = subprocess.run(
            [sys.executable, "-m", "semsim_pipeline", "ui", "--port", str(port)],
            capture_output=True, text=True, check=False, env={**os.environ, "SEMSIM_HOME": str(home)},
        )  # fmt: skip
    assert ran.returncode == 2
    assert len(ran.stderr.strip().splitlines()) == 1
    assert str(port) in ran.stderr
    assert "semsim ui --port" in ran.stderr


def _children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
