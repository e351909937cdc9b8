"""The offline experiment as a user runs it: `semsim rescore --catalog data/experiments/cifake_offline.yaml`.

From nothing, in a home of its own: all of CIFAKE embedded with `mini` and `classical`, every pair of the catalogue
scored and drawn, the pages written. The scores are read from that home; `benchmarks.evidence.experiments_page` writes
them into the docs.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine, measure

NAME = "offline_experiment"
CATALOG = machine.ROOT / "data" / "experiments" / "cifake_offline.yaml"
QUICK_LIMIT = 40


def rescore(catalog: str, home: str) -> dict[str, Any]:
    """The command itself, in this process."""
    import os

    from semsim_pipeline.cli.app import run

    os.environ["SEMSIM_HOME"] = home
    return {"exit_code": run(["rescore", "--quiet", "--catalog", catalog])}


def scores(home: Path) -> dict[str, Any]:
    """What the home's catalogue has now: comparison → rows."""
    from semsim_pipeline.stages.score_store import current_score
    from semsim_pipeline.stages.workspace import Workspace

    workspace = Workspace.open(home)
    found: dict[str, Any] = {}
    for name, comparison in workspace.catalog.comparisons.items():
        rows = []
        for key in comparison.pairs:
            stored = current_score(home, key)
            if stored is None:
                raise SystemExit(f"{key} has no score; see the pages in {home}")
            one, other = comparison.labels[key]
            rows.append({"reference": one, "candidate": other, **_row(stored.comparison.to_json())})
        found[name] = rows
    return found


def _row(found: dict[str, Any]) -> dict[str, Any]:
    headline = found["similarity"]
    return {
        "encoder": found["encoder"]["name"] if isinstance(found["encoder"], dict) else found["encoder"],
        "n": [found["reference"]["n"], found["candidate"]["n"]],
        "similarity": headline["value"],
        "interval": headline["interval"],
        "verdict": headline["verdict"],
        "mean_cosine": found["metrics"]["mean_cosine"]["value"],
    }


def main() -> None:
    """One run; the archive is put beside a copy of the catalogue, as its head says."""
    quick, archive = machine.arguments(__doc__).quick, machine.cifake()
    about, folder = machine.describe(), Path(tempfile.mkdtemp(prefix="semsim-offline-"))
    try:
        catalog = folder / CATALOG.name
        text = CATALOG.read_text(encoding="utf-8")
        if quick:
            text = text.replace("cifake-train.zip", f"cifake-train.zip[limit={20 * QUICK_LIMIT}]", 1)
            lines = text.replace("limit: 1000", f"limit: {QUICK_LIMIT}").splitlines()
            text = "\n".join(lines[: next(i for i, line in enumerate(lines) if "has learned nothing" in line)])
        catalog.write_text(text, encoding="utf-8")
        (folder / "cifake-train.zip").symlink_to(archive)
        home = folder / "home"
        ran = measure.run("benchmarks.offline_experiment:rescore", catalog=str(catalog), home=str(home))
        if ran["result"]["exit_code"] != 0:
            raise SystemExit(f"`semsim rescore` ended with {ran['result']['exit_code']}")
        body = {"what": "semsim rescore on the offline experiment, from nothing", "run": ran}
        body["comparisons"] = scores(home / "experiments" / CATALOG.stem)
        print(machine.save(NAME, about, body, quick=quick))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
