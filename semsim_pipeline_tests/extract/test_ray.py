"""The Ray engine: the missing extra, and with it the promises that the local engine keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from semsim_pipeline.errors import WrongCallError
from semsim_pipeline.extract.engines import engine
from semsim_pipeline_tests.extract.test_run import encoded, group_is_gone, wait_for_parts

ROOT = str(Path(__file__).parents[2])


def test_a_missing_extra_is_one_line_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WrongCallError) as told:
        engine("ray", 2)
    assert "pip install 'semsim-pipeline[ray]'" in str(told.value)
    assert "\n" not in str(told.value)


def test_looking_for_ray_does_not_load_it() -> None:
    code = "import sys, semsim_pipeline.extract.engines; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# Each test runs a process of its own: Ray warns, forks and takes over SIGTERM, and is one to a process.
CHILD = """
import os, sys, threading, time
from pathlib import Path
from semsim_pipeline.errors import SemsimError
from semsim_pipeline.extract.records import ExtractOptions
from semsim_pipeline.extract.run import embed_view
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource, FakeView

def run(home, n=200, part_rows=16, engine="ray", **facts):
    return embed_view(FakeView(source=FakeSource(n=n, distinct=1000)), FakeEncoder(**facts), home,
                      ExtractOptions(workers=2, part_rows=part_rows, engine=engine))

home = Path(sys.argv[1])
"""


def begin(tmp_path: Path, body: str, **env: str) -> subprocess.Popen[str]:
    pytest.importorskip("ray", reason="needs the extra: pip install 'semsim-pipeline[ray]'")
    script = tmp_path / "child.py"
    script.write_text(CHILD + body)
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": ROOT} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outcome(tmp_path: Path, body: str, **env: str) -> list[str]:
    with begin(tmp_path, body, **env) as process:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert err == "", "Ray is to be quiet"
    return out.splitlines()


@pytest.mark.slow
def test_ray_gives_what_local_gives_and_a_grown_set_costs_what_it_grew_by(tmp_path: Path) -> None:
    body = """
import ray
one = run(home / "ray", log=str(home / "log"))
more = run(home / "ray", n=203, log=str(home / "log"))
again = run(home / "ray", n=203, log=str(home / "log"))
plain = run(home / "local", n=203, engine="local")
from semsim_pipeline_tests.extract.test_run import rows_of
print(one.new, more.new, again.new, rows_of(again) == rows_of(plain), ray.is_initialized())
"""
    assert outcome(tmp_path, body) == ["200 3 0 True False"]
    assert encoded(tmp_path / "log") == 203


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_one_that_always_dies_is_an_error(tmp_path: Path) -> None:
    body = """
print(run(home / "a", n=64, mode=f"die-once:{home / 'marker'}").embedded)
try:
    run(home / "b", n=20, mode="die")
except SemsimError as error:
    print(type(error).__name__, error)
try:
    run(home / "c", n=20, name="x", mode="nan")
except SemsimError as error:
    print(type(error).__name__, error)
"""
    ok, died, raised = outcome(tmp_path, body)
    assert (ok, (tmp_path / "marker").exists()) == ("64", True)
    assert died.startswith("WorkError")
    assert "died 3 times" in died
    assert raised.startswith("InvalidEmbeddingsError Encoder 'x' returned NaN"), "and no traceback of Ray's"


@pytest.mark.slow
def test_each_process_loads_its_encoder_once(tmp_path: Path) -> None:
    body = """
class Counted(FakeEncoder):
    def load(self):
        with (home / "loads").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        return self

FakeEncoder = Counted
print(run(home, seconds=0.005).new)
"""
    assert outcome(tmp_path, body) == ["200"]
    loads = (tmp_path / "loads").read_text().split()
    assert len(loads) == len(set(loads)) <= 3, "13 shards, two workers; Ray may start one more"


@pytest.mark.slow
def test_a_callers_ray_is_used_and_left_alone_and_a_closed_iterator_stops_the_tasks(tmp_path: Path) -> None:
    body = """
from semsim_pipeline.extract.engines import engine
ray_engine = engine("ray", 2)
import ray
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

def work(n):
    time.sleep(0.1 if n == 0 else 600)
    return n

results = ray_engine.map(work, iter(range(9)), window=4)
print(next(results))
began = time.perf_counter()
results.close()
print(ray.get(ray.remote(work).options(num_cpus=2).remote(0)), time.perf_counter() - began < 30, ray.is_initialized())
"""
    assert outcome(tmp_path, body) == ["0", "0 True True"]


@pytest.mark.slow
def test_an_address_that_nobody_answers_is_one_error(tmp_path: Path) -> None:
    body = """
try:
    run(home, n=20)
except SemsimError as error:
    print(type(error).__name__, error)
"""
    with begin(tmp_path, body, RAY_ADDRESS="127.0.0.1:1") as process:
        out, _ = process.communicate(timeout=120)
    assert out.startswith("WorkError Ray cannot be used at RAY_ADDRESS=127.0.0.1:1")
    assert out.count("\n") == 1


def workers_left(group: int) -> list[str]:
    """What of Ray, its agents aside, is still alive ten seconds later."""
    import psutil

    until = time.monotonic() + 10
    while True:
        left = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                alive = os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
                if alive and "Agent" not in process.name():
                    left.append(process.name())
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_process_and_is_resumed(tmp_path: Path, blow: signal.Signals) -> None:
    log = tmp_path / "log"
    with begin(tmp_path, f"run(home, seconds=0.02, log={str(log)!r}, batch_size=8)\n") as process:
        wait_for_parts(tmp_path, 3)
        began = time.monotonic()
        os.killpg(process.pid, blow) if blow == signal.SIGINT else os.kill(process.pid, blow)
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert time.monotonic() - began < 30
        if blow == signal.SIGINT:
            assert group_is_gone(process.pid), "nothing of a private Ray outlives the run"
        else:
            left = workers_left(process.pid)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # Ray's idle agents follow a minute or two later
            assert not left
    kept = len(list(tmp_path.rglob("part-*")))
    assert 3 <= kept < 13
    body = """
from semsim_pipeline_tests.extract.test_run import rows_of
resumed = run(home, engine="local", log=str(home / "resumed"))
print(rows_of(resumed) == rows_of(run(home / "whole", engine="local")))
"""
    assert outcome(tmp_path, body) == ["True"]
    assert encoded(tmp_path / "resumed") == 200 - 16 * kept, "every part that was finished counts"
