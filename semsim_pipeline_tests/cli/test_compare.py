from __future__ import annotations

import json
import os
import re
from pathlib import Path

from semsim_pipeline_tests.cli.conftest import N, Semsim, process
from semsim_pipeline_tests.pictures import write_pictures


def test_two_folders_give_a_table_on_stdout_and_talk_on_stderr(semsim: Semsim, stripes: Path, blobs: Path) -> None:
    ran = semsim("compare", stripes, blobs)
    assert ran.code == 0
    assert f"{N} and {N} images · encoder mini" in ran.out
    assert re.search(r"Similarity 0\.\d{3} ", ran.out)
    assert "frechet_distance" in ran.out
    assert "Scoring: 1 of 1 pairs" in ran.err
    assert "Scoring" not in ran.out


def test_json_to_stdout_is_nothing_but_json(semsim: Semsim, stripes: Path, blobs: Path) -> None:
    ran = semsim("compare", stripes, blobs, "--json", "-", "--quiet")
    found = ran.json()
    assert ran.code == 0
    assert ran.err == ""
    assert found["encoder"] == "mini"
    assert found["similarity"]["status"] == "ok"  # type: ignore[index]


def test_different_kinds_score_below_the_same_kind(
    semsim: Semsim, stripes: Path, other_stripes: Path, blobs: Path
) -> None:
    same = semsim("compare", stripes, other_stripes, "--json", "-").json()["similarity"]
    far = semsim("compare", stripes, blobs, "--json", "-").json()["similarity"]
    assert same["value"] > 0.9 > 0.7 > far["value"]  # type: ignore[index]
    assert far["p_value"] < 0.05  # type: ignore[index]


def test_json_to_a_file_beside_the_table(semsim: Semsim, stripes: Path, blobs: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")
    ran = semsim("compare", stripes, blobs, "--json", target, "--metrics", "kid")
    assert ran.code == 0
    assert "Similarity" in ran.out
    assert json.loads(target.read_text())["schema"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_metrics_choose_the_rows_and_keep_the_headline(semsim: Semsim, stripes: Path, blobs: Path) -> None:
    found = semsim("compare", stripes, blobs, "--metrics", "kid, precision", "--json", "-").json()
    assert set(found["metrics"]) == {"kid", "precision"}  # type: ignore[call-overload]
    assert found["similarity"]["value"] is not None  # type: ignore[index]
    found = semsim("compare", stripes, blobs, "--metrics", "similarity", "--json", "-").json()
    assert found["metrics"] == {}


def test_a_limit_is_a_seeded_sample(semsim: Semsim, stripes: Path, blobs: Path) -> None:
    def sample(*options: object) -> object:
        return semsim(
            "compare", stripes, blobs, "--limit", 24, "--metrics", "mean_cosine", "--json", "-", *options
        ).json()

    first, again, other = sample(), sample(), sample("--seed", 1)
    assert first == again
    assert first["reference"]["n"] == 24  # type: ignore[index]
    assert first["metrics"] != other["metrics"]  # type: ignore[index]


def test_a_limit_does_not_raise_the_views_own(semsim: Semsim, stripes: Path, blobs: Path) -> None:
    found = semsim(
        "compare", f"{stripes}[limit=22,seed=7]", blobs, "--limit", 30, "--metrics", "kid", "--json", "-"
    ).json()
    assert found["reference"] == {"name": f"{stripes}[limit=22,seed=7]", "n": 22, "failed": 0}
    assert found["candidate"]["n"] == 30  # type: ignore[index]


def test_views_of_one_folder(semsim: Semsim, labelled: Path) -> None:
    found = semsim(
        "compare", f"{labelled}[label=stripes]", f"{labelled}[label=blobs]", "--metrics", "kid", "--json", "-"
    ).json()
    assert (found["reference"]["n"], found["candidate"]["n"]) == (30, 30)  # type: ignore[index]
    assert found["similarity"]["p_value"] <= 0.05  # type: ignore[index]


def test_encoders_side_by_side_are_a_list(
    semsim: Semsim, stripes: Path, blobs: Path, tiny_encoder: str, panel: Path, tmp_path: Path
) -> None:
    assert semsim("encoders", "calibrate", tiny_encoder, "--panel", panel).code == 0
    asked = ("--encoder", "classical", "--encoder", tiny_encoder, "--metrics", "kid")
    target = tmp_path / "two.json"
    ran = semsim("compare", stripes, blobs, *asked, "--json", target)
    assert ran.code == 0
    assert "By encoder" in ran.out
    assert [each["encoder"] for each in json.loads(target.read_text())] == ["classical", tiny_encoder]
    for each, other in zip(json.loads(target.read_text()), (tiny_encoder, "classical"), strict=True):
        [found] = each["agreement"]
        assert found["encoder"] == other
        assert found["reference"]["images"] == N
        assert 0 <= found["candidate"]["mutual_knn"] <= 1
    assert ran.out.count("linear CKA") == 1
    again = semsim("compare", stripes, blobs, *asked, "--json", "-")
    assert json.loads(again.out) == json.loads(target.read_text())
    assert "Embedding" not in again.err


def test_the_report_is_one_page_that_needs_nothing_else(
    semsim: Semsim, stripes: Path, blobs: Path, tmp_path: Path
) -> None:
    ran = semsim("compare", stripes, blobs, "--report", tmp_path / "new" / "report", "--quiet")
    page = (tmp_path / "new" / "report" / "index.html").read_text()
    assert ran.code == 0
    assert f"Report: {tmp_path}/new/report/index.html" in ran.err
    assert not re.search(r'<(script|link|iframe)|url\(|@import|src="(?!data:image/png;base64,)', page)
    assert "semsim compare" in page  # the command that repeats it
    assert json.loads((tmp_path / "new" / "report" / "comparison.json").read_text())["schema"] == 1


def test_fail_under(semsim: Semsim, stripes: Path, blobs: Path) -> None:
    pair = ("compare", stripes, blobs, "--metrics", "kid", "--quiet")
    assert semsim(*pair, "--fail-under", 0.01).code == 0
    failed = semsim(*pair, "--fail-under", 0.99)
    assert failed.code == 1
    assert "Similarity" in failed.out
    assert re.fullmatch(r"semsim: mini: 0\.\d{4}, below --fail-under 0\.99", failed.one_line())


def test_fail_under_fails_where_there_is_no_value(semsim: Semsim, stripes: Path, blobs: Path) -> None:
    pair = ("compare", stripes, blobs, "--limit", 5, "--metrics", "kid", "--quiet")
    assert semsim(*pair).code == 0  # unreliable is an answer
    ran = semsim(*pair, "--fail-under", 0.01)
    assert ran.code == 1
    assert "no value, below --fail-under" in ran.err
    assert "needs at least 20 independent images a side" in ran.err


def test_names_are_printed_as_they_are(semsim: Semsim, tmp_path: Path) -> None:
    name = "[bold]猫 :cat: <b>&amp; %s{}"
    long = write_pictures(tmp_path / ("x" * 180), 22, seed=8)
    odd = write_pictures(tmp_path / name, 22, seed=9)
    ran = semsim("compare", odd, long, "--metrics", "kid", "--report", tmp_path / "report", "--quiet")
    assert ran.code == 0
    shown = "".join(ran.out.split())
    assert "".join(name.split()) in shown
    assert "x" * 180 in shown
    page = (tmp_path / "report" / "index.html").read_text()
    assert "[bold]猫 :cat: &lt;b&gt;&amp;amp;" in page
    assert "<b>" not in page


def test_a_name_that_is_no_utf8_does_not_stop_the_work(home: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "plain", 22, seed=10)
    os.rename(folder / "000.png", os.fsencode(folder) + b"/caf\xe9.png")  # noqa: PTH104
    ran = process("compare", folder, folder, "--metrics", "kid", "--json", "-", "--quiet")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["overlap"] == 22


def test_module_and_script_are_the_same_program(home: Path) -> None:
    ran = process("--version")
    assert ran.returncode == 0
    assert ran.stdout.startswith("semsim, version ")
