from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from semsim_pipeline.encoders.checkpoint import read_state_dict
from semsim_pipeline.errors import UnusableWeightsError


class Trap:
    """Unpickling it writes a file: the proof that somebody's code ran."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_malicious_pickle_is_not_run(how: str, tmp_path: Path) -> None:
    import torch

    mark, path = tmp_path / "mark", tmp_path / "weights.pt"
    if how == "torch":
        torch.save({"weight": torch.zeros(1), "trap": Trap(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"trap": Trap(mark)}, protocol=2))
    with pytest.raises(UnusableWeightsError) as raised:
        read_state_dict(path)
    assert not mark.exists()
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    if how == "torch":
        assert "would run Python code" in str(raised.value)


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


def test_a_torchscript_archive_is_named_as_such(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "ViT-B-32.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/constants.pkl", pickle.dumps((), protocol=2))
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("archive/version", "3\n")
    with pytest.raises(UnusableWeightsError, match="TorchScript archive"):
        read_state_dict(path)


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
