"""What runs after the package's own code changed, on a real `semsim ui --watch`: plots alone, or metrics too. Slow."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import semsim_pipeline
from semsim_pipeline_tests.defs.at_rest import Count, rest
from semsim_pipeline_tests.defs.live import live_ui
from semsim_pipeline_tests.defs.scored_home import PARTITIONS, scored_home

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]


def test_other_code_runs_its_stage_and_what_changes_with_it(tmp_path: Path) -> None:
    with scored_home(tmp_path / "home") as home:
        pairs = {(stage, pair) for stage in ("pair_metrics", "pair_plots") for pair in PARTITIONS["pair_metrics"]}
        pages = {(stage, name) for stage in ("similarity_matrix", "report") for name in ("inside", "sides")}
        drawn = {each for each in pairs if each[0] == "pair_plots"}

        count = Count(home)
        with live_ui(
            home, "--watch", "--every", "2", code=changed_code(tmp_path / "a", "plots/base.py", "PLOTS")
        ) as ui:
            rest(ui, home, lambda: drawn | pages <= set(count.new()))
            assert set(count.new()) == count.computed() == drawn | pages

        both = changed_code(tmp_path / "a", "metrics/score_card.py", "SCORE")
        count = Count(home)
        with live_ui(home, "--watch", "--every", "2", code=both) as ui:
            rest(ui, home, lambda: pairs | pages <= set(count.new()))
            assert set(count.new()) == count.computed() == pairs | pages


def changed_code(folder: Path, module: str, what: str) -> Path:
    """A copy of the package, or the copy that is there, with one version raised, as whoever changes the code would."""
    package = folder / "semsim_pipeline"
    if not package.exists():
        shutil.copytree(Path(semsim_pipeline.__file__).parent, package)  # compiled files too: runs write none
    path = package / module
    text, changes = re.subn(rf"(?m)^{what}_VERSION = \d+$", f"{what}_VERSION = 7777", path.read_text(encoding="utf-8"))
    assert changes == 1
    path.write_text(text, encoding="utf-8")
    return folder
