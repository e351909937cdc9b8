from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from semsim_pipeline.errors import WrongCallError
from semsim_pipeline.training import train as train_module
from semsim_pipeline.training.images import Pictures
from semsim_pipeline.training.recipe import Recipe
from semsim_pipeline.training.train import Material, Normal, Trained, embed, train

RECIPE = Recipe(epochs=4, small_epochs=2, batch=24, small_side=16, peak_rate=0.05, average=0.8)
NORMAL = Normal(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def build() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 5, stride=2, padding=2, bias=False),
        torch.nn.BatchNorm2d(12),
        torch.nn.ReLU(),
        torch.nn.Conv2d(12, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )


@pytest.fixture(scope="module")
def material(training: Pictures, watched: Pictures) -> Material:
    return Material(training=training, watched=watched, normal=NORMAL)


def run(material: Material, recipe: Recipe = RECIPE, **options) -> Trained:
    return train(build, recipe, material, **options)


def rows(trained: Trained, material: Material) -> np.ndarray:
    return embed(trained.network, material.watched.images, NORMAL)


@pytest.fixture(scope="module")
def once(material: Material) -> Trained:
    return run(material)


def test_the_loss_falls_and_held_out_images_find_their_class(once: Trained) -> None:
    losses = [row.loss for row in once.curves]
    assert losses[-1] < 0.8 * losses[0]
    assert [row.side for row in once.curves] == [16, 16, 32, 32]
    assert once.curves[-1].accuracy > 0.9
    assert not once.network.training


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(once: Trained, material: Material) -> None:
    before = torch.get_rng_state()
    again = run(material)
    assert torch.equal(torch.get_rng_state(), before)  # a user's own draws are left alone
    np.testing.assert_array_equal(rows(again, material), rows(once, material))
    assert np.abs(rows(run(material, replace(RECIPE, seed=1)), material) - rows(once, material)).max() > 1e-3


def test_a_killed_training_goes_on_to_the_same_weights(once: Trained, material: Material, tmp_path: Path, monkeypatch):
    class Killed(Exception):
        pass

    plain, calls = train_module.augment, [0]

    def until(*arguments):
        calls[0] += 1
        if calls[0] > 2 * 10 + 4:  # in the middle of the third epoch
            raise Killed
        return plain(*arguments)

    file = tmp_path / "runs" / "checkpoint.pt"
    monkeypatch.setattr(train_module, "augment", until)
    with pytest.raises(Killed):
        run(material, checkpoint=file)
    monkeypatch.setattr(train_module, "augment", plain)
    resumed = run(material, checkpoint=file)
    np.testing.assert_array_equal(rows(resumed, material), rows(once, material))
    assert [(r.loss, r.accuracy) for r in resumed.curves] == [(r.loss, r.accuracy) for r in once.curves]
    assert [path.name for path in file.parent.iterdir()] == ["checkpoint.pt"]


def test_a_finished_training_is_not_run_again_and_another_is_refused(material: Material, tmp_path: Path, monkeypatch):
    file = tmp_path / "checkpoint.pt"
    short = replace(RECIPE, epochs=1, small_epochs=1)
    first = run(material, short, checkpoint=file)
    monkeypatch.setattr(train_module, "augment", lambda *_: pytest.fail("trained again"))
    np.testing.assert_array_equal(rows(run(material, short, checkpoint=file), material), rows(first, material))
    with pytest.raises(WrongCallError, match="another recipe"):
        run(material, replace(short, seed=5), checkpoint=file)
    file.write_bytes(b"half a file")
    with pytest.raises(WrongCallError, match="not a checkpoint"):
        run(material, short, checkpoint=file)


def test_a_second_cycle_begins_where_the_first_ended(once: Trained, material: Material) -> None:
    gentle = replace(RECIPE, epochs=1, small_epochs=0, seed=1, peak_rate=1e-6)
    after = run(material, gentle, after=once)
    assert [row.epoch for row in after.curves] == [0, 1, 2, 3, 4]
    # At such a rate the weights stay, and the statistics of the normalisation move a little.
    cosine = np.sum(rows(after, material) * rows(once, material), axis=1)
    cosine /= np.linalg.norm(rows(after, material), axis=1) * np.linalg.norm(rows(once, material), axis=1)
    assert cosine.min() > 0.99
    assert after.identity != once.identity


def test_the_rate_rises_and_falls_on_straight_lines() -> None:
    recipe = Recipe(epochs=1, small_epochs=0, peak_rate=1.0, warm_up=0.25)
    rates = [recipe.rate_at(step, 8) for step in range(8)]
    np.testing.assert_allclose(rates, [1 / 2, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7])


@pytest.mark.parametrize("wrong", [{"epochs": 0, "small_epochs": 0}, {"epochs": 2, "small_epochs": 3}])
def test_an_impossible_recipe_is_refused(wrong) -> None:
    with pytest.raises(WrongCallError):
        Recipe(**wrong)
    with pytest.raises(WrongCallError, match="no statistics"):
        Recipe(epochs=1, small_epochs=0, batch=1)
