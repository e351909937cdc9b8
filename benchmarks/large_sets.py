"""The whole score card beyond 50,000 images a side: does memory stay flat, and does each value say what it is of?

Made-up float32 rows of width 512. Above 50,000 images a side what compares all pairs of images does so on a seeded
sample; what one pass can do uses every row. Every size is a process of its own, with one thread, so that its
CPU-seconds are work.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks import machine, measure
from benchmarks.score_card_speed import ONE_THREAD, sides

NAME = "large_sets"
D = 512
SIZES, QUICK_SIZES = (100_000, 200_000), (2_000, 4_000)
QUICK_MOST = 1_000
"""Images a side that `--quick` compares exactly, so that its small sets are sampled too."""


def card(n: int, d: int, most: int | None) -> dict[str, Any]:
    """Every metric and the headline of n against n rows. most: images a side compared exactly; None as shipped."""
    from semsim_pipeline.metrics import large_sets
    from semsim_pipeline.metrics.base import EmbeddedSet, Pair
    from semsim_pipeline.metrics.score_card import score_card
    from semsim_pipeline.metrics.similarity import similarity_of
    from semsim_pipeline.records import Background

    large_sets.MOST_EXACT = most or large_sets.MOST_EXACT
    a, b = sides(n, d)
    background = Background(id="benchmark", bandwidth=0.5, source="made up", kappa=0.02, mean=np.zeros(d))
    small = [EmbeddedSet(name, rows[:50]) for name, rows in (("a", a), ("b", b))]
    score_card(Pair(reference=small[0], candidate=small[1], background=background))  # pays imports
    pair = Pair(reference=EmbeddedSet("a", a), candidate=EmbeddedSet("b", b), background=background)
    began = time.perf_counter()
    with measure.above() as total:
        found = score_card(pair)
        headline = similarity_of(pair)
    return {
        "n": n,
        "d": d,
        "data_mib": round((a.nbytes + b.nbytes) / measure.MIB, 1),
        **total,
        "seconds_of_card": round(time.perf_counter() - began, 1),
        "sampled": headline.sampled,
        "similarity": headline.raw,
        "interval": list(headline.interval),
        "notes": sorted({row.note for row in found.values() if row.note}),
        "of_a_sample": sorted(name for name, row in found.items() if row.note),
        "of_every_image": sorted(name for name, row in found.items() if row.status == "ok" and not row.note),
        "not_computed": {name: row.reason for name, row in found.items() if row.status != "ok"},
    }


def main() -> None:
    """Each size in turn; every one is written as soon as it is known."""
    quick = machine.arguments(__doc__).quick
    about = machine.describe()
    rows: list[dict[str, Any]] = []
    body = {"what": "the whole score card of synthetic float32 rows; peak memory above the data", "sizes": rows}
    for n in QUICK_SIZES if quick else SIZES:
        most = QUICK_MOST if quick else None
        found = measure.run("benchmarks.large_sets:card", **ONE_THREAD, n=n, d=D, most=most)
        rows.append({**found["result"], "others_cores": found["others_cores"]})
        print({key: rows[-1][key] for key in ("n", "cpu_seconds", "peak_above_mib", "sampled", "notes")}, flush=True)
        print(machine.save(NAME, about, body, quick=quick))


if __name__ == "__main__":
    main()
