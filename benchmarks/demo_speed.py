"""`semsim demo` from an empty home and again, and how long Dagster's code location takes to load."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "demo_speed"
LOADS, QUICK_LOADS = 5, 2
LOAD = "import time; t = time.perf_counter(); import semsim_pipeline.definitions; print(time.perf_counter() - t)"
BASE = "import time; t = time.perf_counter(); import dagster; print(time.perf_counter() - t)"


def demo() -> dict[str, Any]:
    """One demo in this process's SEMSIM_HOME."""
    from semsim_pipeline.defs.inprocess import rescore_in_process
    from semsim_pipeline.home import ensure_home

    stages = measure.Stages()
    began = time.perf_counter()
    found = rescore_in_process(ensure_home(), stages)
    return {
        "partitions": found.current,
        "computed": found.computed,
        "failures": len(found.failures),
        "seconds_without_start": round(time.perf_counter() - began, 2),
        "stages": stages.rows,
    }


def load_seconds(code: str, home: str, loads: int) -> float:
    """Median seconds of an import in a fresh process."""
    times = []
    for _ in range(loads):
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=machine.ROOT,
            env={**os.environ, "SEMSIM_HOME": home},
        )  # fmt: skip
        times.append(float(ran.stdout))
    return round(statistics.median(times), 2)


def ten_thousand_pairs(home: Path) -> str:
    """A home whose catalogue has 10,011 pairs."""
    home.mkdir()
    classes = ", ".join(f"c{i}" for i in range(142))
    (home / "catalog.yaml").write_text(
        f"datasets: {{big: {{spec: big, values: {{label: [{classes}]}}}}}}\nencoders: {{classical: classical}}\n"
        "comparisons: {all: {across: big, by: label}}\n",
        encoding="utf-8",
    )
    return str(home)


def main() -> None:
    """The demo twice, then the loads."""
    quick = machine.arguments(__doc__).quick
    about = machine.describe()
    body: dict[str, Any] = {"targets": {"first_seconds": 90, "again_seconds": 15, "load_seconds": 3}}
    with tempfile.TemporaryDirectory(prefix="semsim-demo-") as folder:
        home = {"SEMSIM_HOME": str(Path(folder) / "home")}
        body["first"] = measure.run("benchmarks.demo_speed:demo", environment=home)
        body["again"] = measure.run("benchmarks.demo_speed:demo", environment=home)
        loads = QUICK_LOADS if quick else LOADS
        body["load_seconds"] = {
            "dagster_alone": load_seconds(BASE, home["SEMSIM_HOME"], loads),
            "code_location": load_seconds(LOAD, home["SEMSIM_HOME"], loads),
            "code_location_10011_pairs": load_seconds(LOAD, ten_thousand_pairs(Path(folder) / "big"), loads),
        }
    file = machine.save(NAME, about, body, quick=quick)
    print(
        f"first {body['first']['seconds']} s, again {body['again']['seconds']} s, load {body['load_seconds']}: {file}"
    )


if __name__ == "__main__":
    main()
