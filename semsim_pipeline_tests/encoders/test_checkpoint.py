from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semsim_pipeline.encoders.checkpoint import read_state_dict
from semsim_pipeline.errors import UnusableWeightsError


class Call:
    """Unpickling it calls `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def written(path: Path, form: str, value: object) -> None:
    """As one of the formats in which torch takes weights."""
    import torch

    if form == "pickle":
        path.write_bytes(pickle.dumps({"trap": value}, protocol=2))
    else:
        content = {"weight": torch.zeros(1), "trap": value}
        protocol = 4 if form == "torch, protocol 4" else 2
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=form != "before torch 1.6")


@pytest.mark.parametrize("form", ["torch", "torch, protocol 4", "before torch 1.6", "pickle"])
@pytest.mark.parametrize(
    ("function", "name"),
    [(open, "open"), (os.system, "system"), (eval, "eval"), (subprocess.Popen, "Popen"), (sys.exit, "exit")],
    ids=["open", "os.system", "eval", "Popen", "sys.exit"],
)
def test_a_malicious_pickle_is_not_run(form: str, function: Callable[..., object], name: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "weights.pt"
    arguments = {"open": (str(mark), "w"), "eval": (f"open({str(mark)!r}, 'w')",), "exit": (1,)}
    written(path, form, Call(function, *arguments.get(name, (f"touch {mark}",))))
    with pytest.raises(UnusableWeightsError, match=rf"would run Python code when opened \([\w.]*{name}\)") as raised:
        read_state_dict(path)
    assert not mark.exists()
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "weights_only" not in str(raised.value)  # torch's advice


def whole_model() -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(2, 3))


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (whole_model, "torch.nn.modules.container.Sequential, torch.nn.modules.linear.Linear"),
        (lambda: {"trap": Call(__import__("torch").hub.load, "somebody/repository", "net")}, "torch.hub.load"),
        (b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93.", "torch.serialization.os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x8c\x03a b\x93.", "a name that it hides"),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94000h\x00h\x01\x93.", "os.system"),
        (b"\x80\x02\x82\x01.", "a name that it hides"),
        (b"c" + b"a" * 900 + b"\nb\n.", "a" * 80),
    ],
    ids=["a model", "torch's own", "a dotted name", "hidden", "from the memo", "an extension", "long"],
)
def test_what_would_run_is_named(content: Any, names: str, tmp_path: Path) -> None:
    import torch

    path = tmp_path / "weights.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content(), path)
    with pytest.raises(UnusableWeightsError, match=rf"would run Python code when opened \({re.escape(names)}\), so"):
        read_state_dict(path)


@pytest.mark.parametrize("protocol", [4, 5])
def test_weights_in_a_form_that_torch_does_not_open_are_not_called_damaged(protocol: int, tmp_path: Path) -> None:
    import torch

    torch.save(whole_model().state_dict(), tmp_path / "weights.pt", pickle_protocol=protocol)
    with pytest.raises(UnusableWeightsError, match=f"a pickle of protocol {protocol}; torch opens 2 safely") as raised:
        read_state_dict(tmp_path / "weights.pt")
    assert "cut short" not in str(raised.value)


def test_a_damaged_archive_with_another_compression_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"trap": Call(eval, "1")}, protocol=2))
        archive.writestr("archive/version", "3\n")
        start = archive.getinfo("archive/data.pkl").header_offset + 30 + len("archive/data.pkl")
    content = bytearray(path.read_bytes())
    content[start + 12 : start + 30] = bytes(18)
    path.write_bytes(content)
    with pytest.raises(UnusableWeightsError):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content",
    [
        b"<!doctype html><html><body>Not found</body></html>",
        b'{"message": "Not found"}',
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 2\n",
        b"hello",
        bytes(range(256)),
    ],
    ids=["page", "json", "lfs", "text", "bytes"],
)
def test_another_file_is_no_malicious_one(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(UnusableWeightsError, match="cannot be read as a checkpoint: it is no file that torch wrote"):
        read_state_dict(path)


def test_a_file_of_torch_before_1_6_cut_anywhere_is_refused_in_one_line(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.arange(3.0)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for keep in range(0, len(whole), 3):
        path.write_bytes(whole[:keep])
        with pytest.raises(UnusableWeightsError, match="cut short") as raised:
            read_state_dict(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("keep", [0, 10, 700])
def test_a_file_cut_short_is_refused_in_one_line(suffix: str, keep: int, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    state = {"weight": torch.arange(1000.0)}
    save_file(state, whole) if suffix == ".safetensors" else torch.save(state, whole)
    assert torch.equal(read_state_dict(whole)["weight"], state["weight"])
    cut.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(UnusableWeightsError, match="cut short") as raised:
        read_state_dict(cut)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_torchscript_archive_is_named_as_such(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), path)
    with pytest.raises(UnusableWeightsError, match="TorchScript archive") as raised:
        read_state_dict(path)
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2]])
def test_a_file_without_weights_is_refused(content: object, tmp_path: Path) -> None:
    import torch

    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(UnusableWeightsError, match="weights"):
        read_state_dict(tmp_path / "x.pt")


@pytest.mark.parametrize("form", ["safetensors", "torch", "training", "before torch 1.6"])
def test_a_prefix_leaves_the_other_towers_in_the_file(form: str, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    state = {"visual.weight": torch.ones(2), "text.weight": torch.zeros(3), "visual.bias": torch.full((5,), 2.0)}
    path = tmp_path / ("two.safetensors" if form == "safetensors" else "two.pt")
    if form == "safetensors":
        save_file(state, path)
    elif form == "training":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "torch")
    wanted = set(state) if form == "before torch 1.6" else {"visual.weight", "visual.bias"}
    assert set(read_state_dict(path, "visual.")) == wanted
    assert set(read_state_dict(path, "audio.")) == set(state)
    read = read_state_dict(path)
    assert set(read) == set(state)
    assert all(torch.equal(read[name], state[name]) for name in state)
