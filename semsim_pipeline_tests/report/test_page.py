from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.score import score_arrays
from semsim_pipeline.errors import WorkError
from semsim_pipeline.metrics.verdict import BANDS
from semsim_pipeline.records import Background
from semsim_pipeline.report.files import write_whole
from semsim_pipeline.report.page import render, write_report
from semsim_pipeline.report.scale import WIDTH, place, scale_of

BACKGROUND = Background(id="abc", bandwidth=0.4, source="<panel>", kappa=0.05, mean=np.full(6, 0.1))
EVIL = "</title><script>alert(1)</script>"


def result(n: int = 60, *, background: Background | None = BACKGROUND, name: str = "a") -> Comparison:
    random = np.random.default_rng(0)
    rows = [1 + random.normal(size=(n, 6)) for _ in range(2)]
    return score_arrays(*rows, background=background, names=(name, "b"))


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects what a browser would load."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for key, value in attrs if key in {"src", "srcset", "data", "poster"}]
        self.loads += [str(value) for key, value in attrs if key == "href" and tag != "a"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("case", ["ok", "uncalibrated", "unreliable", "not computed", "several"])
def test_the_page_is_whole_and_loads_nothing(case: str) -> None:
    results = {
        "ok": [result()],
        "uncalibrated": [result(background=None)],
        "unreliable": [result(n=8)],
        "not computed": [result(n=1)],
        "several": [result(), result(n=1)],
    }[case]
    text = render(results, command="semsim compare a b")
    page = Page(text)
    assert page.loads == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.count("section") == len(results)
    assert ("No score" in text) == any(each.similarity is None for each in results)
    for name in results[0].metrics:
        assert f"<code>{name}</code>" in text


def test_everything_from_outside_is_escaped() -> None:
    text = render([result(name=EVIL)], command=f"semsim compare '{EVIL}' b")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 3  # title, heading, command
    assert "&lt;panel&gt;" in text
    Page(text)


def test_the_page_and_the_json_say_the_same(tmp_path: Path) -> None:
    found = result()
    page = write_report([found], tmp_path / "deep" / "report")
    assert json.loads((page.parent / "comparison.json").read_text()) == found.to_json()
    assert found.value is not None
    assert f"{found.value:.3f}" in page.read_text()
    assert found.verdict.text in page.read_text()


def test_the_scale_holds_everything_between_its_ends() -> None:
    found = scale_of(result())
    assert found is not None
    for x in (found.score.x, found.low, found.high, *(mark.x for mark in found.ceilings)):
        assert place(0) <= x <= place(1) < WIDTH
    assert (place(-5), place(7)) == (place(0), place(1))
    assert [band.name for band in found.bands] == [name for _, name in BANDS]
    assert sum(band.width for band in found.bands) == pytest.approx(place(1) - place(0), abs=0.5)
    assert scale_of(result(n=1)) is None


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WorkError, match="Cannot make the folder"):
        write_report([result(n=1)], tmp_path / "file" / "report")


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.json"
    link = tmp_path / "link.json"
    link.symlink_to(target)
    write_whole(link, "one")
    assert link.is_symlink()
    assert target.read_text() == "one"

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError, match="No space left"):
        write_whole(target, "two")
    assert target.read_text() == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "link.json"]
