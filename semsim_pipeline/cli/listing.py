"""`semsim list`: what there is, generated from the registries."""

from __future__ import annotations

import math

import click

WHAT = ("datasets", "encoders", "metrics")


@click.command(name="list", short_help="What there is: datasets, encoders, metrics.")
@click.argument("what", type=click.Choice(WHAT))
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts: one object an entry.")
def list_(what: str, *, as_json: bool) -> None:
    """List the kinds of datasets, the encoders, or the metrics with what each means.

    \b
    Example: semsim list metrics
             semsim list metrics --json
    """
    if as_json:
        click.echo(_json(what))
        return
    from rich.markup import escape

    from semsim_pipeline.cli.output import bare_table, stdout

    columns, rows = {"datasets": _datasets, "encoders": _encoders, "metrics": _metrics}[what]()
    table = bare_table()
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    stdout().print(table)


def _json(what: str) -> str:
    """The entries as JSON; a metric's facts whole, an open bound as null."""
    import json

    if what != "metrics":
        columns, rows = {"datasets": _datasets, "encoders": _encoders}[what]()
        return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1, ensure_ascii=False)
    from semsim_pipeline.metrics.base import metric_facts

    return json.dumps(
        [
            {
                "metric": facts.name,
                "group": facts.group,
                "higher_is_closer": facts.higher_is_closer,
                "range": [bound if math.isfinite(bound) else None for bound in facts.range],
                "at_identity": facts.at_identity,
                "symmetric": facts.symmetric,
                "min_samples": facts.min_samples,
                "needs": list(facts.needs),
                "meaning": facts.meaning,
                "source": facts.source,
            }
            for facts in metric_facts().values()
        ],
        indent=1,
        ensure_ascii=False,
    )


def _datasets() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    from semsim_pipeline.datasets.base import SOURCES

    return ("source", "what it is", "example", "licence"), [
        (kind.name, kind.summary, kind.example, kind.licence) for kind in SOURCES
    ]


def _encoders() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    from semsim_pipeline.encoders.base import ENCODERS

    return ("encoder", "d", "input", "weights", "licence", "source"), [
        (
            kind.example if kind.name.endswith(":") else kind.name,
            "any" if kind.facts.dim is None else str(kind.facts.dim),
            "any" if kind.facts.input_size is None else f"{kind.facts.input_size} px",
            kind.facts.weights,
            kind.facts.licence,
            kind.facts.source,
        )
        for kind in ENCODERS
    ]


def _metrics() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    from semsim_pipeline.metrics.base import metric_facts

    direction = {True: "higher", False: "lower", None: "–"}
    return ("metric", "closer", "range", "what it says", "source"), [
        (
            facts.name,
            direction[facts.higher_is_closer],
            f"{_bound(facts.range[0])} … {_bound(facts.range[1])}",
            facts.meaning,
            facts.source,
        )
        for facts in metric_facts().values()
    ]


def _bound(value: float) -> str:
    return {float("inf"): "∞", float("-inf"): "-∞"}.get(value, f"{value:g}")
