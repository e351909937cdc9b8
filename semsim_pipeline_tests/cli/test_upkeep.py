"""`history`, `gc` and `verify` in the shell: what they print, their exit codes, and how they fail."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.stages.gc import OURS
from semsim_pipeline_tests.cli.conftest import Semsim
from semsim_pipeline_tests.pictures import write_pictures

KEY = "left~right@classical"


@pytest.fixture(scope="module")
def scored(home: Path) -> Path:
    """One pair, scored, one image added, scored again."""
    from semsim_pipeline.stages.bulk import bring_up_to_date, plan
    from semsim_pipeline.stages.workspace import Workspace

    for number, dataset in enumerate(("left", "right")):
        write_pictures(home / dataset, 12, seed=number)
    (home / "catalog.yaml").write_text(
        "datasets: {left: left, right: right}\nencoders: {classical: classical}\n"
        "comparisons: {whole: {pairs: [[left, right]]}}\n",
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "PLOTS", [PLOTS.get("scale")])
        for _ in range(2):
            for _found in bring_up_to_date(Workspace.open(home), plan(Workspace.open(home))):
                pass
            write_pictures(home / "right", 1, seed=50, name="new.png")
    return home


def test_history_as_a_table_as_json_and_as_a_picture(semsim: Semsim, scored: Path, tmp_path: Path) -> None:
    ran = semsim("history", KEY, "--plot", str(tmp_path / "past.png"))
    assert ran.code == 0
    assert "12 + 12" in ran.out
    assert "12 + 13" in ran.out
    assert "candidate: right (12 images, " in " ".join(ran.out.split())
    assert (tmp_path / "past.png").read_bytes().startswith(b"\x89PNG")
    found = semsim("history", KEY, "--json", "-").json()
    assert [entry["n"] for entry in found["history"]] == [[12, 12], [12, 13]]  # type: ignore[attr-defined]
    assert semsim("history", KEY, "--json", str(tmp_path / "past.json")).code == 0
    assert json.loads((tmp_path / "past.json").read_text(encoding="utf-8")) == found


def test_history_of_a_pair_that_there_is_not(semsim: Semsim, scored: Path) -> None:
    ran = semsim("history", "left~rigt@classical")
    assert ran.code == 2
    assert f"Did you mean '{KEY}'?" in ran.one_line()


def test_verify_then_damage_then_repair(semsim: Semsim, scored: Path) -> None:
    ran = semsim("verify", "-q")
    assert (ran.code, ran.out) == (0, f"{scored} is whole.\n")
    path = next(scored.glob("pictures/*/*/*.png"))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    ran = semsim("verify", "-q")
    assert ran.code == 1
    assert "A picture in" in ran.out
    assert "run `semsim rescore`" in ran.out
    assert "1 problems." in ran.out
    ran = semsim("verify", "-q", "--repair")
    assert ran.code == 0
    assert "1 of them repaired" in ran.out
    assert not path.exists()


def test_gc_tells_first_and_removes_when_told(semsim: Semsim, scored: Path) -> None:
    assert "Nothing to remove." in semsim("gc").out
    then = time.time() - 40 * 24 * 3600
    for name in OURS:
        for path in (scored / name).rglob("*"):
            os.utime(path, (then, then))
    manifests = sorted(scored.glob("manifests/*/*.parquet"))
    ran = semsim("gc")
    assert ran.code == 0
    assert "semsim gc --delete" in ran.out
    assert sorted(scored.glob("manifests/*/*.parquet")) == manifests
    assert "Nothing to remove." in semsim("gc", "--keep-days", "60").out
    ran = semsim("gc", "--delete", "--verbose")
    assert "manifests" in ran.out
    assert "Removed: " in ran.out
    assert len(list(scored.glob("manifests/*/*.parquet"))) == len(manifests) - 1
    assert "Nothing to remove." in semsim("gc").out
    assert len(semsim("history", KEY, "--json", "-").json()["history"]) == 2  # type: ignore[arg-type]
