"""A catalogue edited under a real `dagster dev`: new keys, a backfill over keys that go, a typo."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from semsim_pipeline_tests.defs.live import Live, live_ui
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SECONDS_TO_SHOW = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("living") / "home"
    for number, name in enumerate(("left", "early")):
        write_pictures(folder / name, 12, seed=number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(folder))
        catalog("add", "encoder", "classical", "classical")
        catalog("add", "dataset", "left", folder / "left")
        catalog("add", "pair", "left", "left")
        yield folder


@pytest.fixture(scope="module")
def ui(home: Path) -> Iterator[Live]:
    with live_ui(home) as found:
        yield found


def catalog(*arguments: object) -> None:
    command = [sys.executable, "-m", "semsim_pipeline", "catalog", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def keys(ui: Live, asset: str) -> list[str]:
    """The partitions of an asset as the UI lists them."""
    text = "query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { partitionKeys } } }"
    found: list[str] = ui.query(text, k={"path": [asset]})["assetNodeOrError"].get("partitionKeys", [])
    return found


def refusals(ui: Live) -> list[str]:
    """The lines that say that a wrong catalogue was not loaded."""
    return [line for line in ui.log.read_text().splitlines() if line.endswith("The graph stays as it was.")]


def test_a_catalogue_that_changes_under_a_running_ui(ui: Live, home: Path) -> None:
    assert ui.run(ui.materialise("dataset_manifest", "left"))["status"] == "SUCCESS"
    [before] = ui.events("dataset_manifest", "left")

    # 1. More: within a minute the keys are there, and what was materialised still is.
    catalog("add", "dataset", "early", home / "early")
    catalog("add", "pair", "left", "early")
    pairs = ["left~left@classical", "left~early@classical"]
    ui.wait_until(lambda: keys(ui, "pair_metrics") == pairs, "the new pair", SECONDS_TO_SHOW)
    assert keys(ui, "dataset_manifest") == ["early", "left"]
    assert ui.events("dataset_manifest", "left") == [before]

    # 2. Less, under a backfill that was asked for over old and new keys: it ends, and the key that stays is done.
    backfill = ui.launch_backfill({"dataset_manifest": ["early", "left"], "embeddings": ["early@classical"]})
    catalog("remove", "pair", "left", "early")
    catalog("remove", "dataset", "early")
    behind = ["left", "early"]  # a removed key stands behind the others
    ui.wait_until(lambda: keys(ui, "dataset_manifest") == behind, "the removed key", SECONDS_TO_SHOW)
    assert keys(ui, "embeddings") == ["left@classical", "early@classical"]

    # 3. Wrong, meanwhile: one line, the old graph stands and runs.
    text = (home / "catalog.yaml").read_text(encoding="utf-8")
    (home / "catalog.yaml").write_text(text.replace("datasets:", "datasts:"), encoding="utf-8")
    ui.wait_until(lambda: len(refusals(ui)) > 0, "the line about the typo", SECONDS_TO_SHOW)
    assert keys(ui, "dataset_manifest") == behind

    assert ui.backfill_status(backfill) in {"COMPLETED_SUCCESS", "COMPLETED_FAILED"}
    assert len(ui.events("dataset_manifest", "left")) == 2
    refused = ui.run(ui.materialise("dataset_manifest", "early"))
    assert refused["status"] == "FAILURE"
    [failure] = [each for each in refused["eventConnection"]["events"] if "failureMetadata" in each]
    assert "early was removed from the catalogue" in str(failure["failureMetadata"]["description"])
    assert "Traceback" not in str(failure["failureMetadata"]["description"])
    assert keys(ui, "dataset_manifest") == behind
    [line] = refusals(ui)
    assert "unknown key 'datasts'. Did you mean 'datasets'?" in line
