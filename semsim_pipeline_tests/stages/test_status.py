from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest

from semsim_pipeline.comparison import score_store
from semsim_pipeline.comparison.backgrounds import known_background
from semsim_pipeline.encoders.background_store import read_calibration, save_background
from semsim_pipeline.errors import MissingWeightsError
from semsim_pipeline.stages import embeddings
from semsim_pipeline.stages.bulk import bring_up_to_date, plan
from semsim_pipeline.stages.outcome import Outcome
from semsim_pipeline.stages.status import PairStatus, status_of
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


def test_every_other_cause_is_named_with_what_it_was_and_is(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace)
    key = "left~right@classical"

    fingerprint = workspace.encoder("classical").fingerprint()
    before = known_background(fingerprint, workspace.home)
    path = files("semsim_pipeline.encoders").joinpath("backgrounds", "classical.json")
    calibration = replace(read_calibration(Path(str(path))), encoder_fingerprint=fingerprint, bandwidth=0.5)
    after = save_background(workspace.home, calibration)
    assert before is not None
    assert status_of(workspace)[key] == PairStatus(state="stale", why=f"background: {before.id} → {after.id}")
    shutil.rmtree(workspace.home / "backgrounds")

    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "permutations", lambda *_: 12_345)
        assert re.fullmatch(r"permutations: \d+ → 12345", status_of(workspace)[key].why)

    with monkeypatch.context() as patch:
        patch.setattr(type(workspace.encoder("classical")), "fingerprint", lambda _self: "0" * 64)
        assert re.fullmatch(r"encoder classical: [0-9a-f]{12} → [0-9a-f]{12}", status_of(workspace)[key].why)

    text = (workspace.home / "catalog.yaml").read_text(encoding="utf-8")
    text = text.replace("right: {spec: right,", "right: {spec: alone,")
    (workspace.home / "catalog.yaml").write_text(text, encoding="utf-8")
    found = status_of(Workspace.open(workspace.home))[key]
    assert (found.state, found.why.split(":")[0]) == ("stale", "right")
    assert "the catalogue names another source" in found.why


def test_what_failed_when_it_was_tried_says_why_until_it_succeeds(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace)
    write_pictures(workspace.home / "alone", 1, seed=99, name="new.png")
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "ensure_weights", refused)
        with pytest.raises(MissingWeightsError):
            embeddings.embed_dataset(workspace, "alone@classical")
    found = status_of(workspace)["left~alone@classical"]
    assert found.state == "failed"
    assert found.why.startswith("alone: manifest ")
    assert "embeddings of alone@classical failed" in found.why
    assert found.why.endswith("the weights have gone")
    run(workspace)
    assert status_of(workspace)["left~alone@classical"].state == "fresh"
    assert not list((workspace.home / "pipeline" / "failures").rglob("*.json"))


def refused(*_: object) -> None:
    raise MissingWeightsError("the weights have gone")


def test_a_score_from_before_is_marked_in_the_table_and_on_the_page(workspace: Workspace) -> None:
    run(workspace)
    shutil.rmtree(workspace.home / "alone")
    run(workspace)
    [matrix] = [
        found
        for found in bring_up_to_date(workspace, plan(workspace, ["whole"]))
        if isinstance(found, Outcome) and found.stage == "similarity_matrix"
    ]
    table = pl.read_parquet(matrix.path)
    marked = table.filter(pl.col("from_before").is_not_null())
    assert set(marked["pair"]) == {"left~alone@classical"}
    assert set(table["pair"]) == {"left~right@classical", "left~left@classical", "left~alone@classical"}
    assert "alone" in matrix.texts["cannot_be_scored"]
    assert matrix.numbers["failing"] == 1
    page = (workspace.home / "reports" / "whole" / "index.html").read_text(encoding="utf-8")
    assert "1 score is from before, because this pair cannot be scored as things are" in page
