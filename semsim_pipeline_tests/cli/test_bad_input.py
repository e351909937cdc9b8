"""What a wrong call and unusable images get: one clear line, the right exit code, and no work before it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from semsim_pipeline_tests.cli.conftest import N, Semsim
from semsim_pipeline_tests.pictures import write_pictures


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{missing}", "{ok}"], "no file or folder {missing}"),
        (["{ok}", "{missing}"], "no file or folder {missing}"),
        (["digtis", "{ok}"], "Did you mean 'digits'?"),
        (["{ok}", "digits-genrated"], "Did you mean 'digits-generated'?"),
        (["{ok}", "{ok}", "--encoder", "classical", "--encoder", "clip-vit-b32"], "Did you mean 'clip-vit-b-32'?"),
        (["{ok}", "{ok}", "--encoder", "tim:x"], "Unknown encoder 'tim:x'"),
        (["{ok}", "{ok}", "--encoder", "timm:test_vit/{missing}"], "{missing}"),
        (["{ok}", "{ok}", "--metrics", "kid,precison"], "Did you mean 'precision'?"),
        (["{ok}", "{ok}", "--metrics", " , "], "name at least one metric"),
        (["{ok}", "{ok}[labl=stripes]"], "Did you mean 'label'?"),
        (["{ok}", "{ok}[label=stripe]"], "Did you mean 'stripes'?"),
        (["{ok}", "{ok}[label=stripes"], "bracket is not closed"),
        (["{ok}", "{ok}[limit=0]"], "limit must be one whole number"),
        (["{ok}", "{ok}", "--limit", "0"], "--limit"),
        (["{ok}", "{ok}", "--fail-under", "1.5"], "--fail-under"),
        (["{ok}", "{ok}", "--seed", "x"], "--seed"),
        (["{ok}", "{ok}", "--limt", "5"], "--limit"),
        (["{ok}"], "Missing argument 'CANDIDATE'"),
        (["{ok}", "{text}"], "is no dataset"),
        (["{ok}", "{image}"], "is a single image"),
        (["{ok}", "{ok}", "--report", "{text}"], "--report"),
    ],
)
def test_a_wrong_call_is_refused_before_any_work(
    semsim: Semsim, labelled: Path, tmp_path: Path, new_home: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "notes.txt").write_text("no images")
    places = {
        "ok": str(labelled),
        "missing": str(tmp_path / "missing"),
        "text": str(tmp_path / "notes.txt"),
        "image": str(labelled / "stripes" / "000.png"),
    }
    ran = semsim("compare", *(each.format(**places) for each in arguments), "--quiet")
    assert ran.code == 2
    assert said.format(**places) in ran.one_line()
    assert ran.out == ""
    assert not (new_home / "embeddings").exists()


@pytest.mark.parametrize("command", [["compare", "{ok}", "{bad}"], ["compare", "{bad}", "{ok}"], ["embed", "{bad}"]])
@pytest.mark.parametrize(
    "kind", ["empty", "no images", "all broken", "not a zip", "cut zip", "cut parquet", "no parquet"]
)
def test_unusable_data_is_one_line_and_nothing_is_embedded(
    semsim: Semsim, labelled: Path, tmp_path: Path, new_home: Path, kind: str, command: list[str]
) -> None:
    bad = _unusable(tmp_path / "bad", kind)
    ran = semsim(*(each.format(ok=labelled, bad=bad) for each in command), "--quiet")
    assert ran.code == 1
    assert str(bad) in ran.one_line()
    assert ran.out == ""
    assert not (new_home / "embeddings").exists()


def _unusable(place: Path, kind: str) -> Path:
    if kind == "empty":
        place.mkdir()
    elif kind == "no images":
        place.mkdir()
        (place / "read me.txt").write_text("nothing to see")
    elif kind == "all broken":
        place.mkdir()
        for number in range(3):
            (place / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    elif kind == "not a zip":
        place = place.with_suffix(".zip")
        place.write_bytes(b"this is no archive at all")
    elif kind == "cut zip":
        folder = write_pictures(place, 5, seed=1)
        place = place.with_suffix(".zip")
        with zipfile.ZipFile(place, "w") as archive:
            for path in folder.iterdir():
                archive.write(path, path.name)
        place.write_bytes(place.read_bytes()[:-40])
    else:
        place = place.with_suffix(".parquet")
        place.write_bytes((b"PAR1" if kind == "cut parquet" else b"") + b"garbage" * 20)
    return place


def test_one_image_a_side_is_answered_and_fails(semsim: Semsim, stripes: Path, tmp_path: Path) -> None:
    alone = write_pictures(tmp_path / "alone", 1, seed=50)
    ran = semsim("compare", stripes, alone, "--json", tmp_path / "one.json", "--quiet")
    assert ran.code == 1
    assert "no score for mini: needs at least 2" in ran.one_line()
    assert "Similarity: not computed" in ran.out
    found = json.loads((tmp_path / "one.json").read_text())
    assert (found["reference"]["n"], found["candidate"]["n"]) == (N, 1)
    assert found["similarity"]["status"] == "not_computed"
    assert found["similarity"]["verdict"] == "not computed"
    assert found["metrics"]["kid"]["value"] is None
    assert found["metrics"]["kid"]["reason"] == "needs at least 2 images a side; candidate has 1"
    ran = semsim("compare", alone, stripes, "--json", "-", "--quiet")
    assert ran.code == 1
    assert ran.json()["similarity"]["value"] is None  # type: ignore[index]


def test_one_image_on_each_side_makes_a_page_as_well(semsim: Semsim, tmp_path: Path) -> None:
    alone = write_pictures(tmp_path / "alone", 1, seed=50)
    ran = semsim("compare", alone, alone, "--report", tmp_path / "page", "--quiet")
    assert ran.code == 1
    assert "No score" in (tmp_path / "page" / "index.html").read_text()


def test_some_broken_images_are_counted_and_the_rest_is_scored(semsim: Semsim, stripes: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "some", 24, seed=51)
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    whole = (folder / "001.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])  # opens, and cannot be decoded
    ran = semsim("compare", stripes, folder, "--metrics", "kid", "--json", "-", "--quiet")
    assert ran.code == 0
    assert ran.json()["candidate"] == {"name": str(folder), "n": 24, "failed": 2}
    assert "2 unreadable" in semsim("compare", stripes, folder, "--metrics", "kid").out


@pytest.mark.parametrize("command", [["compare", "{a}", "{a}"], ["embed", "{a}"], ["encoders", "fetch"]])
def test_missing_weights_are_said_before_any_work(
    semsim: Semsim, stripes: Path, new_home: Path, command: list[str]
) -> None:
    which = ["clip-vit-b-32"] if command[0] == "encoders" else ["--encoder", "clip-vit-b-32", "--quiet"]
    if command[0] == "compare":
        which = ["--encoder", "classical", *which]  # the first one is there, and does no work either
    ran = semsim(*(each.format(a=stripes) for each in command), *which)
    assert ran.code == 1
    for word in ("safetensors", "HF_HUB_OFFLINE", "`semsim encoders fetch clip-vit-b-32`", "copy models--"):
        assert word in ran.one_line()
    assert not (new_home / "embeddings").exists()
    assert not (new_home / "datasets").exists()


def test_an_unknown_engine_is_said_before_any_work(semsim: Semsim, stripes: Path, new_home: Path) -> None:
    ran = semsim("embed", stripes, "--engine", "locl", "--quiet")
    assert ran.code == 2
    assert "Did you mean 'local'?" in ran.one_line()
    assert not new_home.exists()


@pytest.mark.parametrize("place", ["no/such/folder/out.json", ".", "file/out.json"])
def test_a_place_for_the_json_that_cannot_be_written_is_said_first(
    semsim: Semsim, stripes: Path, tmp_path: Path, new_home: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    ran = semsim("compare", stripes, stripes, "--json", tmp_path / place, "--quiet")
    assert ran.code == 1
    assert "--json" in ran.one_line()
    assert not new_home.exists()


def test_a_home_that_is_a_file(semsim: Semsim, stripes: Path, new_home: Path) -> None:
    new_home.write_text("in the way")
    for command in (["compare", stripes, stripes], ["embed", stripes]):
        ran = semsim(*command, "--quiet")
        assert ran.code == 1
        assert str(new_home) in ran.one_line()
        assert "SEMSIM_HOME" in ran.err
    assert new_home.read_text() == "in the way"


def test_a_home_that_is_only_for_reading(semsim: Semsim, stripes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSIM_HOME", "/proc/semsim")  # nobody makes folders there, not even root
    ran = semsim("compare", stripes, stripes, "--quiet")
    assert ran.code == 1
    assert "/proc/semsim" in ran.one_line()


def test_an_out_folder_that_is_a_file(semsim: Semsim, stripes: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    assert semsim("embed", stripes, "--out", tmp_path / "out", "-q").code == 2
    ran = semsim("embed", stripes, "--out", tmp_path / "out" / "below", "-q")
    assert ran.code == 1
    assert str(tmp_path / "out") in ran.one_line()
    assert (tmp_path / "out").read_text() == "mine"
