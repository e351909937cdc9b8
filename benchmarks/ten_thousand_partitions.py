"""10,100 pairs in the catalogue: loading the code location, a tick of the automation, and what a page of the UI asks.

Nothing of it is scored: what costs time here is the number of keys. The catalogue compares every two of 101 datasets
under two encoders; their images are embedded, so that a tick has pairs to ask for. The server is a real `semsim ui`,
asked over GraphQL as the browser asks it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "ten_thousand_partitions"
DATASETS, QUICK_DATASETS = 101, 11
CHANGED = 5
IMAGES = 2
STATUSES = """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode {
  partitionKeys
  assetPartitionStatuses { __typename ... on DefaultPartitionStatuses {
    materializedPartitions failedPartitions unmaterializedPartitions materializingPartitions } } } } }"""
GRAPH = "{ assetNodes { id assetKey { path } dependencyKeys { path } groupName partitionDefinition { description } } }"


def write_home(home: Path, datasets: int) -> int:
    """The catalogue and its folders of a few images each. Returns the number of pairs."""
    from semsim_pipeline_tests.pictures import write_pictures

    names = [f"set-{number:03d}" for number in range(datasets)]
    for number, name in enumerate(names):
        write_pictures(home / name, IMAGES, seed=number)
    pairs = list(combinations(names, 2))
    lines = ["datasets:", *(f"  {name}: {name}" for name in names)]
    lines += ["encoders: {one: classical, two: classical}", "comparisons:", "  all:", "    pairs:"]
    lines += [f"      - [{one}, {other}]" for one, other in pairs]
    (home / "catalog.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 2 * len(pairs)


def load(home: str) -> dict[str, Any]:
    """Catalogue, partitions, definitions; and the snapshot that daemon and web server work on."""
    began, cpu = time.perf_counter(), measure.cpu_seconds()
    import dagster as dg

    imported = measure.cpu_seconds() - cpu
    os.environ["SEMSIM_HOME"] = home
    from semsim_pipeline.catalog import load_catalog

    before = measure.cpu_seconds()
    catalog = load_catalog(Path(home))
    read = measure.cpu_seconds() - before
    before = measure.cpu_seconds()
    from semsim_pipeline.definitions import defs

    made = measure.cpu_seconds() - before
    before = measure.cpu_seconds()
    size = len(dg.serialize_value(_snapshot(defs)))
    return {
        "pairs": len(catalog.pairs),
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": {
            "import dagster": round(imported, 2),
            "read the catalogue": round(read, 2),
            "definitions (they read it again)": round(made, 2),
            "snapshot": round(measure.cpu_seconds() - before, 2),
        },
        "snapshot_mib": round(size / 2**20, 2),
    }


def _snapshot(defs: Any) -> Any:
    from dagster._core.remote_representation.external_data import RepositorySnap

    return RepositorySnap.from_def(defs.get_repository_def())


def tick(home: str) -> dict[str, Any]:
    """Evaluate the package's conditions: with all pairs to score, with nothing new, with five datasets changed."""
    import dagster as dg

    from semsim_pipeline.stages.workspace import Workspace
    from semsim_pipeline_tests.pictures import write_pictures

    os.environ["SEMSIM_HOME"] = home
    from semsim_pipeline.definitions import defs

    workspace = Workspace.open(Path(home))
    names = sorted(workspace.catalog.datasets)
    rows: dict[str, Any] = {}
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = None
        for name, changed in (("all_to_score", names), ("nothing_new", []), ("five_changed", names[:CHANGED]),
                              ("nothing_new_again", [])):  # fmt: skip
            if changed and cursor is not None:
                for dataset in changed:
                    write_pictures(Path(home) / dataset, 1, seed=len(names), name="one-more.png")
                workspace = Workspace.open(Path(home))
            for event in _up_to_embeddings(workspace, changed):
                instance.report_runless_asset_event(event)
            began, cpu = time.perf_counter(), measure.cpu_seconds()
            found = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=cursor)
            rows[name] = {
                "seconds": round(time.perf_counter() - began, 3),
                "cpu_seconds": round(measure.cpu_seconds() - cpu, 3),
                "pairs_requested": found.get_num_requested(dg.AssetKey("pair_metrics")),
            }
            cursor = found.cursor
    return rows


def _up_to_embeddings(workspace: Any, datasets: list[str]) -> Iterator[Any]:
    """What the runs of some datasets' manifests and embeddings would tell Dagster."""
    from semsim_pipeline.defs.results import event_of
    from semsim_pipeline.stages.embeddings import embed_dataset
    from semsim_pipeline.stages.manifest import refresh_manifest

    for dataset in datasets:
        yield event_of(refresh_manifest(workspace, dataset))
    for key in workspace.catalog.embedding_keys():
        if key.partition("@")[0] in datasets:
            yield event_of(embed_dataset(workspace, key))


def page(home: str, repeats: int) -> dict[str, Any]:
    """A live server: time until it answers for the catalogue, and the median time of what two pages ask."""
    import json

    from semsim_pipeline_tests.defs.live import live_ui

    began = time.perf_counter()
    with live_ui(Path(home)) as ui:
        rows: dict[str, Any] = {"up_and_loaded_seconds": round(time.perf_counter() - began, 2)}
        asked = {
            "graph_of_assets": (GRAPH, {}),
            "pair_metrics": (STATUSES, {"k": {"path": ["pair_metrics"]}}),
            "pair_plots": (STATUSES, {"k": {"path": ["pair_plots"]}}),
        }
        for name, (text, variables) in asked.items():
            times, size = [], 0
            for _ in range(repeats):
                before = time.perf_counter()
                size = len(json.dumps(ui.query(text, **variables)))
                times.append(time.perf_counter() - before)
            rows[name] = {
                "first_seconds": round(times[0], 3),
                "median_seconds": round(statistics.median(times), 3),
                "kib": round(size / 1024, 1),
            }
    return rows


def main() -> None:
    """Load, tick, page."""
    quick = machine.arguments(__doc__).quick
    about = machine.describe()
    folder = Path(tempfile.mkdtemp(prefix="semsim-ten-thousand-"))
    try:
        home = folder / "home"
        home.mkdir()
        pairs = write_home(home, QUICK_DATASETS if quick else DATASETS)
        body: dict[str, Any] = {"what": f"{pairs:,} pairs, twice as many keys with their pictures; nothing scored"}
        steps: dict[str, dict[str, Any]] = {"load": {}, "tick": {}, "page": {"repeats": 5}}
        for name, keywords in steps.items():
            body[name] = measure.run(f"benchmarks.ten_thousand_partitions:{name}", home=str(home), **keywords)
            print(f"{name}: {body[name]['cpu_seconds']} CPU-s, {body[name]['result']}", flush=True)
            file = machine.save(NAME, about, body, quick=quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(file)


if __name__ == "__main__":
    main()
