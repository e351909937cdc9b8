"""Sensors over what lies on other machines: an upstream change asks for exactly its dataset, silence for none."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from semsim_pipeline.defs.sensors import change_sensors, look_at_sources
from semsim_pipeline.errors import MissingFilesError
from semsim_pipeline.stages.manifest import refresh_manifest
from semsim_pipeline.stages.status import status_of
from semsim_pipeline.stages.workspace import Workspace
from semsim_pipeline_tests.datasets.conftest import jpeg, make_zip
from semsim_pipeline_tests.published_sets import hub_parquet
from semsim_pipeline_tests.servers import Fault, FileServer, Hub, served_hub


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as served:
        yield served


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with served_hub(monkeypatch) as served:
        served.publish("org/pets", "train.parquet", shard(0), kind="datasets")
        yield served


def shard(first: int) -> bytes:
    return hub_parquet([jpeg(n) for n in range(first, first + 4)], [0, 1, 0, 1], ["cat", "dog"])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: FileServer, hub: Hub, zipped: bytes) -> Workspace:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("SEMSIM_HOME", str(home))
    urls = {name: files.publish(f"{name}.zip", zipped) for name in ("a", "b")}
    (home / "catalog.yaml").write_text(
        f"datasets: {{a: '{urls['a']}', b: '{urls['b']}', pets: 'huggingface:org/pets', ten: cifar10}}\n"
        "encoders: {classical: classical}\n"
        "comparisons: {whole: {pairs: [[a, b], [a, pets]]}}\n",
        encoding="utf-8",
    )
    return Workspace.open(home)


@pytest.fixture
def zipped(tmp_path: Path) -> bytes:
    return make_zip(tmp_path / "made.zip").read_bytes()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


class Sensor:
    """A sensor's ticks, its cursor handed on, and what it said when it asked for nothing."""

    def __init__(self, instance: dg.DagsterInstance, kind: str) -> None:
        self._instance, self._kind = instance, kind
        self.cursor: str | None = None
        self.said = ""

    def tick(self) -> list[str | None]:
        found = look_at_sources(dg.build_sensor_context(instance=self._instance, cursor=self.cursor), self._kind)
        self.cursor = found.cursor
        self.said = "" if found.skip_reason is None else str(found.skip_reason.skip_message)
        return [request.partition_key for request in found.run_requests or ()]


def test_each_kind_has_its_sensor() -> None:
    names = {sensor.name for sensor in change_sensors()}
    assert {"url_changes", "huggingface_changes", "cifar10_changes", "cifar100_changes", "cifake_changes"} <= names


def test_another_etag_asks_for_exactly_that_dataset_and_brings_it(
    workspace: Workspace, instance: dg.DagsterInstance, files: FileServer, zipped: bytes, tmp_path: Path
) -> None:
    sensor = Sensor(instance, "url")
    assert sensor.tick() == ["a", "b"]  # never fetched
    assert not files.asked("GET")  # a look brings nothing
    first = {name: refresh_manifest(workspace, name) for name in ("a", "b")}
    sensor = Sensor(instance, "url")
    assert sensor.tick() == []
    assert len(files.asked("GET")) == 2
    changed = make_zip(tmp_path / "changed.zip")
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr("cat/new.jpg", jpeg(99))
    files.publish("b.zip", changed.read_bytes())
    assert sensor.tick() == ["b"]
    assert sensor.tick() == []  # asked for, whether or not the run made it
    again = {name: refresh_manifest(workspace, name) for name in ("a", "b")}
    assert again["a"].version == first["a"].version
    assert not again["a"].computed
    assert again["b"].computed
    assert again["b"].row_count == (first["b"].row_count or 0) + 1
    assert again["b"].numbers["read_in_this_scan"] == 1  # only the new image is read
    assert [asked.path for asked in files.asked("GET")] == ["/a.zip", "/b.zip", "/b.zip"]
    assert Sensor(instance, "url").tick() == []


def test_the_same_bytes_under_another_etag_are_fetched_and_change_nothing(
    workspace: Workspace, instance: dg.DagsterInstance, files: FileServer
) -> None:
    first = refresh_manifest(workspace, "a")
    refresh_manifest(workspace, "b")
    files.always(Fault(headers={"ETag": '"moved"'}), path="/a.zip")
    sensor = Sensor(instance, "url")
    assert sensor.tick() == ["a"]
    again = refresh_manifest(workspace, "a")
    assert (again.version, again.computed) == (first.version, False)
    assert sensor.tick() == []


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(wait=20)], ids=["refuses", "hangs"])
def test_a_server_that_is_away_is_said_and_the_others_go_on(
    workspace: Workspace,
    instance: dg.DagsterInstance,
    files: FileServer,
    zipped: bytes,
    fault: Fault,
) -> None:
    for name in ("a", "b"):
        refresh_manifest(workspace, name)
    files.always(fault, path="/a.zip")
    files.files["/b.zip"] = zipped + b"\0" * 22  # another version of the other one
    sensor = Sensor(instance, "url")
    assert sensor.tick() == ["b"]
    assert sensor.tick() == []
    assert "a: " in sensor.said
    assert "does not answer at present" in sensor.said
    files.always(None, path="/a.zip")
    assert sensor.tick() == []  # it is back, and what it was


def test_a_server_that_is_away_keeps_the_manifest_on_every_path(
    workspace: Workspace, files: FileServer, instance: dg.DagsterInstance
) -> None:
    first = {name: refresh_manifest(workspace, name) for name in ("a", "b", "pets")}
    files.close()
    again = refresh_manifest(workspace, "a")
    assert (again.version, again.computed) == (first["a"].version, False)
    assert {state.state for state in status_of(workspace).values()} == {"missing"}  # not scored; and not failed


def test_a_first_fetch_that_failed_is_asked_for_again_once_the_server_is_back(
    workspace: Workspace, files: FileServer, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semsim_pipeline.datasets import download
    from semsim_pipeline.transfer import Patience

    monkeypatch.setattr(download, "PATIENCE", Patience(tries=1))
    sensor = Sensor(instance, "url")
    assert sensor.tick() == ["a", "b"]
    refresh_manifest(workspace, "b")
    files.always(Fault(status=503))
    with pytest.raises(MissingFilesError):
        refresh_manifest(workspace, "a")
    assert sensor.tick() == []
    files.always(None)
    assert sensor.tick() == ["a"]


def test_another_commit_of_the_hub_is_a_change_and_silence_is_none(
    workspace: Workspace, instance: dg.DagsterInstance, hub: Hub
) -> None:
    sensor = Sensor(instance, "huggingface")
    assert sensor.tick() == ["pets"]
    first = refresh_manifest(workspace, "pets")
    assert sensor.tick() == []
    asked = len(hub.requests)
    sensor.tick()
    assert len(hub.requests) - asked == 1  # what a look costs
    hub.publish("org/pets", "README.md", b"# New words", kind="datasets")
    assert sensor.tick() == ["pets"]
    assert refresh_manifest(workspace, "pets").version == first.version
    assert sensor.tick() == []
    hub.publish("org/pets", "train.parquet", shard(10), kind="datasets")
    assert sensor.tick() == ["pets"]
    again = refresh_manifest(workspace, "pets")
    assert again.version != first.version
    assert sensor.tick() == []
    hub.always(Fault(status=502))
    assert sensor.tick() == []
    assert "does not answer" in sensor.said


def test_what_its_checksum_names_is_not_looked_for(
    workspace: Workspace, instance: dg.DagsterInstance, files: FileServer, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("requests.request", lambda *_, **__: pytest.fail("a request was made"))
    sensor = Sensor(instance, "cifar10")
    assert sensor.tick() == ["ten"]  # never fetched, and asked for once
    assert sensor.tick() == []


def test_loading_the_definitions_asks_no_network(workspace: Workspace, files: FileServer, hub: Hub) -> None:
    code = (
        "import sys; import semsim_pipeline.definitions as d; assert d.defs;"
        "heavy = {'torch', 'huggingface_hub', 'kagglehub'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert files.requests == []
    assert hub.requests == []
