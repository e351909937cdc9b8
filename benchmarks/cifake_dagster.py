"""All of CIFAKE through Dagster: a backfill of the whole graph, launched over GraphQL at a live `semsim ui`.

45 pairs of REAL classes and REAL against FAKE class by class, 5,000 images a side, one partition a run as the UI
launches them. Time per stage comes from the materialisations' own metadata; memory from the whole tree of processes:
web server, daemon, code server and runs.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "cifake_dagster"
EXPERIMENT = machine.ROOT / "data" / "experiments" / "cifake_offline.yaml"
QUICK_LIMIT = 100
STAGES = ("dataset_manifest", "embeddings", "pair_metrics", "pair_plots", "similarity_matrix", "report")
DAEMON_SECONDS = 6 * 3600.0


def prepare(home: Path, archive: Path, *, quick: bool) -> None:
    """The experiment's catalogue in a fresh home, with the archive's place written in."""
    home.mkdir(parents=True, exist_ok=True)
    text = EXPERIMENT.read_text(encoding="utf-8").replace("cifake-train.zip", str(archive))
    # The 55 pairs of classes; all of REAL against all of FAKE is benchmarks.cifake_full's.
    text = re.sub(r"  real-vs-fake-overall:\n(?:    .*\n)+", "", text)
    if quick:
        text = text.replace("by: class", f"by: class\n    limit: {QUICK_LIMIT}")
        text = text.replace("match: class", f"match: class\n    limit: {QUICK_LIMIT}")
    (home / "catalog.yaml").write_text(text, encoding="utf-8")


def backfill(home: str) -> dict[str, Any]:
    """Launch it, wait for its end, and read back what each partition says of itself."""
    from semsim_pipeline.catalog import load_catalog
    from semsim_pipeline_tests.defs.live import live_ui

    catalog = load_catalog(Path(home))
    partitions = {
        "dataset_manifest": catalog.dataset_keys(),
        "embeddings": catalog.embedding_keys(),
        "pair_metrics": list(catalog.pairs),
        "pair_plots": list(catalog.pairs),
        "similarity_matrix": list(catalog.comparisons),
        "report": list(catalog.comparisons),
    }
    with live_ui(Path(home)) as ui:
        began = time.perf_counter()
        status = ui.backfill(partitions, seconds=DAEMON_SECONDS)
        seconds = time.perf_counter() - began
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        runs = set()
        for stage in STAGES:
            for partition in partitions[stage]:
                [event] = ui.events(stage, partition)
                runs.add(event["run"])
                found = {"partition": partition, "seconds": event["metadata"]["seconds"]}
                if stage == "pair_metrics":
                    found["similarity"] = event["metadata"]["similarity"]
                    found["verdict"] = event["metadata"]["verdict"]
                rows[stage].append(found)
    return {
        "status": status,
        "backfill_seconds": round(seconds, 1),
        "runs": len(runs),
        "seconds_in_stage": {stage: round(sum(row["seconds"] for row in rows[stage]), 1) for stage in STAGES},
        "partitions": {stage: len(rows[stage]) for stage in STAGES},
        "pairs": rows["pair_metrics"],
    }


def again(home: str) -> dict[str, Any]:
    """The same catalogue in one process, nothing changed."""
    from semsim_pipeline.defs.inprocess import rescore_in_process
    from semsim_pipeline.progress import Silent

    began = time.perf_counter()
    found = rescore_in_process(Path(home), Silent())
    return {
        "seconds_in_process": round(time.perf_counter() - began, 2),
        "current": found.current,
        "computed": found.computed,
        "failures": [each.line for each in found.failures],
    }


def main() -> None:
    """The backfill, then the unchanged catalogue in bulk."""
    quick, archive = machine.arguments(__doc__).quick, machine.cifake()
    about = machine.describe()
    body: dict[str, Any] = {
        "what": "CIFAKE train, 100,000 images, `classical`: one partition a run, two runs at a time"
    }
    folder = Path(tempfile.mkdtemp(prefix="semsim-cifake-dagster-"))
    try:
        prepare(folder / "home", archive, quick=quick)
        body["backfill"] = measure.run("benchmarks.cifake_dagster:backfill", home=str(folder / "home"))
        machine.save(NAME, about, body, quick=quick)
        body["unchanged_in_bulk"] = measure.run("benchmarks.cifake_dagster:again", home=str(folder / "home"))
        file = machine.save(NAME, about, body, quick=quick)
        kept = machine.RESULTS / "quick" / NAME
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder / "home" / "reports", kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = body["backfill"]["result"]
    print(f"{found['status']} in {found['backfill_seconds']} s over {found['runs']} runs, peak "
          f"{body['backfill']['peak_tree_mib']} MiB for all processes: {file}")  # fmt: skip


if __name__ == "__main__":
    main()
