from __future__ import annotations

import os
import shutil

import pytest

from semsim_pipeline.comparison import score_store
from semsim_pipeline.stages import embeddings
from semsim_pipeline.stages.bulk import bring_up_to_date, plan
from semsim_pipeline.stages.status import status_of
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.pictures import write_pictures


def states(workspace: Workspace) -> dict[str, str]:
    return {key: each.state for key, each in status_of(workspace).items()}


def run(workspace: Workspace) -> None:
    for _ in bring_up_to_date(workspace, plan(workspace)):
        pass


def test_missing_then_fresh_then_untouched_by_a_touch(workspace: Workspace) -> None:
    assert set(states(workspace).values()) == {"missing"}
    run(workspace)
    assert set(states(workspace).values()) == {"fresh"}
    for path in (workspace.home / "left").rglob("*.png"):
        os.utime(path)
    assert set(states(workspace).values()) == {"fresh"}


def test_one_image_more_makes_only_its_pairs_stale_and_says_why(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace)
    write_pictures(workspace.home / "right" / "blobs", 1, seed=99, kind="blobs", name="new.png")
    monkeypatch.setattr(embeddings, "embed_view", lambda *_: pytest.fail("status embeds nothing"))
    found = status_of(workspace)
    stale = {key for key, each in found.items() if each.state == "stale"}
    assert stale == {"left.blobs~right.blobs@classical", "left~right@classical"}
    why = found["left~right@classical"].why
    assert why.startswith("right: manifest ")
    assert "→" in why
    assert "1 new images to embed" in why
    assert {each.state for key, each in found.items() if key not in stale} == {"fresh"}


def test_other_metric_code_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run(workspace)
    monkeypatch.setattr(score_store, "SCORE_VERSION", 77)
    found = status_of(workspace)
    assert {each.state for each in found.values()} == {"stale"}
    assert {each.why for each in found.values()} == {"metric code: 1 → 77"} or all(
        each.why.endswith("→ 77") for each in found.values()
    )


def test_a_folder_that_vanished_is_failed_with_the_reason(workspace: Workspace) -> None:
    run(workspace)
    shutil.rmtree(workspace.home / "alone")
    found = status_of(workspace)
    assert {key for key, each in found.items() if each.state == "failed"} == {"left~alone@classical"}
    assert str(workspace.home / "alone") in found["left~alone@classical"].why


def test_status_moves_nothing(workspace: Workspace) -> None:
    run(workspace)
    write_pictures(workspace.home / "left" / "blobs", 1, seed=98, kind="blobs", name="new.png")
    kept = {path: path.read_bytes() for path in (workspace.home / "pipeline").rglob("*.json")}
    kept |= {path: path.read_bytes() for path in (workspace.home / "scores").rglob("*.json")}
    status_of(workspace)
    assert {path: path.read_bytes() for path in kept} == kept
