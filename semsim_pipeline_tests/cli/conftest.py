"""The command line in this process: one home a module, what it printed, and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from semsim_pipeline.cli.app import run
from semsim_pipeline_tests.pictures import write_pictures

N = 36


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        """stdout as JSON, and as nothing but JSON, without NaN and Infinity."""

        def refuse(constant: str) -> float:
            raise AssertionError(f"{constant} in the JSON")

        found = json.loads(self.out, parse_constant=refuse)
        return found if isinstance(found, dict) else {"list": found}

    def one_line(self) -> str:
        """stderr, which is one clear line and no traceback."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("semsim: "), self.err
        assert "Traceback" not in self.err
        return lines[0]


Semsim = Callable[..., Ran]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """This module's SEMSIM_HOME; no weights, no network."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(folder))
        patch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("COLUMNS", "200")
        yield folder


@pytest.fixture
def semsim(home: Path, capsys: pytest.CaptureFixture[str]) -> Semsim:
    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(each) for each in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return call


@pytest.fixture
def new_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SEMSIM_HOME of this test alone, not made yet."""
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "own-home"))
    return tmp_path / "own-home"


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "semsim_pipeline", *(str(each) for each in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "stripes", N, seed=1)


@pytest.fixture(scope="session")
def other_stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "other", N, seed=2)


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "blobs", N, seed=3, kind="blobs")


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels of 30 pictures each."""
    folder = tmp_path_factory.mktemp("labelled")
    write_pictures(folder / "stripes", 30, seed=4)
    write_pictures(folder / "blobs", 30, seed=5, kind="blobs")
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The spec of a small network with random weights, from a checkpoint on disk."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), path)
    return f"timm:test_vit/{path}"


@pytest.fixture(scope="session")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five categories of six pictures: the smallest panel that a background can be measured on."""
    folder = tmp_path_factory.mktemp("panel")
    for number in range(5):
        write_pictures(folder / f"category-{number}", 6, seed=20 + number, kind=("stripes", "blobs")[number % 2])
    return folder
