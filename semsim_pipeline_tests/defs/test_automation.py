"""Who would be asked to run, by Dagster's own evaluation without a daemon; `test_changes_live` is with one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from semsim_pipeline.catalog import load_catalog
from semsim_pipeline.defs import automation
from semsim_pipeline.defs.assets import assets_of
from semsim_pipeline.defs.bulk import rescore
from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.defs.instance import instance_of
from semsim_pipeline.defs.partitions import partitions_of
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.defs.schedules import schedules_of
from semsim_pipeline.plots import draw
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests.defs.scored_home import BLOBS, CATALOG, INSIDE, STRIPES, scored_home
from semsim_pipeline_tests.pictures import write_pictures

Asked = set[tuple[str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "PLOTS", [PLOTS.get("scale")])
        with scored_home(tmp_path_factory.mktemp("automation") / "home") as folder:
            yield folder


@pytest.fixture(scope="module")
def whole_day(home: Path) -> Iterator[Day]:
    with instance_of(home) as instance:
        yield Day(instance)


@pytest.fixture
def day(whole_day: Day, home: Path) -> Day:
    """One daemon for all tests, at rest when each begins, whatever the one before asked for and did not run."""
    rescore_in_process(home, Silent())
    whole_day.rest()
    return whole_day


def add_image(home: Path) -> None:
    """One blob more on the right."""
    blobs = home / "right" / "blobs"
    number = len(list(blobs.iterdir()))
    write_pictures(blobs, 1, seed=1000 + number, kind="blobs", name=f"new-{number}.png")


class Day:
    """A daemon's ticks, made by hand, and the runs that follow them."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self._cursor: Any = None

    def tick(self) -> Asked:
        found = dg.evaluate_automation_conditions(
            defs=dg.Definitions(assets=self.assets(), resources={"workspace": SemsimWorkspace()}),
            instance=self.instance,
            cursor=self._cursor,
            asset_selection=dg.AssetSelection.all(),
        )
        self._cursor = found.cursor
        return {
            (asset, partition)
            for asset in automation.conditions()
            for partition in found.get_requested_partitions(dg.AssetKey(asset))
            if partition is not None
        }

    def assets(self) -> list[dg.AssetsDefinition]:
        return assets_of(partitions_of(load_catalog()))

    def run(self, asset: str, partition: str) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            self.assets(), selection=[asset], partition_key=partition, instance=self.instance,
            resources={"workspace": SemsimWorkspace(workers=1)}, raise_on_error=False,
        )  # fmt: skip

    def rest(self) -> Asked:
        """Run what is asked for until nothing is; all that ran."""
        done: Asked = set()
        while asked := self.tick():
            assert not done & asked, "asked twice"
            for each in sorted(asked):
                self.run(*each)
            done |= asked
        return done


def test_a_bulk_run_leaves_nothing_to_ask_for(day: Day, home: Path) -> None:
    assert day.tick() == set()
    add_image(home)
    rescore_in_process(home, Silent())
    assert day.tick() == set()
    assert day.tick() == set()


def test_one_image_asks_for_exactly_what_rests_on_it(day: Day, home: Path) -> None:
    add_image(home)
    assert day.tick() == set()  # nobody looked yet
    assert day.run("dataset_manifest", "right").success
    assert day.rest() == {
        ("embeddings", "right@classical"), ("pair_metrics", BLOBS), ("pair_plots", BLOBS),
        ("similarity_matrix", "sides"), ("report", "sides"),
    }  # fmt: skip
    assert day.tick() == set()


def test_a_touch_asks_for_nothing(day: Day, home: Path) -> None:
    for path in (home / "right").rglob("*.png"):
        os.utime(path)
    assert day.run("dataset_manifest", "right").success
    assert day.tick() == set()


@pytest.mark.slow
def test_a_failing_partition_is_asked_for_once_and_its_page_says_so(day: Day, home: Path) -> None:
    shutil.move(home / "right", home / "away")
    assert not day.run("dataset_manifest", "right").success
    assert day.rest() == {("similarity_matrix", "sides"), ("report", "sides")}
    assert day.tick() == set()
    page = (home / "reports" / "sides" / "index.html").read_text(encoding="utf-8")
    assert "2 scores are from before" in page
    assert str(home / "right") in page
    shutil.move(home / "away", home / "right")
    assert day.run("dataset_manifest", "right").success
    assert day.rest() == {("similarity_matrix", "sides"), ("report", "sides")}
    page = (home / "reports" / "sides" / "index.html").read_text(encoding="utf-8")
    assert "from before" not in page


def test_what_lands_between_a_request_and_its_end_is_asked_for_again(day: Day, home: Path) -> None:
    add_image(home)
    day.run("dataset_manifest", "right")
    assert day.tick() == {("embeddings", "right@classical")}
    day.run("embeddings", "right@classical")
    # Another image, all the way to its embeddings, before the next tick sees the first one's.
    assert day.tick() == {("pair_metrics", BLOBS)}
    day.run("pair_metrics", BLOBS)
    add_image(home)
    day.run("dataset_manifest", "right")
    day.run("embeddings", "right@classical")
    asked = day.tick()
    assert ("pair_metrics", BLOBS) in asked


def test_while_the_bulk_job_runs_nothing_is_asked_for(day: Day, home: Path) -> None:
    add_image(home)
    day.run("dataset_manifest", "right")
    run = day.instance.create_run_for_job(rescore, status=dg.DagsterRunStatus.STARTED)
    assert day.tick() == set()
    day.instance.report_run_failed(run)
    assert day.tick() == {("embeddings", "right@classical")}


def test_the_nightly_run_takes_what_is_stale_alone(day: Day, home: Path) -> None:
    add_image(home)
    *_, nightly = schedules_of(load_catalog())
    [request] = nightly.evaluate_tick(dg.build_schedule_context(instance=day.instance)).run_requests or []
    ran = rescore.execute_in_process(
        run_config=request.run_config, instance=day.instance, resources={"workspace": SemsimWorkspace()}
    )
    events = [event for event in ran.all_events if event.event_type_value == "ASSET_MATERIALIZATION"]
    assert {(event.asset_key.to_user_string(), event.partition) for event in events if event.asset_key} == {
        ("dataset_manifest", "right"), ("embeddings", "right@classical"), ("pair_metrics", BLOBS),
        ("pair_plots", BLOBS), ("similarity_matrix", "sides"), ("report", "sides"),
    }  # fmt: skip
    assert day.tick() == set()


def test_a_run_that_has_not_started_is_waited_for(day: Day, home: Path) -> None:
    add_image(home)
    day.run("dataset_manifest", "right")
    job = dg.define_asset_job("queued", selection=["dataset_manifest"])
    defs = dg.Definitions(assets=day.assets(), jobs=[job], resources={"workspace": SemsimWorkspace()})
    run = day.instance.create_run_for_job(
        defs.resolve_job_def("queued"), status=dg.DagsterRunStatus.NOT_STARTED,
        tags={"dagster/partition": "right"}, asset_selection=frozenset({dg.AssetKey("dataset_manifest")}),
    )  # fmt: skip
    assert day.tick() == set()
    day.instance.report_run_canceled(run)
    assert day.tick() == {("embeddings", "right@classical")}


@pytest.mark.slow
def test_a_new_entry_of_the_catalogue_is_asked_for(day: Day, home: Path) -> None:
    text = CATALOG + "  whole: {pairs: [[left, right]]}\n"
    (home / "catalog.yaml").write_text(text, encoding="utf-8")
    whole = "left~right@classical"
    assert day.rest() == {
        ("pair_metrics", whole), ("pair_plots", whole), ("similarity_matrix", "whole"), ("report", "whole")
    }  # fmt: skip
    (home / "catalog.yaml").write_text(CATALOG, encoding="utf-8")


@pytest.mark.slow
def test_other_code_asks_for_its_stage_and_what_changes_with_it(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    from semsim_pipeline.comparison import score_store
    from semsim_pipeline.metrics import score_card

    monkeypatch.setattr(score_card, "SCORE_VERSION", 77)
    monkeypatch.setattr(score_store, "SCORE_VERSION", 77)
    pairs = {INSIDE, BLOBS, STRIPES}
    assert day.rest() == {
        *(("pair_metrics", pair) for pair in pairs), *(("pair_plots", pair) for pair in pairs),
        *((stage, name) for stage in ("similarity_matrix", "report") for name in ("inside", "sides")),
    }  # fmt: skip


@pytest.mark.slow
def test_other_plots_ask_for_pictures_alone(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    from semsim_pipeline.plots import base
    from semsim_pipeline.stages import matrix, pictures

    for module in (base, matrix, pictures):
        monkeypatch.setattr(module, "PLOTS_VERSION", 77)
    assert {stage for stage, _key in day.rest()} == {"pair_plots", "similarity_matrix", "report"}


def test_a_failed_blocking_check_holds_what_stands_on_it(day: Day, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_image(home)
    day.run("dataset_manifest", "right")

    @dg.asset_check(asset="dataset_manifest", blocking=True)
    def refuses() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    plain = day.assets
    monkeypatch.setattr(day, "assets", lambda: [*plain(), refuses])
    dg.materialize(
        day.assets(), selection=dg.AssetSelection.all_asset_checks(), instance=day.instance, raise_on_error=False,
        resources={"workspace": SemsimWorkspace()},
    )  # fmt: skip
    assert day.tick() == set()
