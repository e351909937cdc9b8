from __future__ import annotations

from pathlib import Path

import pytest

from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.stages.checks import CheckResult, check_stage
from semsim_pipeline.stages.outcome import Stage
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.pictures import write_pictures

N = 24
CATALOG = """
datasets:
  left: {spec: left, values: {label: [blobs, stripes]}}
  right: {spec: right, values: {label: [blobs, stripes]}}
  alone: alone
encoders:
  classical: classical
comparisons:
  inside: {across: left, by: label}
  sides: {reference: left, candidate: right, match: label}
  whole: {pairs: [[left, right], [left, left], [left, alone]]}
"""


@pytest.fixture(autouse=True)
def quick_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One plot a pair where the pictures themselves are not the matter (`plots` has their tests)."""
    if request.node.get_closest_marker("real_pictures") is None:
        monkeypatch.setattr(draw, "PLOTS", [PLOTS.get("scale")])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A home with three datasets of pictures; nothing done yet."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("SEMSIM_HOME", str(home))
    for number, dataset in enumerate(("left", "right")):
        for kind in ("stripes", "blobs"):
            write_pictures(home / dataset / kind, N, seed=10 * number, kind=kind)
    write_pictures(home / "alone", N, seed=7)
    (home / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    return Workspace.open(home)


PAIR = "left~alone@classical"
"""Of this catalogue, which the tests of checks write."""
SETUP = """
datasets: {left: {spec: left, values: {label: [blobs, stripes]}}, right: right, alone: alone}
encoders: {classical: classical}
comparisons:
  strict: {pairs: [[left, alone]], thresholds: {failed_images: 0.02}}
  patient: {pairs: [[left, alone]], thresholds: {failed_images: 0.1}}
"""


def checks(workspace: Workspace, stage: Stage, partition: str) -> dict[str, CheckResult]:
    return {each.facts.name: each for each in check_stage(workspace, stage, partition)}


def failing(workspace: Workspace, stage: Stage, partition: str) -> set[str]:
    return {name for name, each in checks(workspace, stage, partition).items() if not each.passed}


def recatalogue(workspace: Workspace, text: str) -> Workspace:
    (workspace.home / "catalog.yaml").write_text(text, encoding="utf-8")
    return Workspace.open(workspace.home)


def spoil(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"bad{number}.png").write_bytes(b"no image")
