"""The documentation says what the program does: tables are current, links lead somewhere, examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("benchmarks/*.md")]
)

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="needs a checkout")


def fences(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def test_reference_tables_are_what_the_registries_say() -> None:
    from docs.build_reference import FOLDER, pages

    for name, text in pages().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "run: uv run python -m docs.build_reference"


OF_OUR_OWN = {"mean_cosine", "relative_cosine", "exact_duplicates"}
"""Metrics that are their own definition: there is no paper to name."""


def papers_of(source: str) -> list[tuple[str, str]]:
    """(authors, year) of each paper that a registry's source names.

    >>> papers_of("Chong & Forsyth 2020, at n; Gretton et al. 2012")
    [('Chong & Forsyth', '2020'), ('Gretton', '2012')]
    """
    return re.findall(r"([^\W\d_][\w-]*(?: & [^\W\d_][\w-]*)?)(?: et al\.)? (\d{4})", source)


def formulas() -> dict[str, tuple[str, str, str]]:
    """Metric to (value, if equal, paper), from the page's table."""
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", text.split("## Formulas and papers")[1], re.M)
    assert len({row[0] for row in rows}) == len(rows)
    return {name: (value, equal, paper) for name, value, equal, paper in rows}


def test_every_metric_has_its_formula_and_its_paper() -> None:
    from semsim_pipeline.metrics.base import metric_facts

    facts, said = metric_facts(), formulas()
    assert set(said) == set(facts)
    for name, (value, equal, paper) in said.items():
        assert len(value) > 5, name
        assert (equal == "–") == bool(facts[name].no_null), name
        named = papers_of(facts[name].source)
        assert bool(named) != (name in OF_OUR_OWN), f"{name}: {facts[name].source}"
        for authors, year in named:
            assert re.search(rf"\b{re.escape(authors)}(?: et al\.)? {year}\b", paper), f"{name}: {authors} {year}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_semsim_line_in_the_docs_parses() -> None:
    import click

    from semsim_pipeline.cli.app import semsim

    lines = [
        line.split("#")[0].strip()
        for page in PAGES
        for block in fences(page, "sh")
        for line in block.splitlines()
        if line.startswith("semsim ")
    ]
    assert len(lines) >= 6
    for line in lines:
        command: click.Command = semsim
        words = shlex.split(line)[1:]
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        # A context of its own would cache a help option without -h on the command that other tests share.
        command.make_context(command.name, words, parent=click.Context(semsim, **semsim.context_settings))


def test_the_readmes_two_commands_come_first_and_are_what_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = [block.strip() for block in fences(ROOT / "README.md", "sh")[:2]]
    assert first == [
        "pip install uv && uv run semsim demo",
        "pip install uv && uv run pytest",
    ]
    assert readme.index(first[1]) < readme.index("## ")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "uv run pytest" in ci
    assert "uv run semsim demo" in ci


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path))
    for block in fences(ROOT / "README.md", "python"):
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "related" in printed
    assert "uncalibrated" in printed


def test_what_the_readme_prints_is_what_the_command_prints(tmp_path, monkeypatch, capsys) -> None:
    from semsim_pipeline.cli.app import run

    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path))
    assert (
        run(["compare", "digits", "digits-generated", "--encoder", "classical", "--metrics", "mean_cosine", "--quiet"])
        == 0
    )
    printed = capsys.readouterr().out
    [row] = [line for line in fences(ROOT / "README.md", "text")[0].splitlines() if line.startswith("digits ")]
    said = re.findall(r"\d\.\d+", row)
    found = re.search(r"Similarity ([\d.]+)  \(95 %: ([\d.]+) to ([\d.]+)\)", printed)
    floor = re.search(r"score ([\d.]+) \(floor\)", printed)
    assert found is not None
    assert floor is not None
    # A library's next version may move the last digit; more than that is another result.
    assert [float(x) for x in said] == pytest.approx([float(x) for x in (*found.groups(), floor[1])], abs=0.002)
    assert row.endswith("indistinguishable")
    assert "→  indistinguishable" in printed


def test_the_catalogues_in_the_docs_are_right(tmp_path: Path) -> None:
    from semsim_pipeline.catalog import parse, read_catalog

    blocks = [block for page in PAGES for block in fences(page, "yaml")]
    assert blocks
    for block in blocks:
        assert parse(block, tmp_path / "catalog.yaml").pairs
    for path in sorted((ROOT / "data").glob("**/*.yaml")):
        assert read_catalog(path).pairs
