"""Write the tables under docs/reference from the registries and from the command line itself.

Run `uv run python -m docs.build_reference`; a test fails while the files on disk say something else.
"""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `uv run python -m docs.build_reference`; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """File name to text."""
    return {"cli.md": cli(), "metrics.md": metrics(), "encoders.md": encoders(), "sources.md": sources()}


def cli() -> str:
    """The help of every command."""
    from semsim_pipeline.cli.app import semsim

    def walk(command: click.Command, name: str, parent: click.Context | None) -> list[str]:
        # As the command line itself builds it: options such as -h are inherited from the parent's context.
        settings = {**command.context_settings, "max_content_width": 110, "terminal_width": 110}
        context = click.Context(command, parent=parent, info_name=name, **settings)
        out = [f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"]
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                if found is not None:
                    out += walk(found, below, context)
        return out

    codes = "Exit codes: 0 success, 1 the work failed, 2 a wrong call, 130 Ctrl-C. Results on stdout, talk on stderr.\n"
    return "# Command line\n\n" + NOTE + codes + "\n" + "\n".join(walk(semsim, "semsim", None))


def metrics() -> str:
    """Every metric with its facts."""
    from semsim_pipeline.metrics.base import metric_facts

    closer = {True: "higher", False: "lower", None: "–"}
    rows = [
        [
            f"`{f.name}`",
            f.group,
            f.meaning,
            closer[f.higher_is_closer],
            f"{f.range[0]:g} … {f.range[1]:g}",
            "" if f.at_identity is None else f"{f.at_identity:g}",
            "yes" if f.symmetric else "no",
            str(f.min_samples),
            f.cost,
            f"no: {f.no_null}" if f.no_null else "yes",
            f.source,
        ]
        for f in metric_facts().values()
    ]
    head = [
        "metric",
        "group",
        "what it says",
        "closer",
        "range",
        "itself",
        "symmetric",
        "fewest",
        "cost",
        "if equal",
        "source",
    ]
    return "# Metrics\n\n" + NOTE + table(head, rows)


def encoders() -> str:
    """Every encoder with its facts."""
    from semsim_pipeline.encoders.base import ENCODERS

    rows = [
        [
            f"`{kind.example if kind.name.endswith(':') else kind.name}`",
            "any" if kind.facts.dim is None else str(kind.facts.dim),
            kind.facts.preprocessing,
            kind.facts.pooling,
            kind.facts.weights,
            kind.facts.licence,
            kind.facts.source,
        ]
        for kind in ENCODERS
    ]
    return (
        "# Encoders\n\n"
        + NOTE
        + "Networks but `inception-fid` take large JPEGs decoded small: "
        + "[what that changes](../sources.md#what-is-decoded). "
        + "A path behind a name that stands alone (`dinov2-s-14//path/model.safetensors`, `dinov2-s-14/relative.pt`) "
        + "is a local copy of its weights; all else stays as in its row.\n\n"
        + table(["encoder", "d", "preprocessing", "pooling", "weights", "licence", "source"], rows)
    )


def sources() -> str:
    """Every kind of source."""
    from semsim_pipeline.datasets.base import SOURCES

    rows = [[f"`{k.name}`", k.summary, f"`{k.example}`", ", ".join(k.options), k.licence] for k in SOURCES]
    return "# Sources\n\n" + NOTE + table(["source", "what it is", "example", "options", "licence"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
