"""The tables of docs/evidence.md, written from the results between their markers.

Run `uv run python -m benchmarks.evidence.tables`; a test fails while the page says something else than the results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.evidence.scores import NAMES
from semsim_pipeline.metrics.verdict import BANDS, LEAST_HEADROOM, band_of

PAGE = machine.ROOT / "docs" / "evidence.md"
SHORT = {
    "mean_cosine": "mean cosine", "similarity": "**similarity**", "fid": "FID", "kid": "KID", "cmmd": "CMMD",
    "network": "convolutional network", "hog": "HOG and logistic regression", "u": "u (similarity above its floor)",
}  # fmt: skip
ANIMALS = frozenset({"bird", "cat", "deer", "dog", "frog", "horse"})


def table(head: list[str], rows: list[list[str]], *, left: int = 1) -> str:
    """Markdown; the first `left` columns are text."""
    rule = ["---"] * left + ["--:"] * (len(head) - left)
    # |t| in a cell would end it.
    lines = [[cell.replace("|", "\\|") for cell in row] for row in [head, rule, *rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def adversarial() -> str:
    found = machine.load("adversarial_cases")
    head = ["case", "the right answer", "semsim in words", *(SHORT.get(name, name) for name in NAMES)]
    rows = []
    for case in found["cases"]:
        right, words = case["verdict"]["right"], case["verdict"]["words"][0]
        said = words if right is None else f"{'✓' if right else '✗'} {words}"
        marks = [_mark(case["entries"][name]) for name in NAMES]
        rows.append([case["case"], case["rule"], said, *marks])
    judged = [case["verdict"]["right"] for case in found["cases"] if case["verdict"]["right"] is not None]
    wrong = [sum(not case["entries"][name]["right"] for case in found["cases"]) for name in NAMES]
    rows.append([f"**fooled, of {len(rows)}**", "", f"{judged.count(False)} of {len(judged)}", *map(str, wrong)])
    return table(head, rows, left=3)


def _mark(entry: dict[str, Any]) -> str:
    if entry["right"]:
        return "✓"
    return "(✗)" if entry["beyond_noise"] and 0 < entry["t"] < 0.1 else "✗"


def monotone() -> str:
    parts = []
    for encoder, found in machine.load("controlled_shifts")["encoders"].items():
        rows = [[row["shift"], *(f"{row['entries'][name]['rho']:.2f}" for name in NAMES)] for row in found["monotone"]]
        each = {name: [row["entries"][name] for row in found["monotone"]] for name in NAMES}
        rows.append(["**mean**", *(f"{np.mean([x['rho'] for x in each[name]]):.2f}" for name in NAMES)])
        steps = [sum(x["every_step"] for x in each[name]) for name in NAMES]
        rows.append([f"**farther at every step, of {len(found['monotone'])}**", *map(str, steps)])
        head = [f"under `{encoder}`", *(SHORT.get(name, name) for name in NAMES)]
        parts.append(table(head, rows))
    return "\n\n".join(parts)


def equal_sets() -> str:
    rows = []
    [found] = [each for each in machine.load("controlled_shifts")["encoders"].values() if "equal_sets" in each]
    for row in found["equal_sets"]:
        cells = [f"{row[key]['mean']:.{k}f} ± {row[key]['error']:.{k}f}" for key, k in
                 (("similarity", 4), ("fid", 4), ("coverage", 3))]  # fmt: skip
        kid = f"{1e6 * row['kid']['mean']:.1f} ± {1e6 * row['kid']['error']:.1f}"
        share = row["repeats"]
        rows.append([
            f"{row['n']:,} × {row['m']:,}", str(share), *cells[:2], kid, cells[2], f"{row['intervals_that_hold_1']}",
            f"{row['u_in_the_top_band']}", f"{row['interval_in_the_top_band']}",
        ])  # fmt: skip
    head = ["n × m", "repeats", "similarity", "FID", "10⁶ KID", "coverage", "intervals that hold 1", "u ≥ 0.98",
            "whole interval ≥ 0.98"]  # fmt: skip
    return table(head, rows)


def fourier() -> str:
    [found] = [each for each in machine.load("controlled_shifts")["encoders"].values() if "fourier" in each]
    rows = [[f"{row['features']:,}", f"{row['root_mean_square']:.4f}", f"{row['largest']:.4f}"]
            for row in found["fourier"]]  # fmt: skip
    return table(["features", "root mean square error of S", "largest of 25"], rows)


def validity(result: str = "predictive_validity") -> str:
    """result: whose ranking; each encoder beside the classifiers that share nothing with it."""
    found = machine.load(result)
    parts = []
    for encoder, kinds in found["ranking"].items():
        for kind, ranked in kinds.items():
            if found["independent"][encoder] not in {kind, "both"}:
                continue
            rows = []
            for name, row in sorted(ranked["entries"].items(), key=lambda item: -item[1]["rho"]):
                low, high = row["interval"]
                ahead = row["ahead"]
                beside = "" if ahead is None else f"{ahead['interval'][0]:+.2f} … {ahead['interval'][1]:+.2f}"
                rows.append([SHORT.get(name, name), f"{row['rho']:.2f}", f"{low:.2f} … {high:.2f}", beside,
                             f"{row['mean_over_worlds']:.2f}", f"{row['rho_of_share_lost']:.2f}"])  # fmt: skip
            head = ["", "ρ, all pairs", "95 %", "similarity ahead by", "ρ, mean over worlds", "ρ with the share lost"]
            title = f"Rows of `{encoder}` ({found['encoders'][encoder]}), accuracy lost by the {SHORT[kind]}; "
            parts.append(title + f"{ranked['pairs']} pairs:\n\n" + table(head, rows))
    return "\n\n".join(parts)


def bands() -> str:
    found = machine.load("predictive_validity")
    head = ["band of u", "least u"]
    columns: list[list[list[str]]] = []
    for encoder in found["encoders"]:
        for kind in ("network", "hog"):
            if found["independent"][encoder] in {kind, "both"}:
                head.append(f"`{encoder}`, {SHORT[kind]}: pairs")
                head.append("points lost: median (10–90 %)")
                columns.append(_band_rows(found["pairs"], encoder, kind))
    words = [(word, "" if least < 0 else f"{least:g}") for least, word in BANDS]
    words.append(("*too diverse for one number*", "no u"))
    rows = [[*pair, *(cell for column in columns for cell in column[k])] for k, pair in enumerate(words)]
    return table(head, rows, left=1)


def _band_rows(pairs: list[dict[str, Any]], encoder: str, kind: str) -> list[list[str]]:
    """Number of pairs and points lost in each band, and last where the floor leaves too little room for a band."""
    lost: list[list[float]] = [[] for _ in range(len(BANDS) + 1)]
    for row in pairs:
        if encoder in row["scores"]:
            found = row["scores"][encoder]
            band = len(BANDS) if 1 - found["floor"] < LEAST_HEADROOM else band_of(found["u"])
            lost[band].append(100 * row["lost"][kind])
    out = []
    for each in lost:
        if not each:
            out.append(["0", ""])
            continue
        low, middle, high = np.quantile(each, (0.1, 0.5, 0.9))
        out.append([str(len(each)), f"{middle:.0f} ({low:.0f} – {high:.0f})"])
    return out


def class_bands() -> str:
    """Pairs of REAL classes and REAL against FAKE at 5,000 a side, sets that share nothing, by band."""
    full = machine.load("cifake_full")
    [shifts] = [each for each in machine.load("controlled_shifts")["encoders"].values() if "unrelated" in each]
    kinds: dict[str, list[float]] = {"two animals": [], "two machines": [], "animal and machine": []}
    for row in full["real_classes"]:
        animals = (row["a"] in ANIMALS) + (row["b"] in ANIMALS)
        kinds[("two machines", "animal and machine", "two animals")[animals]].append(_u(row))
    kinds["REAL and FAKE of one class"] = [_u(row) for row in full["real_fake_by_class"]]
    kinds["crops of two photographs (the panel)"] = shifts["unrelated"]["panel"]
    kinds["photographs, digits, noise"] = shifts["unrelated"]["photographs_digits_noise"]
    head = ["pairs", "number", "u: least", "median", "most", *(word for _, word in BANDS)]
    rows = []
    for name, values in kinds.items():
        counts = [sum(band_of(u) == k for u in values) for k in range(len(BANDS))]
        rows.append([name, str(len(values)), *(f"{x:.2f}" for x in (min(values), np.median(values), max(values))),
                     *(str(count) if count else "" for count in counts)])  # fmt: skip
    return table(head, rows)


def _u(row: dict[str, Any]) -> float:
    return float((row["similarity"] - row["floor"]) / (1 - row["floor"]))


TABLES: dict[str, Callable[[], str]] = {
    "adversarial": adversarial, "monotone": monotone, "equal sets": equal_sets, "fourier": fourier,
    "validity": validity, "bands": bands, "class bands": class_bands,
}  # fmt: skip


def filled(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """A page with every one of these tables, between its markers, as the results have it."""
    for name, make in tables.items():
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        text = re.sub(f"{begin}.*?{end}", lambda _, b=begin, m=make, e=end: f"{b}\n{m()}\n{e}", text, flags=re.S)
    return text


def write_page(page: Path, tables: Mapping[str, Callable[[], str]]) -> None:
    """Write a page again with these tables."""
    page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    print(page)


def written(text: str) -> str:
    """The page with every table that this module knows as the results have them."""
    return filled(text, TABLES)


if __name__ == "__main__":
    write_page(PAGE, TABLES)
