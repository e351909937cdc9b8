from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from semsim_pipeline.encoders.mini import RECIPE as SHIPPED
from semsim_pipeline.encoders.mini import WEIGHTS, build_folded
from semsim_pipeline.encoders.mini_network import DIM, build_mini
from semsim_pipeline.fingerprint import digest_of_file
from semsim_pipeline.training import mini
from semsim_pipeline.training.export import folded_state, write_weights
from semsim_pipeline.training.recipe import Recipe

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def trained_alike() -> torch.nn.Module:
    """The network with every weight and statistic away from its first value, shifts of both signs."""
    torch.manual_seed(0)
    network = build_mini(folded=False)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.2, 3)
            if layer.affine:
                torch.nn.init.normal_(layer.bias)
    return network.eval()


def test_the_file_gives_what_the_trained_network_gives(tmp_path: Path) -> None:
    network = trained_alike()
    path = tmp_path / "mini.safetensors"
    about = {"arch": "mini-1", "recipes": "r", "images": "i"}
    write_weights(path, folded_state(network), about)
    before = path.read_bytes()
    for _ in range(5):
        write_weights(path, folded_state(network), about)
        assert path.read_bytes() == before  # an encoder's identity is its file
    images = torch.randn(16, 3, 32, 32)
    with torch.inference_mode():
        expected, found = network(images), build_folded(SHIPPED, path)(images)
        exact = build_mini(folded=True)
        exact.load_state_dict(folded_state(network))
        torch.testing.assert_close(exact(images), expected, rtol=1e-4, atol=1e-4)  # sums in another order
    assert found.shape == (16, DIM)
    cosine = torch.nn.functional.cosine_similarity(found, expected)
    assert float(cosine.min()) > 1 - 1e-5  # the weights are kept with 11 bits


def test_the_normalisations_have_no_factor_that_could_turn_a_maximum_over() -> None:
    network = build_mini(folded=False)
    factors = [layer.weight for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(factors) == 7
    assert not any(factor.requires_grad for factor in factors)


def test_one_command_trains_and_writes_a_report(archive: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(mini, "HELD_OUT", 2)
    tiny = (Recipe(epochs=1, small_epochs=1, batch=16), Recipe(epochs=1, small_epochs=0, batch=16, seed=1))
    real, plain = mini.real_images, mini.train_mini
    monkeypatch.setattr(mini, "real_images", lambda text: real(text, 2))
    monkeypatch.setattr(mini, "train_mini", lambda *args, **kept: plain(*args, **{**kept, "recipes": tiny}))
    assert mini.main([str(archive), "--out", str(tmp_path / "out"), "--without", "cat,truck"]) == 0
    path = Path(capsys.readouterr().out.strip())
    report = json.loads((tmp_path / "out" / mini.REPORT).read_text(encoding="utf-8"))
    assert report["weights_sha256"] == digest_of_file(path)
    assert [row["epoch"] for row in report["curves"]] == [0, 1]
    assert report["images"]["without"] == ["cat", "truck"]
    assert report["images"]["held_out"] == 16
    rows = build_folded(SHIPPED, path)(torch.zeros(1, 3, 32, 32))
    assert np.isfinite(rows.detach().numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [(["nowhere.zip"], 2, "nowhere.zip"), (["ARCHIVE", "--without", "kat"], 2, "Did you mean 'cat'")],
)
def test_a_wrong_call_is_one_line(archive: Path, tmp_path: Path, arguments, code, said, monkeypatch, capsys) -> None:
    real = mini.real_images
    monkeypatch.setattr(mini, "real_images", lambda text: real(text, 2))
    words = [str(archive) if word == "ARCHIVE" else word for word in arguments]
    assert mini.main([*words, "--out", str(tmp_path / "out")]) == code
    written = capsys.readouterr().err.strip().splitlines()
    assert said in written[-1]
    assert "Traceback" not in "".join(written)


@pytest.mark.skipif(not RESULTS.is_dir(), reason="needs a checkout")
def test_the_committed_report_is_of_the_shipped_weights_and_recipe() -> None:
    from semsim_pipeline.fingerprint import digest_of

    report = json.loads((RESULTS / "mini_training.json").read_text(encoding="utf-8"))
    assert report["weights_sha256"] == digest_of_file(WEIGHTS)
    assert report["recipes_digest"] == digest_of([recipe.digest() for recipe in mini.RECIPES])
    second = json.loads((RESULTS / "mini_training_without_cat_truck.json").read_text(encoding="utf-8"))
    assert second["images"]["without"] == list(mini.UNSEEN)
    assert second["recipes"] == report["recipes"][:1]  # one cycle shows what it is for
    assert second["weights_sha256"] != report["weights_sha256"]
