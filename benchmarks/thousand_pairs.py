"""1,000 pairs (50 synthetic datasets of 500 images, two encoders) in one process; then the same with nothing changed.

One picture a pair (the scale): drawing maps of 1,000 pairs is another question. Everything else is the real path:
manifests, extraction, scores, pictures, matrix, page, and the job `rescore` that records all of it in Dagster.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from benchmarks import machine, measure, synthetic

NAME = "thousand_pairs"
SIZES = {"datasets": 50, "rows": 500, "neighbours": 10}
QUICK = {"datasets": 6, "rows": 60, "neighbours": 3}
DIMS = (64, 512)


def _workspace(home: str) -> Any:
    from semsim_pipeline.plots import draw
    from semsim_pipeline.plots.base import PLOTS
    from semsim_pipeline.stages.workspace import Workspace

    synthetic.register()
    draw.PLOTS = [PLOTS.get("scale")]  # type: ignore[assignment]
    return Workspace.open(Path(home))


def embed(home: str, sizes: dict[str, int]) -> dict[str, Any]:
    """Datasets, catalogue, manifests and embeddings."""
    from semsim_pipeline.stages.bulk import plan
    from semsim_pipeline.stages.embeddings import embed_dataset
    from semsim_pipeline.stages.manifest import refresh_manifest

    pairs = synthetic.write_home(Path(home), **sizes, dims=DIMS)
    workspace = _workspace(home)
    work = plan(workspace)
    for dataset in work.datasets:
        refresh_manifest(workspace, dataset)
    embedded = [embed_dataset(workspace, key).numbers["embedded"] for key in work.embeddings]
    return {"pairs": pairs, "embedded": sum(embedded), "sets": len(embedded)}


def score(home: str) -> dict[str, Any]:
    """Every pair through the bulk path; counts how often a part is opened for its rows."""
    from semsim_pipeline.stages.bulk import plan
    from semsim_pipeline.stages.outcome import Failure
    from semsim_pipeline.stages.scores import score_pairs
    from semsim_pipeline.store import reader

    opened: Counter[str] = Counter()
    original = reader.row_groups

    def counted(path: Path, dim: int) -> Any:
        opened[str(path)] += 1
        return original(path, dim)

    reader.row_groups = counted
    workspace = _workspace(home)
    began, cpu = time.perf_counter(), measure.cpu_seconds()
    found = list(score_pairs(workspace, plan(workspace).pairs))
    seconds, cpu = time.perf_counter() - began, measure.cpu_seconds() - cpu
    failed = [each for each in found if isinstance(each, Failure)]
    return {
        "scored": sum(not isinstance(each, Failure) and each.computed for each in found),
        "failed": len(failed),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "cpu_ms_a_pair": round(1000 * cpu / len(found), 2),
        "parts_read": len(opened),
        "most_reads_of_one_part": max(opened.values(), default=0),
    }


def everything(home: str) -> dict[str, Any]:
    """The whole graph in the core; per stage: partitions, computed, milliseconds of CPU a partition."""
    from semsim_pipeline.stages.bulk import bring_up_to_date, plan
    from semsim_pipeline.stages.outcome import Failure

    workspace = _workspace(home)
    began, cpu = time.perf_counter(), measure.cpu_seconds()
    stages: defaultdict[str, dict[str, float]] = defaultdict(
        lambda: {"partitions": 0, "computed": 0, "cpu_seconds": 0.0}
    )
    last = cpu
    for found in bring_up_to_date(workspace, plan(workspace)):
        if isinstance(found, Failure):
            raise found.error
        now = measure.cpu_seconds()
        row = stages[found.stage]
        row["partitions"] += 1
        row["computed"] += found.computed
        row["cpu_seconds"] += now - last
        last = now
    pairs = stages["pair_metrics"]["partitions"]
    seconds, cpu = time.perf_counter() - began, measure.cpu_seconds() - cpu
    return {
        "computed": sum(row["computed"] for row in stages.values()),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "cpu_ms_a_pair": round(1000 * cpu / pairs, 3),
        "by_stage": {name: {**row, "cpu_seconds": round(row["cpu_seconds"], 3)} for name, row in stages.items()},
    }


def status(home: str) -> dict[str, Any]:
    """`semsim status` of all pairs."""
    from semsim_pipeline.stages.status import status_of

    workspace = _workspace(home)
    began, cpu = time.perf_counter(), measure.cpu_seconds()
    states = Counter(each.state for each in status_of(workspace).values())
    cpu = measure.cpu_seconds() - cpu
    return {"states": dict(states), "seconds": round(time.perf_counter() - began, 3),
            "cpu_ms_a_pair": round(1000 * cpu / states.total(), 3)}  # fmt: skip


def recorded(home: str) -> dict[str, Any]:
    """The job `rescore` in this process: the same work, and Dagster's events."""
    from semsim_pipeline.defs.inprocess import rescore_in_process
    from semsim_pipeline.progress import Silent

    _workspace(home)
    began, cpu = time.perf_counter(), measure.cpu_seconds()
    found = rescore_in_process(Path(home), Silent())
    return {"current": found.current, "computed": found.computed, "failures": len(found.failures),
            "seconds": round(time.perf_counter() - began, 2),
            "cpu_seconds": round(measure.cpu_seconds() - cpu, 2)}  # fmt: skip


def main() -> None:
    """Embed, score, draw and report; then again, in the core and through Dagster."""
    quick = machine.arguments(__doc__).quick
    sizes = QUICK if quick else SIZES
    about = machine.describe()
    body: dict[str, Any] = {
        "what": f"{sizes['datasets']} datasets x {sizes['rows']} rows, d = {DIMS}, whole score card, 999 permutations",
        "target": "each set read once; unchanged: 0 computed, below 1 ms a pair in the core",
    }
    folder = Path(tempfile.mkdtemp(prefix="semsim-thousand-"))
    try:
        home = str(folder / "home")
        steps = [
            ("embed", "embed", {"sizes": sizes}), ("score", "score", {}), ("pictures_and_pages", "everything", {}),
            ("unchanged_core", "everything", {}), ("status", "status", {}),
            ("dagster_records_all", "recorded", {}), ("dagster_unchanged", "recorded", {}),
        ]  # fmt: skip
        for name, task, keywords in steps:
            body[name] = measure.run(f"benchmarks.thousand_pairs:{task}", home=home, **keywords)
            print(f"{name}: {body[name]['seconds']} s, {body[name]['cpu_seconds']} CPU-s, "
                  f"{body[name]['peak_tree_mib']} MiB, {body[name]['result']}", flush=True)  # fmt: skip
            file = machine.save(NAME, about, body, quick=quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(file)


if __name__ == "__main__":
    main()
