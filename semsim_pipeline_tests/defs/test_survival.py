"""Runs that survive, each for real: a worker killed, everything killed, two at once, a full disk. Slow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from semsim_pipeline.defs.process_mark import PROCESS_TAG
from semsim_pipeline_tests.defs.live import Live, live_ui
from semsim_pipeline_tests.pictures import write_pictures

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]

N = 5_200
"""More than one part (4,096 rows), so that something is there to keep when the rest is lost."""
DATASETS = ("first", "second", "third", "fourth")
SETTINGS = """
telemetry: {enabled: false}
concurrency:
  runs: {max_concurrent_runs: 2}
  pools: {granularity: run, default_limit: 1}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
run_launcher: {module: semsim_pipeline.defs.launcher, class: WatchedRunLauncher}
run_monitoring:
  {enabled: true, start_timeout_seconds: 180, poll_interval_seconds: 3, free_slots_after_run_end_seconds: 5}
"""
"""Ours, but the monitor looks every three seconds: a test should not wait for a quarter of a minute."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("survival") / "home"
    for seed, name in enumerate(DATASETS):
        write_pictures(folder / name, N if seed < 3 else 200, seed=seed, name="{:05d}.png")
    sets = ", ".join(f"{name}: {name}" for name in DATASETS)
    (folder / "catalog.yaml").write_text(
        f"datasets: {{{sets}}}\nencoders: {{classical: classical}}\n"
        "comparisons: {all: {pairs: [[first, second], [third, fourth]]}}\n",
        encoding="utf-8",
    )
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").write_text(SETTINGS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


def parts(home: Path) -> list[Path]:
    return sorted(home.glob("embeddings/classical-*/part-*.parquet"))


def rows(home: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in parts(home)])


def tags(ui: Live, run: str) -> dict[str, str]:
    found = ui.query("query($id: ID!) { runOrError(runId: $id) { ... on Run { tags { key value } } } }", id=run)
    return {tag["key"]: tag["value"] for tag in found["runOrError"]["tags"]}


def statuses(ui: Live) -> dict[str, str]:
    found = ui.query("{ runsOrError { ... on Runs { results { runId status } } } }")
    return {run["runId"]: run["status"] for run in found["runsOrError"]["results"]}


def worker(ui: Live, run: str) -> int:
    """The number of the process that does the run, which it writes on it."""
    ui.wait_until(lambda: PROCESS_TAG in tags(ui, run), "the run to be marked")
    return int(tags(ui, run)[PROCESS_TAG].split(":")[2])


def again(ui: Live, run: str) -> str:
    """The run that Dagster started in place of this one."""

    def found() -> list[str]:
        return [each for each in statuses(ui) if tags(ui, each).get("dagster/parent_run_id") == run]

    ui.wait_until(lambda: bool(found()), f"a retry of {run}")
    return found()[0]


def begin(ui: Live, home: Path, dataset: str) -> str:
    """An extraction under way, with one more part on disk than before, and more to come."""
    assert ui.run(ui.materialise("dataset_manifest", dataset))["status"] == "SUCCESS"
    before = len(parts(home))
    run = ui.materialise("embeddings", f"{dataset}@classical")
    ui.wait_until(lambda: len(parts(home)) > before, "the first part")
    return run


def check_embedded_once(home: Path, *datasets: str) -> None:
    """Every image of the datasets has one row, no image two, and each row is what embedding it alone gives."""
    import numpy as np

    from semsim_pipeline.datasets.decode import decode
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.fingerprint import image_id_of

    found = rows(home)
    assert found["image_id"].n_unique() == len(found)
    ids = dict(zip(found["image_id"], range(len(found)), strict=True))
    encoder = resolve_encoder("classical").load()
    for dataset in datasets:
        paths = sorted((home / dataset).iterdir())
        content = [path.read_bytes() for path in paths]
        assert all(image_id_of(each) in ids for each in content)
        for each in (content[0], content[len(content) // 2], content[-1]):
            alone = encoder.encode(np.stack([encoder.preprocess(decode(each))]))[0]
            stored = np.array(found["embedding"][ids[image_id_of(each)]].to_list(), np.float32)
            np.testing.assert_allclose(stored, alone, atol=1e-5)
    assert list(home.glob("embeddings/*/.tmp-*")) == []


def group_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Every process below this one, by /proc; runs are grandchildren of the code server."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, queue = [], [process.pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found


def test_a_killed_worker_and_then_everything_killed(home: Path) -> None:
    with live_ui(home) as ui:
        # 1. kill -9 of the worker: started again by itself, and it goes on behind what was there.
        run = begin(ui, home, "first")
        kept = {path.name: path.stat().st_mtime_ns for path in parts(home)}
        os.kill(worker(ui, run), signal.SIGKILL)
        retried = again(ui, run)
        assert ui.run(retried)["status"] == "SUCCESS"
        assert statuses(ui)[run] == "FAILURE"
        assert {path.name: path.stat().st_mtime_ns for path in parts(home) if path.name in kept} == kept
        check_embedded_once(home, "first")

        # 2. kill -9 of everything: command, daemon, web server, code server, worker.
        lost = begin(ui, home, "second")
        worker(ui, lost)
        for number in group_of(ui.process):
            os.kill(number, signal.SIGKILL)
        ui.process.wait(20)
    with live_ui(home) as ui:
        resumed = again(ui, lost)  # reaped, its place in the pool free, or the retry would wait for ever
        assert ui.run(resumed)["status"] == "SUCCESS"
        assert statuses(ui)[lost] == "FAILURE"
        check_embedded_once(home, "first", "second")
        assert ui.run(ui.materialise("pair_metrics", "first~second@classical"))["status"] == "SUCCESS"

        # 3. Two at once, one from the UI and one from a shell: one works, the other waits and finds it done.
        shell = subprocess.Popen(
            [sys.executable, "-m", "semsim_pipeline", "embed", "third", "--encoder", "classical"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert ui.run(ui.materialise("dataset_manifest", "third"))["status"] == "SUCCESS"
        assert ui.run(ui.materialise("embeddings", "third@classical"))["status"] == "SUCCESS"
        _, said = shell.communicate(timeout=240)
        assert shell.returncode == 0, said
        check_embedded_once(home, "first", "second", "third")

        # 4. A disk that is full in mid-part: one sentence, nothing half-written; with room again, it goes on.
        with small_disk(home / "embeddings", "200k"):
            assert ui.run(ui.materialise("dataset_manifest", "fourth"))["status"] == "SUCCESS"
            failed = ui.run(ui.materialise("embeddings", "fourth@classical"))
            assert failed["status"] == "FAILURE"
            [failure] = [each for each in failed["eventConnection"]["events"] if each.get("failureMetadata")]
            assert "No space left on device" in failure["failureMetadata"]["description"]
            assert "Traceback" not in failure["failureMetadata"]["description"]
            assert list((home / "embeddings").rglob(".tmp-*")) == []
        assert ui.run(ui.materialise("embeddings", "fourth@classical"))["status"] == "SUCCESS"
        check_embedded_once(home, *DATASETS)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A little disk of its own over a folder, for the length of the block; what was there is seen again after it."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"all but the full disk was tested; this machine lets nobody mount one: {done.stderr.strip()}")
    try:
        yield
    finally:
        deadline = time.monotonic() + 20
        while subprocess.run(["umount", str(folder)], check=False).returncode and time.monotonic() < deadline:
            time.sleep(0.5)
