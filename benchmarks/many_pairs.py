"""All 45 pairs of ten classes, 1,000 images each: one process beside a `semsim compare` a pair, both on a warm store.

The separate comparisons are SAMPLED (four of the 45) and scaled; the file says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks import machine, measure
from semsim_pipeline.datasets.cifake import CLASSES

NAME = "many_pairs"
LIMIT, QUICK_LIMIT = 1_000, 100
SAMPLED = (0, 14, 29, 44)


def pairs_of(archive: str, classes: int) -> list[tuple[str, str]]:
    """All pairs of the first few classes of REAL."""
    views = [f"cifake:{archive}[label=REAL,class={name}]" for name in CLASSES[:classes]]
    return list(combinations(views, 2))


def one_process(archive: str, home: str, limit: int, classes: int, metrics: list[str] | None = None) -> dict[str, Any]:
    """Every pair through `compare_pairs`; counts how often a set is made and a part opened."""
    import pyarrow.parquet as pq

    from semsim_pipeline.comparison import run, sets
    from semsim_pipeline.metrics.base import EmbeddedSet

    opened = {"sets": 0, "parts": 0}

    class CountedSet(EmbeddedSet):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            opened["sets"] += 1
            super().__init__(*args, **kwargs)

    class CountedFile(pq.ParquetFile):
        def __init__(self, source: Any, *args: Any, **kwargs: Any) -> None:
            opened["parts"] += Path(str(source)).name.startswith("part-")
            super().__init__(source, *args, **kwargs)

    sets.EmbeddedSet, pq.ParquetFile = CountedSet, CountedFile  # type: ignore[misc]
    stages = measure.Stages()
    options = run.CompareOptions(limit=limit, home=Path(home), metrics=metrics)
    pairs = pairs_of(archive, classes)
    values = [found.value for found in run.compare_pairs(pairs, "classical", options, stages)]
    embeds = [stage for stage in stages.rows if stage["stage"] == "embed"]
    return {
        "pairs": len(pairs),
        "values": values,
        "sets_made": opened["sets"],
        "part_files_opened": opened["parts"],
        "new_images": sum(stage.get("new", 0) for stage in embeds),
        "stages": stages.rows,
    }


def separate(archive: str, home: str, limit: int, classes: int, sampled: list[int]) -> dict[str, Any]:
    """`semsim compare` as a process of its own for some of the pairs."""
    pairs, times = pairs_of(archive, classes), []
    for number in sampled:
        command = [sys.executable, "-m", "semsim_pipeline", "compare", *pairs[number], "--limit", str(limit)]
        began = time.perf_counter()
        subprocess.run(
            [*command, "--json", "-", "--quiet"], env={**os.environ, "SEMSIM_HOME": home},
            stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        times.append(round(time.perf_counter() - began, 3))
    return {"seconds_each": times}


def _timed(task: str, **keywords: Any) -> dict[str, Any]:
    row = measure.run(f"benchmarks.many_pairs:{task}", **keywords)
    print(f"{task}: {row['seconds']} s, {row['cpu_seconds']} CPU-s, {row['peak_tree_mib']} MiB", flush=True)
    return row


def main() -> None:
    """Cold, warm, separate; then the headline alone."""
    quick, archive = machine.arguments(__doc__).quick, str(machine.cifake())
    limit, classes = (QUICK_LIMIT, 4) if quick else (LIMIT, len(CLASSES))
    count = len(pairs_of(archive, classes))
    sampled = [0, count - 1] if quick else list(SAMPLED)
    about = machine.describe()
    body: dict[str, Any] = {
        "what": f"{count} pairs of {classes} CIFAKE REAL classes, {limit} images each, classical, whole score card",
        "target": "each set opened once; at least 10 times faster than separate comparisons",
        "said_plainly": f"separate comparisons: {len(sampled)} of {count} measured on a warm store, mean x {count}",
    }
    with tempfile.TemporaryDirectory(prefix="semsim-pairs-") as home:
        common = {"archive": archive, "home": home, "limit": limit, "classes": classes}
        body["first_run_with_extraction"] = _timed("one_process", **common)
        machine.save(NAME, about, body, quick=quick)
        body["unchanged"] = _timed("one_process", **common)
        machine.save(NAME, about, body, quick=quick)
        body["separate_sampled"] = _timed("separate", **common, sampled=sampled)
        body["headline_only"] = _timed("one_process", **common, metrics=["similarity"])
    each = body["separate_sampled"]["result"]["seconds_each"]
    body["separate_seconds_scaled"] = round(sum(each) / len(each) * count, 1)
    body["ratio"] = round(body["separate_seconds_scaled"] / body["unchanged"]["seconds"], 2)
    body["seconds_per_pair"] = round(body["unchanged"]["seconds"] / count, 3)
    first, again = (body[name]["result"]["values"] for name in ("first_run_with_extraction", "unchanged"))
    body["same_values_again"] = first == again
    print(f"{body['ratio']}x, {body['seconds_per_pair']} s a pair: {machine.save(NAME, about, body, quick=quick)}")


if __name__ == "__main__":
    main()
