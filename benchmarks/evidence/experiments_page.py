"""The tables of docs/experiments.md, from the result: `uv run python -m benchmarks.evidence.experiments_page`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml
from scipy.stats import spearmanr

from benchmarks import machine
from benchmarks.evidence.tables import filled, table, write_page

PAGE = machine.ROOT / "docs" / "experiments.md"
COLUMNS = (
    ("`mini`, 1,000 unseen a class", "mini", "-unseen"),
    ("`classical`, the same images", "classical", "-unseen"),
    ("`classical`, all 5,000", "classical", ""),
)
"""Heading, encoder, and what follows a comparison's name."""


def _of(name: str, encoder: str) -> dict[frozenset[str], dict[str, Any]]:
    rows = machine.load("offline_experiment")["comparisons"][name]
    return {frozenset((row["reference"], row["candidate"])): row for row in rows if row["encoder"] == encoder}


def _published() -> dict[tuple[str, str], float]:
    """By pair of classes, largest first, as the experiment's catalogue has them."""
    catalog = yaml.safe_load((machine.ROOT / "data" / "experiments" / "cifar10_classes.yaml").read_text("utf-8"))
    [stated] = [each["published"] for each in catalog["comparisons"].values() if "published" in each]
    return {(a, b): value for a, b, value in sorted(stated["values"], key=lambda row: -row[2])}


def published() -> str:
    stated = _published()
    columns = [_of(f"real-classes{rest}", encoder) for _, encoder, rest in COLUMNS]
    rows = [
        [f"{a}-{b}", f"{value:.3f}", *(f"{column[frozenset((a, b))]['similarity']:.3f}" for column in columns)]
        for (a, b), value in stated.items()
    ]
    rho = []
    for column in columns:
        ours = [column[frozenset(pair)]["similarity"] for pair in stated]
        rho.append(f"{spearmanr(list(stated.values()), ours).statistic:.2f}")
    head = ["pair", "CLIP ViT-B/32, mean cosine", *(name for name, *_ in COLUMNS)]
    return table(head, [*rows, ["**Spearman's ρ with the published**", "", *rho]])


def nearest() -> str:
    columns = [_of(f"real-classes{rest}", encoder) for _, encoder, rest in COLUMNS]
    classes = sorted({name for pair in columns[0] for name in pair})
    rows = []
    for name in classes:
        cells = []
        for column in columns:
            pair, row = max(((p, r) for p, r in column.items() if name in p), key=lambda each: each[1]["similarity"])
            [other] = pair - {name}
            cells.append(f"{other} {row['similarity']:.2f}")
        rows.append([name, *cells])
    return table(["class", *(name for name, *_ in COLUMNS)], rows, left=4)


def generated() -> str:
    columns = [_of(f"real-vs-fake{rest}", encoder) for _, encoder, rest in COLUMNS]
    [overall] = machine.load("offline_experiment")["comparisons"]["real-vs-fake-overall"]
    rows = [[name, *_cells(column[frozenset((name,))] for column in columns)] for name in _classes(columns[0])]
    rows.append(["**all classes together**", "", "", *_cells([overall])])
    return table(["class", *(name for name, *_ in COLUMNS)], rows)


def _classes(column: dict[frozenset[str], dict[str, Any]]) -> list[str]:
    return sorted(name for pair in column for name in pair)


def _cells(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [f"{row['similarity']:.3f} ({row['interval'][0]:.3f} … {row['interval'][1]:.3f})" for row in rows]


TABLES = {"published": published, "nearest": nearest, "generated": generated}


def written(text: str) -> str:
    """The page with every table as the result has it."""
    return filled(text, TABLES)


if __name__ == "__main__":
    write_page(PAGE, TABLES)
