# No `from __future__ import annotations` here: Dagster reads the annotations of what it decorates as objects.

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import WorkerStatus

from semsim_pipeline.defs import launcher, process_mark
from semsim_pipeline.defs.bulk import rescore
from semsim_pipeline.defs.instance import fail_dead_runs, instance_of
from semsim_pipeline.defs.launcher import WatchedRunLauncher
from semsim_pipeline.defs.process_mark import PROCESS_TAG, is_gone, is_marked, process_tag
from semsim_pipeline.defs.resources import SemsimWorkspace
from semsim_pipeline.home import ensure_home


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    with instance_of(ensure_home()) as found:
        yield found


def started(instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> dg.DagsterRun:
    return instance.create_run_for_job(rescore, tags=tags, status=dg.DagsterRunStatus.STARTED)


def marked(instance: dg.DagsterInstance, process: str) -> dg.DagsterRun:
    run = started(instance)
    instance.add_run_tags(run.run_id, {PROCESS_TAG: f"{run.run_id}:{process}"})
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    assert isinstance(instance.run_launcher, WatchedRunLauncher)  # as our dagster.yaml says
    assert instance.run_launcher.supports_check_run_worker_health
    return instance.run_launcher.check_run_worker_health(run).status


@pytest.fixture(scope="module")
def ended() -> tuple[str, str]:
    """Host and number of a process that was."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return process_tag("x")[PROCESS_TAG].split(":")[1], str(child.pid)


def test_this_process_does_its_run(instance: dg.DagsterInstance) -> None:
    run = started(instance)
    instance.add_run_tags(run.run_id, process_tag(run.run_id))
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert is_marked(found.run_id, found.tags)
    assert not is_gone(found.run_id, found.tags)
    assert health(instance, found) == WorkerStatus.RUNNING
    assert fail_dead_runs(instance) == 0


def test_a_process_that_ended_is_noticed(instance: dg.DagsterInstance, ended: tuple[str, str]) -> None:
    run = marked(instance, ":".join([*ended, "abc-1"]))
    assert health(instance, run) == WorkerStatus.FAILED
    assert fail_dead_runs(instance) == 1
    assert [each.status for each in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_nobody_asked_for_has_ended_too(instance: dg.DagsterInstance) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 20
    while not process_mark._zombie(child.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    host = process_tag("x")[PROCESS_TAG].split(":")[1]
    run = marked(instance, f"{host}:{child.pid}:{process_mark._since(child.pid)}")
    assert health(instance, run) == WorkerStatus.FAILED
    child.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_another_process_with_the_same_number_is_not_it(instance: dg.DagsterInstance) -> None:
    run_id, host, number, since = process_tag("run")[PROCESS_TAG].split(":")
    assert not is_gone(run_id, {PROCESS_TAG: f"{run_id}:{host}:{number}:{since}"})
    assert is_gone(run_id, {PROCESS_TAG: f"{run_id}:{host}:{number}:{since}9"})


def test_another_machines_run_is_left_alone(instance: dg.DagsterInstance, ended: tuple[str, str]) -> None:
    run = marked(instance, f"another-machine:{ended[1]}:abc-1")
    assert health(instance, run) == WorkerStatus.RUNNING
    assert fail_dead_runs(instance) == 0


@pytest.mark.parametrize(
    "tag", ["", "x", "{run}", "{run}:host", "{run}:host:notanumber:1", "{run}:host:99999999999999:1"]
)
def test_a_mark_that_says_nothing_condemns_nobody(tag: str) -> None:
    assert not is_gone("run", {PROCESS_TAG: tag.format(run="run")})


def test_the_mark_of_the_run_that_is_tried_again_is_not_the_new_runs(
    instance: dg.DagsterInstance, ended: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = {PROCESS_TAG: ":".join(["the-run-before", *ended, "abc-1"])}
    again = started(instance, copied)
    assert not is_gone(again.run_id, again.tags)
    assert health(instance, again) == WorkerStatus.RUNNING  # it has only begun
    monkeypatch.setattr(launcher.WatchedRunLauncher, "_began_lately", lambda *_: False)
    assert health(instance, again) == WorkerStatus.FAILED  # no process ever called it its own


def test_a_run_is_marked_before_its_work(instance: dg.DagsterInstance) -> None:
    seen: dict[str, str] = {}

    @dg.op
    def look(context: dg.OpExecutionContext, workspace: SemsimWorkspace) -> None:
        assert workspace.workers is None
        run = context.instance.get_run_by_id(context.run_id)
        assert run is not None
        seen.update(run.tags)

    @dg.job(executor_def=dg.in_process_executor, resource_defs={"workspace": SemsimWorkspace()})
    def one() -> None:
        look()

    ran = one.execute_in_process(instance=instance)
    assert is_marked(ran.run_id, seen)


def test_the_settings_watch_limit_and_retry() -> None:
    settings = yaml.safe_load(files("semsim_pipeline.defs").joinpath("settings", "dagster.yaml").read_text())
    assert settings["run_monitoring"]["max_runtime_seconds"] == 24 * 3600
    assert settings["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    assert settings["concurrency"]["pools"] == {"granularity": "run", "default_limit": 1}
