"""Do the intervals hold what they promise, and the test its level? Many small experiments with a known truth.

Coverage: how often the 95 % interval holds the truth (wanted: 0.92 to 0.98). False alarms: how often equal sets get
p <= 0.05 (at most 0.06). Power: how often a lost mode of 5 %, or a spread of 0.9, gets p <= 0.05 (at least 0.9).
Every trial is seeded by what it is, and kept: interrupted, the study goes on where it stopped.
`--part i/k` runs every k-th trial only; without it the results are written too.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice, product
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.simulation_populations import population

NAME = "simulation_study"
SIZES = ((100, 100), (100, 20), (300, 300), (300, 60), (1000, 1000), (1000, 200))
POPULATIONS = ("mixture", "cifake")
POWER = {"mixture": ("dropped", "shrunk"), "cifake": ("dropped", "dropped class", "shrunk")}
ALPHA = 0.05
Key = tuple[str, str, int, int, int]


def plan(trials: int) -> Iterator[Key]:
    """(population, case, n, m, number) of every trial; all settings of a population advance together."""
    for name, number in product(POPULATIONS, range(trials)):
        for (n, m), case in product(SIZES, ("equal", "unlike")):
            yield name, case, n, m, number
        for case in POWER[name]:
            yield name, case, 1000, 1000, number


def trial(key: Key) -> dict[str, Any]:
    """One experiment: values, intervals, p."""
    from threadpoolctl import threadpool_limits

    from semsim_pipeline.metrics.base import EmbeddedSet, Pair
    from semsim_pipeline.metrics.similarity import similarity_of
    from semsim_pipeline.records import Background
    from semsim_pipeline.seeding import generator

    name, case, n, m, number = key
    source = population(name)
    began = time.process_time()
    with threadpool_limits(limits=1):
        left, right = source.draw(generator(0, NAME, name, case, n, m, number), case, n, m)
        scale = Background(id=name, bandwidth=source.bandwidth, source=name, kappa=0.05)
        pair = Pair(
            reference=EmbeddedSet("reference", left), candidate=EmbeddedSet("candidate", right), background=scale
        )
        found = similarity_of(pair)
        rows = {"similarity": (found.raw, *found.interval)}
        if case in {"equal", "unlike"}:
            rows |= _card(pair)
    row = {"key": list(key), "p_value": found.p_value, "status": found.status, "values": rows}
    return row | {"cpu_seconds": round(time.process_time() - began, 4)}


def _card(pair: Any) -> dict[str, tuple[float, float, float]]:
    from semsim_pipeline.metrics.c2st import c2st
    from semsim_pipeline.metrics.cosine import mean_cosine
    from semsim_pipeline.metrics.cosine_interval import mean_cosine_interval
    from semsim_pipeline.metrics.kid import kid
    from semsim_pipeline.metrics.kid_interval import kid_interval
    from semsim_pipeline.metrics.prdc import support_of
    from semsim_pipeline.metrics.support_interval import share_interval

    a, b = pair.reference, pair.candidate
    distance, support, separable = kid(a, b), support_of(pair), c2st(a, b)
    found = {
        "mean_cosine": (mean_cosine(a, b), mean_cosine_interval(a, b)),
        "kid": (distance, kid_interval(pair, distance)),
        "precision": (support.precision, share_interval(support.precision, len(b), len(a))),
        "recall": (support.recall, share_interval(support.recall, len(a), len(b))),
        "c2st_auc": (separable.auc, separable.interval),
    }
    return {name: (value, *(interval or (value, value))) for name, (value, interval) in found.items()}


def run(keys: Iterable[Key], one: Callable[[Key], dict[str, Any]], file: Path) -> None:
    """`one` of every trial that is not kept yet, in two processes."""
    kept = {tuple(row["key"]) for row in read(file)}
    waiting = [key for key in keys if key not in kept]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    file.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool, file.open("a", encoding="utf-8") as out:
        for number, row in enumerate(pool.map(one, waiting, chunksize=8), 1):
            print(json.dumps(row), file=out, flush=True)
            if number % 200 == 0:
                print(f"{number}/{len(waiting)}", flush=True)


def read(file: Path) -> list[dict[str, Any]]:
    """The trials that are kept."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def main() -> None:
    """Run what is missing, then write the result and print the table."""
    from benchmarks.simulation_summary import by_setting, markdown, misses, pooled_alarms, settings

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 trials a setting; writes under results/quick/")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--part", default="0/1", metavar="I/K", help="only every K-th trial, and write no result")
    given = parser.parse_args()
    at_start = machine.describe()
    trials = 20 if given.quick else given.trials
    one, of = (int(each) for each in given.part.split("/"))
    file = machine.RESULTS / "quick" / f"{NAME}_trials.jsonl"
    run(islice(plan(trials), one, None, of), trial, file)
    if of > 1:
        return
    wanted = set(plan(trials))
    rows = [row for row in read(file) if tuple(row["key"]) in wanted]
    found = settings(by_setting(rows))
    body = {
        "alpha": ALPHA,
        "cpu_seconds_of_all_trials": round(sum(row["cpu_seconds"] for row in rows)),
        "false_alarms_over_all": pooled_alarms(found),
        "settings": found,
        "misses": misses(found),
    }
    print(markdown(found))
    print("\n".join(body["misses"]) or "nothing misses")
    print(machine.save(NAME, at_start, body, quick=given.quick))


if __name__ == "__main__":
    main()
