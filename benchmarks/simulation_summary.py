"""The simulation study's trials as a table: coverage, false alarms and power, with their own 95 % noise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

ALPHA = 0.05
COVERAGE = (0.92, 0.98)
MOST_ALARMS, LEAST_POWER = 0.06, 0.9
Trials = Mapping[tuple[str, str, int, int], list[dict[str, Any]]]


def by_setting(rows: Iterable[Mapping[str, Any]]) -> Trials:
    """(population, case, n, m) to its trials."""
    found: defaultdict[tuple[str, str, int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        name, case, n, m, _ = row["key"]
        found[name, case, n, m].append(dict(row))
    return found


def settings(trials: Trials, truth: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """One row a setting; `truth` by `population case`, then by metric; other metrics' truth is their own mean."""
    out = []
    for (name, case, n, m), rows in sorted(trials.items()):
        known = truth.get(f"{name} {case}", {})
        p_values = np.array([row["p_value"] for row in rows])
        body: dict[str, Any] = {"population": name, "case": case, "n": n, "m": m, "trials": len(rows)}
        body["rejected"] = round(float((p_values <= ALPHA).mean()), 4)
        body["unreliable"] = sum(row["status"] == "unreliable" for row in rows)
        if case in {"equal", "unlike"}:
            body["coverage"] = {}
            body["truth"] = {}
            for metric in rows[0]["values"]:
                value, low, high = np.array([row["values"][metric] for row in rows]).T
                true = known.get(metric, float(value.mean()))
                body["truth"][metric] = round(true, 6)
                body["coverage"][metric] = round(float(((low <= true) & (true <= high)).mean()), 4)
        out.append(body)
    return out


def misses(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """In words: what is outside what was wanted. The noise of 200 trials is ± 0.03 for a coverage of 0.95."""
    out = []
    for row in found:
        where = f"{row['population']}, {row['case']}, {row['n']} against {row['m']}"
        for metric, share in row.get("coverage", {}).items():
            if not COVERAGE[0] <= share <= COVERAGE[1]:
                out.append(f"coverage of {metric} {share:.3f} ({where})")
        if row["case"] == "equal" and row["rejected"] > MOST_ALARMS:
            out.append(f"false alarms {row['rejected']:.3f} ({where})")
        if row["case"] in {"dropped", "shrunk"} and row["rejected"] < LEAST_POWER:
            out.append(f"power {row['rejected']:.3f} ({where})")
    return out


def markdown(found: Iterable[Mapping[str, Any]]) -> str:
    """The table of the docs."""
    metrics = ("similarity", "kid", "mean_cosine", "precision", "recall", "c2st_auc")
    lines = [
        f"| population | sets | n, m | {' | '.join(f'`{metric}`' for metric in metrics)} | p ≤ 0.05 |",
        "|" + "---|" * (len(metrics) + 4),
    ]
    for row in found:
        cells = [f"{row['coverage'][metric]:.3f}" if "coverage" in row else "" for metric in metrics]
        lines.append(
            f"| {row['population']} | {row['case']} | {row['n']:,}, {row['m']:,} | {' | '.join(cells)} "
            f"| {row['rejected']:.3f} |"
        )
    return "\n".join(lines)
