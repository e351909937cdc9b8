"""The real run: all 100,000 CIFAKE images through `classical`, to the end.

The 45 pairs of REAL classes, REAL against FAKE class by class, and REAL against FAKE overall (50,000 x 50,000). Three
processes on one home: extraction, the 55 class pairs, the overall pair; so each has its own peak.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks import machine, measure
from semsim_pipeline.datasets.cifake import CLASSES

NAME = "cifake_full"
QUICK_LIMIT = 200


def extract(archive: str, home: str, limit: int | None) -> dict[str, Any]:
    """Every image, or a sample of each class and label where `limit` is given."""
    from semsim_pipeline.datasets.resolve import open_view
    from semsim_pipeline.encoders.resolve import resolve_encoder
    from semsim_pipeline.extract.run import embed_view

    stages = measure.Stages()
    rest = "" if limit is None else f"[limit={20 * limit}]"
    done = embed_view(open_view(f"cifake:{archive}{rest}"), resolve_encoder("classical"), Path(home), None, stages)
    return {
        "seen": done.seen,
        "embedded": done.embedded,
        "failed": done.failed,
        "new_distinct": done.new,
        "embed_images_per_second": round(done.images_per_second, 1),
        "stages": stages.rows,
    }


def score(home: str, pairs: list[list[str]], limit: int | None) -> dict[str, Any]:
    """Pairs through `stream_pairs`, with the seconds of each (the first one's includes opening the sets)."""
    from semsim_pipeline.comparison.run import CompareOptions, stream_pairs

    stages = measure.Stages()
    options = CompareOptions(limit=limit, home=Path(home))
    rows = []
    began = time.perf_counter()
    for found in stream_pairs([(a, b) for a, b in pairs], "classical", options, stages):
        seconds, began = time.perf_counter() - began, time.perf_counter()
        rows.append({"seconds": round(seconds, 3), **found.to_json()})
        print(f"  {len(rows)}/{len(pairs)} {found.value} {found.verdict.text} {seconds:.1f} s", file=sys.stderr)
    scoring = next(stage["at"] for stage in stages.rows if stage["stage"] == "score")
    rows[0]["seconds"] = round(rows[0]["seconds"] - (scoring - stages.rows[0]["at"]), 3)
    return {"pairs": rows, "stages": stages.rows}


def table(values: dict[tuple[str, str], float | None]) -> str:
    """Class x class as text, the upper triangle."""
    lines = [" " * 11 + "".join(f"{name[:6]:>8}" for name in CLASSES)]
    for a in CLASSES:
        cells = []
        for b in CLASSES:
            value = values.get((a, b))
            cells.append(f"{value:8.3f}" if value is not None else " " * 7 + ("=" if a == b else "."))
        lines.append(f"{a:11}" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Extraction, class pairs, overall; written after each."""
    quick, archive = machine.arguments(__doc__).quick, str(machine.cifake())
    limit = QUICK_LIMIT if quick else None
    about, home = machine.describe(), tempfile.mkdtemp(prefix="semsim-cifake-")
    base = f"cifake:{archive}"
    names = [*combinations(CLASSES, 2), *((name, name) for name in CLASSES)]
    classes = [[f"{base}[label=REAL,class={a}]", f"{base}[label=REAL,class={b}]"] for a, b in names[:45]]
    classes += [[f"{base}[label=REAL,class={a}]", f"{base}[label=FAKE,class={a}]"] for a in CLASSES]
    body: dict[str, Any] = {"what": "CIFAKE train (100,000 images), classical encoder, whole score card"}
    try:
        body["extraction"] = measure.run("benchmarks.cifake_full:extract", archive=archive, home=home, limit=limit)
        _tell("extraction", body, about, quick=quick)
        found = measure.run("benchmarks.cifake_full:score", home=home, pairs=classes, limit=limit)
        rows = found["result"].pop("pairs")
        body["classes"] = found
        body["real_classes"] = [{"a": a, "b": b, **_row(row)} for (a, b), row in zip(names[:45], rows, strict=False)]
        body["real_fake_by_class"] = [{"class": a, **_row(row)} for a, row in zip(CLASSES, rows[45:], strict=True)]
        body["class_table"] = table({(row["a"], row["b"]): row["similarity"] for row in body["real_classes"]})
        _tell("classes", body, about, quick=quick)
        print(body["class_table"])
        for row in body["real_fake_by_class"]:
            print(f"REAL/FAKE {row['class']:11} {row['similarity']} {row['interval']} {row['verdict']}")
        overall = [[f"{base}[label=REAL]", f"{base}[label=FAKE]"]]
        found = measure.run("benchmarks.cifake_full:score", home=home, pairs=overall, limit=limit)
        [row] = found["result"].pop("pairs")
        body["overall"] = {**found, "score": _row(row), "metrics": row["metrics"]}
        _tell("overall", body, about, quick=quick)
        print(f"REAL/FAKE overall {body['overall']['score']}")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _row(found: dict[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    headline, metrics = found["similarity"], found["metrics"]
    return {
        "similarity": headline["value"],
        "interval": headline["interval"],
        "floor": headline["floor"],
        "ceiling": headline["ceiling"]["reference"]["value"],
        "p_value": headline["p_value"],
        "verdict": headline["verdict"],
        "status": headline["status"],
        "n": [found["reference"]["n"], found["candidate"]["n"]],
        "failed": [found["reference"]["failed"], found["candidate"]["failed"]],
        "overlap": found["overlap"],
        "kid": metrics["kid"]["value"],
        "c2st_auc": metrics["c2st_auc"]["value"],
        "knn_mixing": metrics["knn_mixing"]["value"],
        "seconds": found["seconds"],
    }


def _tell(step: str, body: dict[str, Any], about: dict[str, Any], *, quick: bool) -> None:
    row = body[step]
    file = machine.save(NAME, about, body, quick=quick)
    spent = f"{row['seconds']} s, {row['cpu_seconds']} CPU-s"
    print(f"{step}: {spent}, peak {row['peak_tree_mib']} MiB: {file}", flush=True)


if __name__ == "__main__":
    main()
