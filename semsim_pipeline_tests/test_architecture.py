"""The shape of the package itself: sizes, names, layers, and one file for each registered thing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import semsim_pipeline
from semsim_pipeline.datasets.base import SOURCES
from semsim_pipeline.encoders.base import ENCODERS
from semsim_pipeline.metrics.base import METRICS
from semsim_pipeline.plots.base import PLOTS
from semsim_pipeline.training.objectives.base import OBJECTIVES

PACKAGE = Path(semsim_pipeline.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
REGISTRIES = {
    "datasets": ("SOURCES", SOURCES),
    "encoders": ("ENCODERS", ENCODERS),
    "metrics": ("METRICS", METRICS),
    "plots": ("PLOTS", PLOTS),
    "training/objectives": ("OBJECTIVES", OBJECTIVES),
}
FILE_OF_FAMILY = {"open_clip": "openclip"}
"""A module called `open_clip` would hide the library of that name from a reader."""


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_one_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert path.stem not in VAGUE
    assert "TO" + "DO" not in text
    raised = [ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Raise)]
    assert not [each for each in raised if "NotImplemented" in each]


def test_the_import_contracts_hold() -> None:
    root = PACKAGE.parent
    if not (root / "pyproject.toml").is_file():
        pytest.skip("an installed package has no import contracts beside it")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("folder", REGISTRIES)
def test_a_file_is_called_as_what_it_registers(folder: str) -> None:
    variable, registry = REGISTRIES[folder]
    names = {name.split(":")[0].replace("-", "_") for name in registry.names()}
    stems = {FILE_OF_FAMILY.get(name, name) for name in names}
    registering = {path.stem for path in (PACKAGE / folder).glob("*.py") if _registers(path, variable)}
    assert registering
    assert registering <= stems


def _registers(path: Path, variable: str) -> bool:
    """Whether the module calls `VARIABLE.add(...)`."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == variable
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


@pytest.mark.parametrize("folder", REGISTRIES)
def test_every_registered_name_is_unique_and_says_what_it_is(folder: str) -> None:
    entries = list(REGISTRIES[folder][1])
    assert len({entry.name for entry in entries}) == len(entries) > 0  # type: ignore[attr-defined]
