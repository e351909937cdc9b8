"""`semsim compare --report`: the page with the pictures of the very images that were compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from semsim_pipeline.cli.app import run
from semsim_pipeline_tests.pictures import write_pictures
from semsim_pipeline_tests.report.test_page import Page


def test_the_report_brings_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    first = write_pictures(tmp_path / "first", 25, seed=1)
    second = write_pictures(tmp_path / "second", 25, seed=2, kind="blobs")
    shutil.copy(first / "004.png", second / "copied.png")
    call = ["compare", str(first), str(second), "--metrics", "mean_cosine", "--quiet"]
    code = run([*call, "--report", str(tmp_path / "out")])
    assert code == 0
    text = (tmp_path / "out" / "index.html").read_text()
    page = Page(text)
    assert len(page.loads) == 2
    assert all(each.startswith("data:image/png;base64,") for each in page.loads)
    assert "1 candidate image is in the reference too" in text
    assert "all 25 reference and all 26 candidate images" in text
    assert "semsim compare" in text
    numbers = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert numbers["overlap"] == 1
    capsys.readouterr()
    assert run([*call, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == numbers
