"""What runs after an encoder's weights changed, or its background, on a real `semsim ui --watch`. Slow."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.encoders.mini import ARCH
from semsim_pipeline.encoders.mini_network import build_mini
from semsim_pipeline.progress import Silent
from semsim_pipeline.training.export import folded_state, write_weights
from semsim_pipeline_tests.defs.at_rest import Count, all_fresh, of, rest
from semsim_pipeline_tests.defs.live import live_ui
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]

N = 12
CATALOG = """
datasets: {left: left, right: right}
encoders: {computed: classical, learned: "mini:weights.safetensors"}
comparisons:
  plain: {pairs: [[left, right]], encoders: [computed]}
  learned: {pairs: [[left, right]], encoders: [learned]}
"""


def new_weights(home: Path, seed: int) -> None:
    """A network of random weights where the catalogue looks for it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        write_weights(home / "weights.safetensors", folded_state(build_mini(folded=False).eval()), {"arch": ARCH})


def with_encoder(alias: str, comparison: str) -> set[tuple[str, str]]:
    """Everything that rests on an encoder and on no other one."""
    pair = f"left~right@{alias}"
    return (
        of(["embeddings"], f"left@{alias}", f"right@{alias}")
        | of(["pair_metrics", "pair_plots"], pair)
        | of(["similarity_matrix", "report"], comparison)
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "encoders" / "home"
    for number, dataset in enumerate(("left", "right")):
        write_pictures(folder / dataset, N, seed=number)
    for number, kind in enumerate(("blobs", "stripes")):
        for part in range(3):  # a panel wants five labels
            write_pictures(folder / "panel" / f"{kind}{part}", 20, seed=50 + 10 * number + part, kind=kind)
    new_weights(folder, 1)
    (folder / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    time.sleep(2.1)  # younger files are looked at once more, which is right and not the matter here
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(folder))
        rescore_in_process(folder, Silent())
        assert all_fresh(folder)
        yield folder


def test_an_encoder_that_changed_runs_what_rests_on_it(home: Path) -> None:
    with live_ui(home, "--watch", "--every", "2") as ui:
        rest(ui, home)

        # Other weights under the same name: every image again, of this encoder alone.
        count, learned = Count(home), with_encoder("learned", "learned")
        new_weights(home, 2)
        rest(ui, home, lambda: learned <= set(count.new()))
        assert set(count.new()) == count.computed() == learned
        assert [event["new_images"] for event in count.new()["embeddings", "left@learned"]] == [N]
        assert all_fresh(home)

        # Another background: no image again, and what was scored on the old one is scored on the new one.
        count, plain = Count(home), with_encoder("computed", "plain")
        subprocess.run(
            [sys.executable, "-m", "semsim_pipeline", "encoders", "calibrate", "classical", "--panel",
             str(home / "panel"), "-q"],
            check=True, capture_output=True,
        )  # fmt: skip
        rest(ui, home, lambda: plain <= set(count.new()))
        assert set(count.new()) == count.computed() == plain
        assert [event["new_images"] for event in count.new()["embeddings", "left@computed"]] == [0]
        assert all_fresh(home)
