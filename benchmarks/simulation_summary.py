"""The simulation study's trials as a table: coverage, false alarms and power, with their own 95 % noise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

ALPHA = 0.05
COVERAGE = (0.92, 0.98)
KNOWN = {"similarity": 1.0, "kid": 0.0}
UNBIASED = ("similarity", "kid", "mean_cosine")
"""Their truth does not depend on n: 1 and 0 for equal sets, else the mean over the largest balanced trials (of the
headline, a ratio of unbiased means, to 1/n²). The truth of the others is what samples of these very sizes show on
average: the mean over the trials themselves."""
MOST_ALARMS, LEAST_POWER = 0.06, 0.9
Trials = Mapping[tuple[str, str, int, int], list[dict[str, Any]]]


def by_setting(rows: Iterable[Mapping[str, Any]]) -> Trials:
    """(population, case, n, m) to its trials."""
    found: defaultdict[tuple[str, str, int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        name, case, n, m, _ = row["key"]
        found[name, case, n, m].append(dict(row))
    return found


def settings(trials: Trials) -> list[dict[str, Any]]:
    """One row a setting."""
    out = []
    for (name, case, n, m), rows in sorted(trials.items()):
        p_values = np.array([row["p_value"] for row in rows])
        body: dict[str, Any] = {"population": name, "case": case, "n": n, "m": m, "trials": len(rows)}
        body["rejected"] = round(float((p_values <= ALPHA).mean()), 4)
        body["unreliable"] = sum(row["status"] == "unreliable" for row in rows)
        if case in {"equal", "unlike"}:
            balanced = [key for key in trials if key[:2] == (name, case) and key[2] == key[3]]
            largest = trials[max(balanced, key=lambda key: key[2])]
            known = KNOWN if case == "equal" else {}
            truth = {
                metric: known.get(metric, _mean(largest if metric in UNBIASED else rows, metric))
                for metric in rows[0]["values"]
            }
            body["truth"] = {metric: round(true, 8) for metric, true in truth.items()}
            body["coverage"] = {metric: round(_covered(rows, metric, true), 4) for metric, true in truth.items()}
        out.append(body)
    return out


def _mean(rows: list[dict[str, Any]], metric: str) -> float:
    return float(np.mean([row["values"][metric][0] for row in rows]))


def _covered(rows: list[dict[str, Any]], metric: str, true: float) -> float:
    return float(np.mean([row["values"][metric][1] <= true <= row["values"][metric][2] for row in rows]))


def pooled_alarms(found: Iterable[Mapping[str, Any]]) -> float:
    """The share of all equal pairs with p <= 0.05."""
    equal = [row for row in found if row["case"] == "equal"]
    return round(sum(row["rejected"] * row["trials"] for row in equal) / sum(row["trials"] for row in equal), 4)


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
        if row["case"] not in {"equal", "unlike"} and row["rejected"] < LEAST_POWER:
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
