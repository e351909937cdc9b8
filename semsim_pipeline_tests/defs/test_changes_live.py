"""What runs after which change of the data, on a real `semsim ui --watch`: real sensors, runs and events. Slow.

Everything starts at rest, and what was materialised until it rests again is counted.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from semsim_pipeline.stages.outcome import STAGES
from semsim_pipeline_tests.defs.at_rest import ENDED, SECONDS, Count, all_fresh, rest
from semsim_pipeline_tests.defs.live import live_ui
from semsim_pipeline_tests.defs.scored_home import BLOBS, PARTITIONS, N, scored_home
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]


def test_what_runs_after_a_change_is_what_rests_on_it(tmp_path: Path) -> None:
    with scored_home(tmp_path / "home") as home, live_ui(home, "--watch", "--every", "2") as ui:
        # Started again, nothing changed, after a bulk run: no run at all beside that one.
        rest(ui, home)
        assert len(ui.runs()) == 1

        # Everything asked for in the UI, unchanged: found, not computed; nobody asks for more.
        count = Count(home)
        assert ui.backfill(PARTITIONS, SECONDS) == "COMPLETED_SUCCESS"
        rest(ui, home)
        assert set(count.new()) == {(stage, key) for stage, keys in PARTITIONS.items() for key in keys}
        assert all(len(events) == 1 for events in count.new().values())
        assert count.computed() == set()

        # Every file of one dataset touched: its manifest is looked at, and nothing below it runs.
        count, runs = Count(home), len(ui.runs())
        for path in (home / "left").rglob("*.png"):
            os.utime(path)
        rest(ui, home, lambda: len(ui.runs()) > runs)
        assert set(count.new()) == {("dataset_manifest", "left")}
        assert count.computed() == set()

        # One image of one class more, and while its pair is being scored another one: neither is lost.
        count = Count(home)
        write_pictures(home / "right" / "blobs", 1, seed=98, kind="blobs", name="one-more.png")
        scoring = lambda: any("pair_metrics" in run["assets"] and run["status"] not in ENDED for run in ui.runs())  # noqa: E731
        ui.wait_until(scoring, "the pair's run", SECONDS)
        write_pictures(home / "right" / "blobs", 1, seed=99, kind="blobs", name="and-another.png")
        rest(ui, home, lambda: all_fresh(home))
        expected = {("dataset_manifest", "right"), ("embeddings", "right@classical")}
        expected |= {
            ("pair_metrics", BLOBS),
            ("pair_plots", BLOBS),
            ("similarity_matrix", "sides"),
            ("report", "sides"),
        }
        assert set(count.new()) == count.computed() == expected
        assert [event["new_images"] for event in count.new()["embeddings", "right@classical"]] == [1, 1]
        assert count.new()["pair_metrics", BLOBS][-1]["n_candidate"] == N + 2


def test_stages_are_all_counted() -> None:
    assert tuple(PARTITIONS) == STAGES
