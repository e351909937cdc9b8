"""`semsim catalog`: what it prints, its exit codes, and the whole way from an empty home to a score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from semsim_pipeline.catalog import load_catalog
from semsim_pipeline.cli import reload
from semsim_pipeline_tests.cli.conftest import Semsim
from semsim_pipeline_tests.pictures import write_pictures


@pytest.fixture
def home(new_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    return new_home


def test_from_nothing_to_a_checked_catalogue(semsim: Semsim, home: Path, labelled: Path, blobs: Path) -> None:
    first = semsim("catalog", "add", "dataset", "two", labelled, "--values", "label")
    assert first.code == 0
    assert "the packaged catalogue, in use until now, is not any longer" in first.err
    assert first.out.splitlines()[0] == f"Added dataset two: {labelled}, label: blobs, stripes."
    again = semsim("catalog", "add", "dataset", "one", blobs)
    assert (again.code, again.err) == (0, "")
    pair = semsim("catalog", "add", "pair", "two[label=blobs]", "one")
    assert "Added encoder mini: mini." in pair.out
    assert pair.out.splitlines()[-1] == f"{home / 'catalog.yaml'}: 1 pair (1 more)."
    classes = semsim(
        "catalog", "add", "comparison", "classes", "--by", "label", "--across", "two", "-e", "mini",
        "--schedule", "30 3 * * 1-5", "--min-similarity", 0.25, "--max-failed", "0", "--limit", 20,
    )  # fmt: skip
    assert classes.out.splitlines()[-1].endswith(": 2 pairs (1 more).")
    comparison = load_catalog(home).comparisons["classes"]
    assert (comparison.schedule, comparison.limit) == ("30 3 * * 1-5", 20)
    assert (comparison.thresholds.similarity, comparison.thresholds.failed_images) == (0.25, 0.0)
    checked = semsim("catalog", "check")
    assert (checked.code, checked.err) == (0, "")
    assert "2 datasets, 1 encoders: no problem" in checked.out


def test_list_in_words_and_as_json(semsim: Semsim, home: Path) -> None:
    packaged = semsim("catalog", "list")
    assert "the packaged catalogue" in packaged.out
    assert "digit-classes" in packaged.out
    semsim("catalog", "add", "dataset", "d", "digits[label=3|4]")
    semsim("catalog", "add", "comparison", "x", "--across", "d", "--by", "label", "--title", "Three [and] four")
    shown = semsim("catalog", "list")
    assert shown.code == 0
    assert "Three [and] four" in shown.out
    found = semsim("catalog", "list", "--json").json()
    assert found["path"] == str(home / "catalog.yaml")
    assert found["datasets"] == {"d": {"spec": "digits[label=3|4]", "values": {"label": ["3", "4"]}}}
    assert found["encoders"] == {"mini": "mini"}
    comparisons = found["comparisons"]
    assert isinstance(comparisons, dict)
    assert comparisons["x"]["pairs"] == ["d.3~d.4@mini"]
    assert comparisons["x"]["thresholds"] == {"similarity": None, "failed_images": 0.05}


def test_remove_says_what_is_in_the_way_and_what_went(semsim: Semsim, home: Path) -> None:
    semsim("catalog", "add", "dataset", "d", "digits")
    semsim("catalog", "add", "pair", "d", "d[label=3]")
    refused = semsim("catalog", "remove", "dataset", "d")
    assert refused.code == 2
    assert "in use by 1 comparison: pairs." in refused.one_line()
    gone = semsim("catalog", "remove", "pair", "d~d.3@mini")
    assert gone.out.splitlines() == [
        "Removed comparison pairs, which has no other pair.", f"{home / 'catalog.yaml'}: 0 pairs (1 gone).",
    ]  # fmt: skip
    assert semsim("catalog", "remove", "dataset", "d").code == 0
    assert semsim("catalog", "remove", "encoder", "mini").code == 0
    three = semsim("catalog", "remove", "pair", "a", "b", "c")
    assert three.code == 2
    assert "found 3 arguments" in three.one_line()
    assert semsim("catalog", "list").code == 0


def test_check_names_every_problem_in_a_line(semsim: Semsim, home: Path, tmp_path: Path, labelled: Path) -> None:
    home.mkdir()
    write_pictures(tmp_path / "photos" / "cat", 2, seed=1)
    write_pictures(tmp_path / "photos" / "dog", 2, seed=2)
    write_pictures(tmp_path / "photos", 1, seed=3, name="loose.png")
    (home / "catalog.yaml").write_text(
        "datasets:\n"
        f"  more: {{spec: {tmp_path}/photos, values: {{label: [cat, bird, fish]}}}}\n"
        f"  views: {tmp_path}/photos\n  gone: gone\n  meant: {{spec: digits, values: {{label: ['3', '4']}}}}\n"
        "encoders: {e: classical, clip: clip-vit-b-32, file: 'open_clip:ViT-B-32//no/where.bin'}\n"
        "comparisons:\n  x: {pairs: [['views[label=cat]', 'views[label=caat|dog]']], encoders: [e]}\n"
    )
    found = semsim("catalog", "check")
    assert found.code == 1
    lines = found.out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "dataset more", "dataset more", "dataset views", "dataset gone", "encoder clip", "encoder file",
    ]  # fmt: skip
    assert lines[0] == "dataset more: no image has label 'bird', 'fish'; they have label '', 'cat', 'dog'"
    assert lines[1] == "dataset more: its images also have label 'dog', which `values` leaves out"
    assert lines[2] == "dataset views: no image has label 'caat'; they have label '', 'cat', 'dog'"
    assert "gone" in lines[3]
    assert "semsim encoders fetch clip-vit-b-32" in lines[4]
    assert "/no/where.bin" in lines[5]


class Recorded:
    """Reloads asked for; the next one's problem, None where it succeeds."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.problem: str | None = None

    def __call__(self, url: str) -> str | None:
        self.urls.append(url)
        return self.problem


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    found = Recorded()
    monkeypatch.setattr(reload, "reload", found)
    return found


def test_the_watch_asks_once_for_a_right_change_and_says_a_wrong_one_once(
    home: Path, asked: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    path = home / "catalog.yaml"
    watch = reload.CatalogWatch(path, "http://x")

    def looks() -> list[bool]:
        return [watch.look() for _ in range(4)]

    assert looks() == [False] * 4
    path.write_text("datasets: {a: digits}\n")
    assert looks() == [False, True, False, False]  # at the second look, when it has settled
    assert "loaded again with 0 pairs" in capsys.readouterr().err
    path.write_text("datasets: [\n")
    assert looks() == [False] * 4
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"semsim: {path}:2: this is not YAML")
    assert said[0].endswith("The graph stays as it was.")
    path.write_text("datasets: {a: digits}\n")  # as it was
    assert looks() == [False] * 4
    other = home / "new"
    other.write_text("datasets: {b: digits}\n")
    other.replace(path)
    assert looks() == [False, True, False, False]
    path.unlink()  # the packaged one counts again
    assert looks() == [False, True, False, False]
    assert "loaded again with 56 pairs" in capsys.readouterr().err
    assert asked.urls == ["http://x"] * 3


def test_the_watch_tries_again_what_dagster_refused(
    home: Path, asked: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    watch = reload.CatalogWatch(home / "catalog.yaml", "http://x")
    (home / "catalog.yaml").write_text("datasets: {a: digits}\n")
    asked.problem = "busy"
    assert [watch.look() for _ in range(4)] == [False] * 4
    assert capsys.readouterr().err.splitlines() == ["semsim: the catalogue changed, but Dagster did not load it: busy"]
    asked.problem = None
    assert watch.look()
    assert len(asked.urls) == 4


def test_a_server_that_is_not_there_is_a_line() -> None:
    said = reload.reload("http://127.0.0.1:9")
    assert said is not None
    assert "\n" not in said


def test_the_json_of_the_packaged_catalogue(semsim: Semsim, home: Path) -> None:
    found = json.loads(semsim("catalog", "list", "--json").out)
    assert found["path"] is None
    assert len(found["comparisons"]["digit-classes"]["pairs"]) == 45
