"""One configuration in one process of its own: wall time, CPU-seconds, peak memory of the process tree.

`run("benchmarks.NAME:function", key=value)` starts `python -m benchmarks.measure`, which calls the function with the
keywords and writes what it returns; meanwhile this process samples the tree's PSS (shared pages counted once).
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import ROOT

MIB = 2**20
SAMPLE_SECONDS = 0.03
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def run(
    task: str,
    *,
    address_limit_gib: float | None = None,
    environment: dict[str, str] | None = None,
    sampler_share: float = 1.0,
    one_core: bool = False,
    **keywords: Any,
) -> dict[str, Any]:
    """Call `module:function(**keywords)` in a fresh process and measure it.

    address_limit_gib: RLIMIT_AS of that process, so that what does not fit fails there and not the machine.
    one_core: let the process run on one core only, so that nothing of it runs beside another part.
    sampler_share: of a core, at most, for sampling. A sample of a large process takes 10 ms, and what keeps every core
    busy is slowed by that: a quarter of a core was lost. Small shares see peaks of the tree less finely.
    Returns: `result` (what the function returned; None where it ran out of memory), `out_of_memory`, seconds (start of
    the process to its end), cpu_seconds, peak_tree_mib (sampled PSS of the process and its children), peak_main_mib
    (VmHWM of the process itself), peak_child_mib (largest child), others_cores (mean cores that other processes used:
    0 on a quiet machine).
    """
    with tempfile.TemporaryDirectory(prefix="semsim-bench-") as folder:
        out = Path(folder) / "out.json"
        order = {
            "task": task,
            "keywords": keywords,
            "out": str(out),
            "address_limit_gib": address_limit_gib,
            "one_core": one_core,
        }
        command = [sys.executable, "-m", "benchmarks.measure", json.dumps(order)]
        before, began = _busy(), time.perf_counter()
        mine = time.process_time()
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(environment or {})})
        samples = list(_samples(process, sampler_share))
        seconds = time.perf_counter() - began
        busy = _busy() - before
        if not out.exists():
            raise RuntimeError(f"{task} {keywords} ended with exit code {process.returncode} and no result")
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    sampler = time.process_time() - mine
    found["seconds"] = round(seconds, 3)
    found["peak_tree_mib"] = round(max((size for _, size in samples), default=0.0), 1)
    found["others_cores"] = round(max(0.0, (busy - found["cpu_seconds"] - sampler) / seconds), 2)
    stages = found.get("stages")
    if stages:
        found["stages"] = _with_peaks(stages, samples)
    return found


def _samples(process: subprocess.Popen[bytes], share: float) -> Iterator[tuple[float, float]]:
    """(time, MiB of the tree) until the process ends."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        began = time.thread_time()
        yield time.time(), _tree_mib(root)
        until = time.monotonic() + max(SAMPLE_SECONDS, (time.thread_time() - began) / share)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(SAMPLE_SECONDS)


def _tree_mib(root: psutil.Process) -> float:
    total = 0.0
    try:
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    for each in family:
        try:
            total += _pss(each.pid)
        except OSError:
            continue
    return total / MIB


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _with_peaks(stages: list[dict[str, Any]], samples: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Each stage with its length and the tree's peak within it."""
    ends = [stage["at"] for stage in stages[1:]] + [samples[-1][0] if samples else stages[-1]["at"]]
    out = []
    for stage, end in zip(stages, ends, strict=True):
        inside = [size for at, size in samples if stage["at"] <= at <= end]
        row = {key: value for key, value in stage.items() if key != "at"}
        out.append({**row, "seconds": round(end - stage["at"], 3), "peak_tree_mib": round(max(inside, default=0), 1)})
    return out


def _busy() -> float:
    """CPU-seconds that the whole machine has spent, without idle, waiting for disks, and what others stole."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return 0.0
    user, nice, system, _idle, _wait, irq, soft = map(int, stat.read_text().split("\n", 1)[0].split()[1:8])
    return (user + nice + system + irq + soft) / CLOCK_TICKS


# --- inside the measured process ---------------------------------------------------------------------------------


class Stages:
    """A `Progress` that notes when each stage began."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def start(self, stage: str, total: int | None) -> None:
        self.rows.append({"stage": stage, "total": total, "at": time.time()})

    def update(self, *, done: int, failed: int = 0, new: int = 0) -> None:
        if self.rows:
            self.rows[-1] |= {"done": done, "failed": failed, "new": new}

    def say(self, message: str) -> None:
        self.rows.append({"stage": "say", "message": message, "at": time.time()})


def cpu_seconds() -> float:
    """User and system time of this process and its ended children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def status_mib(field: str) -> float:
    """VmRSS or VmHWM of this process."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def above() -> Iterator[dict[str, float]]:
    """Fills {seconds, cpu_seconds, peak_above_mib} of the block; the peak is above what was resident before it."""
    row: dict[str, float] = {}
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    resident, cpu, began = status_mib("VmRSS"), cpu_seconds(), time.perf_counter()
    yield row
    row["seconds"] = round(time.perf_counter() - began, 4)
    row["cpu_seconds"] = round(cpu_seconds() - cpu, 4)
    row["peak_above_mib"] = round(status_mib("VmHWM") - resident, 1)


def median_seconds(action: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median, least and most of some repeats of an action, in seconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return {
        "median": round(statistics.median(times), 4),
        "least": round(min(times), 4),
        "most": round(max(times), 4),
        "repeats": repeats,
    }


def main() -> None:
    """The measured process: `python -m benchmarks.measure '{"task": "module:function", …}'`."""
    order = json.loads(sys.argv[1])
    if order["address_limit_gib"] is not None:
        limit = int(order["address_limit_gib"] * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if order["one_core"]:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    module, _, function = order["task"].partition(":")
    action = getattr(importlib.import_module(module), function)
    result, out_of_memory = None, False
    try:
        result = action(**order["keywords"])
    except MemoryError:
        out_of_memory = True
    found: dict[str, Any] = {
        "result": result,
        "out_of_memory": out_of_memory,
        "cpu_seconds": round(cpu_seconds(), 2),
        "peak_main_mib": round(status_mib("VmHWM"), 1),
        "peak_child_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
    }
    if isinstance(result, dict) and "stages" in result:
        found["stages"] = result.pop("stages")
    Path(order["out"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
