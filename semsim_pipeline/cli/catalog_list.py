"""A catalogue as tables, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from semsim_pipeline.catalog import Catalog, Comparison
from semsim_pipeline.cli.output import bare_table, stdout

MOST_CLASSES = 6


def as_json(catalog: Catalog) -> str:
    """Everything, with each comparison's keys."""
    return json.dumps(
        {
            "path": None if catalog.path is None else str(catalog.path),
            "datasets": {
                name: {"spec": each.spec, "values": {column: list(values) for column, values in each.values.items()}}
                for name, each in catalog.datasets.items()
            },
            "encoders": dict(catalog.encoders),
            "comparisons": {name: _comparison(each) for name, each in catalog.comparisons.items()},
        },
        indent=2,
        ensure_ascii=False,
    )


def _comparison(each: Comparison) -> dict[str, object]:
    return {
        "title": each.title,
        "description": each.description,
        "kind": each.kind,
        "by": each.by,
        "encoders": list(each.encoders),
        "seed": each.seed,
        "limit": each.limit,
        "schedule": each.schedule,
        "thresholds": {"similarity": each.thresholds.similarity, "failed_images": each.thresholds.failed_images},
        "pairs": list(each.pairs),
    }


def print_catalog(catalog: Catalog) -> None:
    """Three tables on stdout."""
    console = stdout()
    console.print(f"{catalog.path or 'the packaged catalogue (there is none of your own)'}", style="dim", markup=False)
    datasets = [
        (name, each.spec, "; ".join(f"{column}: {_some(values)}" for column, values in each.values.items()))
        for name, each in catalog.datasets.items()
    ]
    console.print(_table(("dataset", "source", "classes"), datasets))
    console.print(_table(("encoder", "is"), list(catalog.encoders.items())))
    comparisons = [
        (name, each.title, f"{len(each.pairs):,}", ", ".join(each.encoders), each.schedule or "", _thresholds(each))
        for name, each in catalog.comparisons.items()
    ]
    console.print(_table(("comparison", "title", "pairs", "encoders", "schedule", "checks"), comparisons))


def _thresholds(each: Comparison) -> str:
    lowest = each.thresholds.similarity
    said = [] if lowest is None else [f"similarity ≥ {lowest:g}"]
    return ", ".join([*said, f"failed ≤ {each.thresholds.failed_images:g}"])


def _some(values: Sequence[str]) -> str:
    more = f" and {len(values) - MOST_CLASSES} more" if len(values) > MOST_CLASSES else ""
    return ", ".join(values[:MOST_CLASSES]) + more


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = bare_table()
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table
