from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from semsim_pipeline.datasets import decode
from semsim_pipeline.defs import sensors
from semsim_pipeline.defs.schedules import NIGHTLY, schedules_of
from semsim_pipeline.defs.sensors import PATIENCE, change_sensors, look_at_encoders, look_at_sources
from semsim_pipeline.defs.watching import SECONDS, VARIABLE, watching
from semsim_pipeline.stages import watched
from semsim_pipeline.stages.embeddings import embed_dataset
from semsim_pipeline.stages.manifest import refresh_manifest
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.pictures import write_pictures

CATALOG = """
datasets: {photos: photos, zipped: zipped.zip, digits: digits, gone: gone}
encoders: {classical: classical}
comparisons:
  whole: {pairs: [[photos, zipped]], schedule: "30 3 * * *"}
  calm: {pairs: [[photos, digits]]}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    home = tmp_path / "home"
    write_pictures(home / "photos", 3)
    shutil.make_archive(str(home / "zipped"), "zip", home / "photos")
    (home / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    monkeypatch.setenv("SEMSIM_HOME", str(home))
    later(monkeypatch)
    return Workspace.open(home)


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything was written long ago."""
    monkeypatch.setattr(watched.time, "time_ns", lambda: time.monotonic_ns() + 10**19)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


class Sensor:
    """A sensor's ticks, its cursor handed on."""

    def __init__(self, instance: dg.DagsterInstance, kind: str | None) -> None:
        self._instance, self._kind = instance, kind
        self.cursor: str | None = None

    def tick(self) -> list[str | None]:
        context = dg.build_sensor_context(instance=self._instance, cursor=self.cursor)
        found = look_at_encoders(context) if self._kind is None else look_at_sources(context, self._kind)
        self.cursor = found.cursor
        return [request.partition_key for request in found.run_requests or ()]


def test_each_kind_asks_for_its_own_datasets_once(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    folders, archives = Sensor(instance, "folder"), Sensor(instance, "archive")
    assert folders.tick() == ["photos", "gone"]  # one that was never scanned, and one that cannot be
    assert archives.tick() == ["zipped"]
    assert (folders.tick(), archives.tick()) == ([], [])  # asked for, whether or not the run made it


def test_what_was_scanned_by_whomever_is_not_asked_for(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    refresh_manifest(workspace, "photos")
    sensor = Sensor(instance, "folder")
    assert sensor.tick() == ["gone"]
    write_pictures(workspace.home / "photos", 1, seed=9, name="new.png")
    assert sensor.tick() == ["photos"]
    assert sensor.tick() == []
    refresh_manifest(workspace, "photos")
    os.utime(workspace.home / "photos" / "new.png")
    assert sensor.tick() == ["photos"]


def test_no_image_is_opened_and_a_quiet_tick_is_quick(
    workspace: Workspace, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"d{number}" for number in range(40)]
    for number, name in enumerate(names):
        write_pictures(workspace.home / name, 5, seed=number)
    listed = ", ".join(f"{name}: {name}" for name in names)
    (workspace.home / "catalog.yaml").write_text(f"datasets: {{{listed}}}\n", encoding="utf-8")
    scanned = Workspace.open(workspace.home)
    for name in names:
        refresh_manifest(scanned, name)
    for reads in ("decode", "header"):
        monkeypatch.setattr(decode, reads, lambda *_: pytest.fail("an image was opened"))
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("a file was read"))
    sensor = Sensor(instance, "folder")
    sensor.tick()
    began = time.process_time()
    assert sensor.tick() == []
    assert time.process_time() - began < 0.5


def test_what_is_being_written_is_waited_for_but_not_for_ever(
    workspace: Workspace, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.home / "catalog.yaml").write_text("datasets: {photos: photos}\n", encoding="utf-8")
    newest = max(path.stat().st_ctime_ns for path in (workspace.home / "photos").iterdir())
    monkeypatch.setattr(watched.time, "time_ns", lambda: newest + 1)
    sensor = Sensor(instance, "folder")
    ticks = [sensor.tick() for _ in range(PATIENCE + 1)]
    assert ticks == [[]] * PATIENCE + [["photos"]]


def test_a_dataset_that_vanished_is_asked_for_once_and_again_when_it_is_back(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    refresh_manifest(workspace, "photos")
    sensor = Sensor(instance, "folder")
    sensor.tick()
    (workspace.home / "photos").rename(workspace.home / "away")
    assert sensor.tick() == ["photos"]
    assert sensor.tick() == []
    with pytest.raises(Exception, match="photos"):
        refresh_manifest(workspace, "photos")
    (workspace.home / "away").rename(workspace.home / "photos")
    assert sensor.tick() == ["photos"]  # its files are what they were; that it failed has to go from every page


def test_the_time_of_a_tick_is_shared_in_turn(
    workspace: Workspace, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.home / "catalog.yaml").write_text("datasets: {a: photos, b: photos, c: photos}\n", encoding="utf-8")
    monkeypatch.setattr(sensors, "BUDGET", -1.0)  # over as soon as one was looked at
    sensor = Sensor(instance, "folder")
    assert [sensor.tick() for _ in range(4)] == [["a"], ["b"], ["c"], []]


def test_a_cursor_of_another_version_and_removed_names_are_forgotten(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    sensor = Sensor(instance, "folder")
    sensor.cursor = '["old"]'
    assert sensor.tick() == ["photos", "gone"]
    (workspace.home / "catalog.yaml").write_text("datasets: {photos: photos}\n", encoding="utf-8")
    sensor.tick()
    assert list(json.loads(sensor.cursor)["asked"]) == ["photos"]


def test_another_background_asks_for_the_embeddings_of_its_encoder(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    from dataclasses import replace
    from importlib.resources import files

    from semsim_pipeline.encoders.background_store import read_calibration, save_background

    refresh_manifest(workspace, "photos")
    embed_dataset(workspace, "photos@classical")
    sensor = Sensor(instance, None)
    assert sensor.tick() == []
    path = files("semsim_pipeline.encoders").joinpath("backgrounds", "classical.json")
    packaged = read_calibration(Path(str(path)))
    fingerprint = workspace.encoder("classical").fingerprint()
    save_background(workspace.home, replace(packaged, encoder_fingerprint=fingerprint, panel="ours", bandwidth=0.5))
    assert sensor.tick() == ["photos@classical"]
    assert sensor.tick() == []
    embed_dataset(workspace, "photos@classical")
    assert sensor.tick() == []


def test_nothing_runs_unasked_but_what_the_catalogue_schedules(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    own, nightly = schedules_of(workspace.catalog)
    assert (own.name, own.cron_schedule, own.default_status.value) == ("rescore_whole", "30 3 * * *", "RUNNING")
    assert (nightly.name, nightly.default_status.value) == (NIGHTLY, "STOPPED")
    assert {sensor.default_status.value for sensor in change_sensors()} == {"STOPPED"}
    monkeypatch.setenv(VARIABLE, "5")
    assert {sensor.default_status.value for sensor in change_sensors()} == {"RUNNING"}
    assert {sensor.minimum_interval_seconds for sensor in change_sensors()} == {5}
    assert schedules_of(workspace.catalog)[-1].default_status.value == "RUNNING"
    monkeypatch.setenv(VARIABLE, "often")
    assert watching().seconds == SECONDS
