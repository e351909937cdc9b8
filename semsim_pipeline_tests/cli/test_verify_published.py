"""`semsim verify-published` and a catalogue with published values, run on random weights from a hub on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline_tests.cli.conftest import Semsim
from semsim_pipeline_tests.servers import served_hub

NAME = "timm:test_vit.r160_in1k"
CATALOG = """
datasets:
  digits: {spec: "digits[limit=80]", values: {label: ["0", "1", "3", "8"]}}
encoders:
  vit: timm:test_vit.r160_in1k
  plain: classical
comparisons:
  d:
    across: digits
    by: label
    encoders: [ENCODERS]
    published:
      source: nobody
      encoder: ALIAS
      metric: mean_cosine
      tolerance: 0.0001
      values: [["3", "8", THREE_EIGHT], ["1", "0", 0.123]]
"""


def _catalog(folder: Path, alias: str, value: float) -> Path:
    path = folder / "trial.yaml"
    text = CATALOG.replace("ENCODERS", alias).replace("ALIAS", alias).replace("THREE_EIGHT", f"{value}")
    path.write_text(text)
    return path


def _mean_cosine(rows: Path) -> float:
    import polars as pl

    manifest = pl.read_parquet(rows / "manifest.parquet").select("path", pl.col("^.*label$").alias("label"))
    frame = pl.read_parquet(rows / "part-*.parquet").join(manifest, on="path")
    sides = []
    for label in ("3", "8"):
        side = np.stack(frame.filter(pl.col("label") == label)["embedding"].to_list()).astype(np.float64)
        sides.append(side / np.linalg.norm(side, axis=1, keepdims=True))
    return float((sides[0] @ sides[1].T).mean())


def test_ours_beside_theirs_with_weights_from_the_hub(semsim: Semsim, tmp_path: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save

    torch.manual_seed(1)
    with pytest.MonkeyPatch.context() as patch, served_hub(patch) as hub:
        hub.publish("timm/test_vit.r160_in1k", "model.safetensors", save(timm.create_model("test_vit").state_dict()))
        assert semsim("embed", "digits[limit=80]", "--encoder", NAME, "--out", str(tmp_path / "rows")).code == 0
        value = _mean_cosine(tmp_path / "rows")
        wrong = semsim("verify-published", "--catalog", str(_catalog(tmp_path, "vit", value)), "--json")
    assert wrong.code == 1
    good, bad = wrong.json()["list"]  # type: ignore[misc]
    assert good["agrees"]
    assert not bad["agrees"]
    assert good["ours"] == pytest.approx(value, abs=1e-6)
    assert bad["difference"] == pytest.approx(bad["ours"] - 0.123)
    assert good["encoder"] == NAME
    one = semsim("verify-published", "--catalog", str(_catalog(tmp_path, "vit", value)), "--encoder", NAME)
    assert one.code == 1
    assert "NO" in one.out
    assert "Published: nobody." in one.out


def test_another_dataset_stands_in(semsim: Semsim, tmp_path: Path) -> None:
    file = str(_catalog(tmp_path, "plain", 0.5))
    found = semsim("verify-published", "--catalog", file, "--dataset", "digits", "--limit", "60", "--json").json()[
        "list"
    ]
    assert [each["n"] for each in (found[0]["reference"], found[0]["candidate"])] != [0, 0]  # type: ignore[index]
    assert "digits" in found[0]["reference"]["name"]  # type: ignore[index]
    refused = semsim("verify-published", "--catalog", file, "--dataset", "digits", "--by", "kind")
    assert refused.code == 2
    assert "Name it with --by" in refused.one_line()


def test_what_nobody_published_is_a_wrong_call(semsim: Semsim, tmp_path: Path) -> None:
    file = _catalog(tmp_path, "plain", 0.5)
    assert "Did you mean" in semsim("verify-published", "--catalog", str(file), "--encoder", "clasical").one_line()
    file.write_text(file.read_text().partition("    published:")[0])
    nothing = semsim("verify-published", "--catalog", str(file))
    assert nothing.code == 2
    assert "no published values" in nothing.one_line()


@pytest.mark.slow  # the whole graph, with pictures
def test_a_catalogue_elsewhere_is_run_in_a_home_of_its_own(semsim: Semsim, home: Path, tmp_path: Path) -> None:
    ran = semsim("rescore", "-q", "--catalog", str(_catalog(tmp_path, "plain", 0.5)))
    assert ran.code == 0, ran.err
    assert "mean_cosine 0.5, ours" in ran.out
    assert "beyond ± 0.0001" in ran.out  # said of every published pair, also where the table is cut
    page = (home / "experiments" / "trial" / "reports" / "d" / "index.html").read_text()
    assert "Beside published values" in page
    assert "mean_cosine 0.5, ours" in page
    assert not (home / "catalog.yaml").exists()
    assert semsim("rescore", "--catalog", "nope").code == 2
