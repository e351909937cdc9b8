"""A dataset that grew by 1 %: 5,000 CIFAKE images embedded with `classical`, then 50 more, then none."""

from __future__ import annotations

import shutil
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "grown_dataset"
N, QUICK_N = 5_000, 300
SHARE = 0.01
WARM = 20
RACY = 2.5
"""Seconds. A file that is younger when it is scanned is read once more by the next scan."""


def unpack(archive: str, folder: Path, first: int, last: int) -> None:
    """Images number first to last of REAL as files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as found:
        names = sorted(name for name in found.namelist() if "/REAL/" in name and name.endswith(".jpg"))
        for name in names[first:last]:
            (folder / Path(name).name).write_bytes(found.read(name))
    time.sleep(RACY)


def bring_up_to_date(home: str) -> dict[str, Any]:
    """Manifest and embeddings of the one dataset, in one process; what each read and cost.

    A few other images are embedded before: importing the encoder's libraries is no cost of an image.
    """
    from dataclasses import replace

    from semsim_pipeline.extract.records import ExtractOptions
    from semsim_pipeline.stages.embeddings import embed_dataset
    from semsim_pipeline.stages.manifest import refresh_manifest
    from semsim_pipeline.stages.workspace import Workspace

    workspace = replace(Workspace.open(Path(home)), extract=ExtractOptions(workers=1))
    refresh_manifest(workspace, "warm")
    embed_dataset(workspace, "warm@classical")
    (Path(home) / "pipeline" / "embeddings" / "warm@classical.json").unlink()
    shutil.rmtree(Path(home) / "warm")
    rows: dict[str, Any] = {}
    for name, stage, key in (("scan", refresh_manifest, "photos"), ("embed", embed_dataset, "photos@classical")):
        began, cpu = time.perf_counter(), measure.cpu_seconds()
        found = stage(workspace, key)
        rows[name] = {
            "seconds": round(time.perf_counter() - began, 3),
            "cpu_seconds": round(measure.cpu_seconds() - cpu, 3),
            "images": found.numbers["images"],
            "new": found.numbers["read_in_this_scan" if name == "scan" else "new_images"],
        }
    return rows


def main() -> None:
    """All, then 1 % more, then nothing more."""
    quick, archive = machine.arguments(__doc__).quick, str(machine.cifake())
    n = QUICK_N if quick else N
    more = round(n * SHARE)
    about = machine.describe()
    body: dict[str, Any] = {"what": f"{n:,} CIFAKE images in a folder, classical, one process; then {more} more",
                            "target": "about 1 % of the extraction's cost"}  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="semsim-grown-"))
    try:
        home = folder / "home"
        unpack(archive, home / "photos", 0, n)
        (home / "catalog.yaml").write_text(
            "datasets: {photos: photos, warm: warm}\nencoders: {classical: classical}\n"
            "comparisons: {itself: {pairs: [[photos, photos], [warm, warm]]}}\n",
            encoding="utf-8",
        )
        for step, (name, new) in enumerate((("whole", 0), ("one_percent_more", more), ("nothing_more", 0))):
            unpack(archive, home / "photos", n, n + new)
            start = 2 * n + step * WARM
            unpack(archive, home / "warm", start, start + WARM)
            body[name] = measure.run("benchmarks.grown_dataset:bring_up_to_date", home=str(home))
            print(f"{name}: {body[name]['result']}", flush=True)
            file = machine.save(NAME, about, body, quick=quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    cost = {
        name: body[name]["result"]["embed"]["cpu_seconds"] for name in ("whole", "one_percent_more", "nothing_more")
    }
    body["embed_cpu_share"] = {name: round(each / cost["whole"], 4) for name, each in cost.items()}
    print(body["embed_cpu_share"], machine.save(NAME, about, body, quick=quick), file)


if __name__ == "__main__":
    main()
