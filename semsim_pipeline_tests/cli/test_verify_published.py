"""`semsim verify-published` and a catalogue with published values, run on random weights from a hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline_tests.cli.conftest import Semsim
from semsim_pipeline_tests.servers import Hub, served_hub

NAME = "timm:test_vit.r160_in1k"
REPO = "timm/test_vit.r160_in1k"
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


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on this machine that has random weights and, as timm publishes them, their description."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    import timm
    import torch
    from safetensors.torch import save

    torch.manual_seed(1)
    with served_hub(monkeypatch) as hub:
        hub.publish(REPO, "model.safetensors", save(timm.create_model("test_vit").state_dict()))
        hub.publish(REPO, "config.json", _described())
        yield hub


def _described(**changed: object) -> bytes:
    """timm's `config.json` of the repository. changed: of what it says about preparing images."""
    import timm

    published = timm.get_pretrained_cfg("test_vit.r160_in1k").to_dict()
    keys = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std", "num_classes", "pool_size")
    kept = {key: published[key] for key in keys} | {"first_conv": "patch_embed.proj", "classifier": "head"}
    return json.dumps(
        {
            "architecture": "test_vit",
            "num_classes": 1000,
            "num_features": 64,
            "pretrained_cfg": {"tag": "r160_in1k", "custom_load": False, "fixed_input_size": True, **kept, **changed},
        }
    ).encode()


def test_ours_beside_theirs_with_weights_from_the_hub(semsim: Semsim, hub: Hub, tmp_path: Path) -> None:
    assert semsim("embed", "digits[limit=80]", "--encoder", NAME, "--out", str(tmp_path / "rows")).code == 0
    value = _mean_cosine(tmp_path / "rows")
    wrong = semsim("verify-published", "--catalog", str(_catalog(tmp_path, "vit", value)), "--json")
    assert wrong.code == 1
    good, bad = wrong.json()["pairs"]  # type: ignore[misc]
    assert good["agrees"]
    assert not bad["agrees"]
    assert good["ours"] == pytest.approx(value, abs=1e-6)
    assert bad["difference"] == pytest.approx(bad["ours"] - 0.123)
    assert good["encoder"] == NAME
    one = semsim("verify-published", "--catalog", str(_catalog(tmp_path, "vit", value)), "--encoder", NAME)
    assert one.code == 1
    assert "NO" in one.out
    assert "Published: nobody." in one.out


def test_a_test_image_gives_what_the_publishers_own_code_gives(semsim: Semsim, hub: Hub, tmp_path: Path) -> None:
    file = _catalog(tmp_path, "vit", 0.5)
    file.write_text(file.read_text().replace("tolerance: 0.0001", "tolerance: 2"))
    found = semsim("verify-published", "--catalog", str(file), "--json")
    assert found.code == 0, found.err
    images = found.json()["images"]
    assert [(each["encoder"], each["image"], each["agrees"]) for each in images] == [  # type: ignore[attr-defined]
        (NAME, image, True) for image in ("astronaut", "chelsea", "coffee")
    ]
    assert all(0.99999 < each["cosine"] <= 1 + 1e-12 for each in images)  # type: ignore[attr-defined]

    # What the repository says of its own weights is what counts, not what timm has of that name.
    hub.publish(REPO, "config.json", _described(mean=(0.2, 0.5, 0.8), std=(0.1, 0.3, 0.6)))
    assert semsim("encoders", "fetch", NAME, "--update").code == 0
    departs = semsim("verify-published", "--catalog", str(file))
    assert departs.code == 1
    assert departs.out.count("NO") == 3
    assert "cosine with ours" in departs.out


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (None, "The publisher's description of 'timm:test_vit.r160_in1k' is missing"),
        (b'{"architecture": "no_such_network"}', "timm cannot build 'timm:test_vit.r160_in1k'"),
        (b"<html>", "timm cannot build 'timm:test_vit.r160_in1k'"),
    ],
)
def test_a_description_that_is_none(
    semsim: Semsim, hub: Hub, tmp_path: Path, description: bytes | None, said: str
) -> None:
    hub.commit(REPO, {"config.json": description})
    file = _catalog(tmp_path, "vit", 0.5)
    refused = semsim("verify-published", "--catalog", str(file), "-q")
    assert refused.code == 1
    assert said in refused.one_line()
    assert "mean_cosine" in refused.out  # the pairs were checked, and are shown


def test_another_dataset_stands_in(semsim: Semsim, tmp_path: Path) -> None:
    file = str(_catalog(tmp_path, "plain", 0.5))
    found = semsim("verify-published", "--catalog", file, "--dataset", "digits", "--limit", "60", "--json").json()
    assert found["images"] == []  # nobody publishes how `classical` is computed
    pair = found["pairs"][0]  # type: ignore[index]
    assert [pair["reference"]["n"], pair["candidate"]["n"]] != [0, 0]
    assert "digits" in pair["reference"]["name"]
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
