"""What files give away, from rows and from real images; and that it is said before the score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import semsim_pipeline as semsim
from semsim_pipeline.cli import main
from semsim_pipeline.comparison.confounds import confounds
from semsim_pipeline.report.page import render
from semsim_pipeline_tests.pictures import write_pictures

N = 60


def rows(
    n: int = N, *, seed: int = 0, side: int = 64, spread: int = 0, bytes_a_pixel: float = 0.5, kind: str = "JPEG"
) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    width = side + rng.integers(-spread, spread + 1, n)
    size = (width * side * bytes_a_pixel * rng.uniform(0.8, 1.2, n)).astype(int)
    return pl.DataFrame({"size": size, "width": width, "height": [side] * n, "format": [kind] * n})


def test_equal_sides_have_none() -> None:
    assert confounds(rows(seed=1, spread=8), rows(seed=2, spread=8)) == ()


def test_width_is_measured_as_scikit_learn_does() -> None:
    one, other = rows(200, seed=1, spread=10), rows(150, seed=2, spread=10).with_columns(pl.col("width") + 8)
    found = {each.feature: each for each in confounds(one, other)}
    truth = [0] * 200 + [1] * 150
    for name, value in (("width", pl.col("width")), ("aspect ratio", pl.col("width") / pl.col("height"))):
        numbers = pl.concat([one, other]).select(value.cast(pl.Float64)).to_series().to_list()
        assert found[name].auc == pytest.approx(roc_auc_score(truth, numbers), abs=1e-12)
    assert float(found["width"].reference) < float(found["width"].candidate)
    assert set(found) == {"width", "aspect ratio"}
    assert {each.feature: each.auc for each in confounds(other, one)} == pytest.approx(
        {name: each.auc for name, each in found.items()}
    )


def test_compression_only_where_content_cannot_explain_it() -> None:
    assert [each.feature for each in confounds(rows(), rows(bytes_a_pixel=2.0))] == ["bytes per pixel"]
    assert confounds(rows(), rows(bytes_a_pixel=0.6)) == ()  # AUC about 0.9: detail costs bytes as well


def test_formats_by_share() -> None:
    [found] = confounds(rows(), rows(kind="PNG"))
    assert (found.feature, found.auc, found.reference, found.candidate) == ("format", 1.0, "JPEG 100%", "PNG 100%")
    mixed = pl.concat([rows(36, seed=3), rows(24, seed=4, kind="PNG")])
    assert confounds(rows(), mixed) == ()  # AUC 0.7
    mixed = pl.concat([rows(24, seed=3), rows(36, seed=4, kind="PNG")])
    [found] = confounds(rows(), mixed)
    assert found.auc == pytest.approx(0.8)


def test_a_handful_of_images_shows_nothing() -> None:
    assert confounds(rows(6), rows(6, side=512)) == ()
    assert len(confounds(rows(20), rows(20, side=512))) >= 1


def test_facts_that_are_not_known_are_left_out() -> None:
    unknown = rows().with_columns(pl.lit(None, pl.Int64).alias("width"), pl.lit(None, pl.String).alias("format"))
    assert [each.feature for each in confounds(unknown, rows(side=512))] == ["height"]


@pytest.fixture
def small_and_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The same kind of picture; one side enlarged and saved as a bad JPEG."""
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    small = write_pictures(tmp_path / "small", 30, seed=1)
    large = write_pictures(tmp_path / "large", 30, seed=2)
    for path in large.iterdir():
        Image.open(path).resize((64, 64)).save(path.with_suffix(".jpg"), quality=20)
        path.unlink()
    return small, large


def test_it_is_said_before_the_score(small_and_large: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    small, large = map(str, small_and_large)
    found = semsim.compare(small, large)
    [caution] = [each for each in found.cautions if each.kind == "confound"]
    assert {each.feature for each in found.confounds} >= {"width", "height", "format", "bytes per pixel"}
    with pytest.raises(SystemExit):
        main(["compare", small, large, "-q"])
    text = " ".join(capsys.readouterr().out.split())
    assert 0 < text.index("Before the score: The sides can be told apart") < text.index("Similarity ")
    [warning] = [each for each in json.loads(json.dumps(found.to_json()))["warnings"] if each["kind"] == "confound"]
    assert warning["message"] == f"{caution.message}."
    assert warning["facts"]["auc width"] == 1.0
    page = render([found])
    assert page.index("Before the score") < page.index('class="headline"')
    assert semsim.compare(small, large).cautions == found.cautions  # read back, not computed again


def test_copies_across_the_sets_are_said_and_a_set_against_itself_is_not(small_and_large: tuple[Path, Path]) -> None:
    small, large = small_and_large
    for number, path in enumerate(sorted(small.iterdir())[:3]):
        (large / f"copy{number}.png").write_bytes(path.read_bytes())
    found = semsim.compare(str(small), str(large))
    [caution] = [each for each in found.cautions if each.kind == "duplicates"]
    assert caution.message.startswith("3 candidate images are in the reference too")
    assert caution.facts == {"exact duplicates": 3.0}
    assert not [each for each in semsim.compare(str(small), str(small)).cautions if each.kind == "duplicates"]
