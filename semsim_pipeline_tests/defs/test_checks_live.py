"""The gates in a real `semsim ui`: their state by partition over GraphQL, run by a button, and in a backfill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.progress import Silent
from semsim_pipeline.stages.checks import facts_of
from semsim_pipeline_tests.defs.browser import chromium, page
from semsim_pipeline_tests.defs.live import LOCATION, Live, live_ui
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    # playwright's transport is closed by its own process, after the loop that warns has gone
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

BAD = "left~odd@classical"
PICTURE = os.environ.get("SEMSIM_CHECKS_PICTURE")
"""Where to keep a screenshot, to look at."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checks") / "home"
    for number, dataset in enumerate(("left", "right", "odd")):
        write_pictures(folder / dataset, 30, seed=number)
    for number in range(6):
        (folder / "odd" / f"bad{number}.png").write_bytes(b"no image")
    (folder / "catalog.yaml").write_text(
        "datasets: {left: left, right: right, odd: odd}\nencoders: {classical: classical}\n"
        "comparisons: {whole: {pairs: [[left, right], [left, odd]]}}\n",
        encoding="utf-8",
    )
    rescore_in_process(folder, Silent())
    return folder


@pytest.fixture(scope="module")
def ui(home: Path) -> Iterator[Live]:
    with live_ui(home) as found:
        yield found


def states(ui: Live, asset: str) -> dict[str, dict[str, Any]]:
    """Check to its partitions by state, as the UI shows them."""
    found = ui.query(
        """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { assetChecksOrError {
             ... on AssetChecks { checks { name blocking canExecuteIndividually partitionStatuses {
               ... on AssetCheckDefaultPartitionStatuses { succeededPartitions failedPartitions } } } } } } } }""",
        k={"path": [asset]},
    )["assetNodeOrError"]["assetChecksOrError"]["checks"]
    return {check["name"]: check for check in found}


def latest(ui: Live, asset: str, check: str, partition: str) -> dict[str, Any]:
    text = """query($k: AssetKeyInput!, $n: String!, $p: String) {
      assetCheckExecutions(assetKey: $k, checkName: $n, partition: $p, limit: 1) {
        runId status evaluation { severity description success } } }"""
    [found] = ui.query(text, k={"path": [asset]}, n=check, p=partition)["assetCheckExecutions"]
    return dict(found)


def test_the_bulk_runs_results_are_shown_by_partition(ui: Live) -> None:
    found = states(ui, "dataset_manifest")
    assert set(found) == set(facts_of("dataset_manifest"))
    statuses = found["images_readable"]["partitionStatuses"]
    assert set(statuses["succeededPartitions"]) == {"left", "right"}
    assert statuses["failedPartitions"] == ["odd"]
    assert found["images_readable"]["blocking"]
    assert found["images_readable"]["canExecuteIndividually"] == "CAN_EXECUTE"
    evaluation = latest(ui, "dataset_manifest", "images_readable", "odd")["evaluation"]
    assert (evaluation["severity"], evaluation["success"]) == ("ERROR", False)
    assert "6 of 36 images (16.7%)" in evaluation["description"]
    assert states(ui, "report")["all_pairs_current"]["partitionStatuses"]["failedPartitions"] == ["whole"]
    assert BAD in latest(ui, "report", "all_pairs_current", "whole")["evaluation"]["description"]


def test_a_check_runs_by_itself(ui: Live) -> None:
    before = latest(ui, "report", "all_pairs_current", "whole")["runId"]
    launched = ui.query(
        """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
             __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
        p={
            "selector": {
                **LOCATION, "pipelineName": "__ASSET_JOB", "assetSelection": [],
                "assetCheckSelection": [{"assetKey": {"path": ["report"]}, "name": "all_pairs_current"}],
            },
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "whole"}]},
        },
    )["launchPipelineExecution"]  # fmt: skip
    assert launched["__typename"] == "LaunchRunSuccess", launched
    assert ui.run(launched["run"]["runId"])["status"] == "SUCCESS"
    now = latest(ui, "report", "all_pairs_current", "whole")
    assert now["runId"] != before
    assert "missing" in now["evaluation"]["description"]


def test_a_backfill_evaluates_every_check_and_stops_where_one_blocks(ui: Live) -> None:
    """Dagster asks for the embeddings all the same, in a run of their own; the stage asks the gate below it."""
    before = latest(ui, "embeddings", "vectors_sound", "left@classical")["runId"]
    status = ui.backfill(
        {"dataset_manifest": ["left", "odd"], "embeddings": ["left@classical", "odd@classical"]},
    )
    assert status == "COMPLETED_FAILED"
    assert "odd" in states(ui, "dataset_manifest")["images_readable"]["partitionStatuses"]["failedPartitions"]
    assert "left@classical" in states(ui, "embeddings")["vectors_sound"]["partitionStatuses"]["succeededPartitions"]
    assert latest(ui, "embeddings", "vectors_sound", "left@classical")["runId"] != before
    assert ui.events("embeddings", "odd@classical") == []


@pytest.mark.skipif(chromium() is None, reason="needs a browser: apt-get install chromium")
def test_a_person_sees_them(ui: Live) -> None:
    with page() as browser:
        browser.goto(f"{ui.url}/assets/dataset_manifest?view=checks&checkDetail=images_readable")
        browser.get_by_text("images_readable").first.wait_for()
        browser.get_by_text("The share of images that cannot be opened").first.wait_for()
        if PICTURE:
            browser.wait_for_timeout(3000)
            browser.screenshot(path=PICTURE)
