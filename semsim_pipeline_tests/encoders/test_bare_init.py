from __future__ import annotations

from pathlib import Path

import pytest

from semsim_pipeline.encoders.bare_init import bare_parameters
from semsim_pipeline.encoders.checkpoint import VIEWS, _shares, fit, read_state_dict
from semsim_pipeline.errors import UnusableWeightsError


def test_parameters_are_not_filled_buffers_are_and_the_generator_stays() -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    calls = []

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(300, 300)
            self.register_buffer("grid", torch.zeros(3).add_(2).mul_(3), persistent=False)
            before = self.linear.weight.detach().clone()
            torch.nn.init.normal_(self.linear.weight)
            self.linear.weight.uniform_() if not torch.is_grad_enabled() else None
            calls.append(torch.equal(before.nan_to_num(), self.linear.weight.detach().nan_to_num()))
            self.drawn = torch.nn.Parameter(torch.randn(2))

    with bare_parameters(), torch.no_grad():
        net = Net()
    assert calls == [True]
    assert net.grid.tolist() == [6, 6, 6]
    assert net.linear.weight.requires_grad
    assert torch.equal(torch.rand(2), expected)
    before = net.linear.weight.detach().clone()
    torch.nn.init.normal_(net.linear.weight)
    assert not torch.equal(before, net.linear.weight.detach())


def test_fit_overwrites_everything_and_empties_the_state(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng():
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    state = {name: torch.full_like(value, 7) for name, value in net.state_dict().items()}
    expected = {name: value.clone() for name, value in state.items()}
    state["0.weight"] = state["0.weight"].half()  # as many published files are
    del state["1.num_batches_tracked"]
    save_file(state, tmp_path / "w.safetensors")
    with bare_parameters():
        bare = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    read = read_state_dict(tmp_path / "w.safetensors")
    fit(bare, read, path=tmp_path, arch="net")
    assert not read
    found = bare.state_dict()
    assert found.pop("1.num_batches_tracked") == 0
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert {value.dtype for value in found.values()} == {torch.float32}
    # Its own memory: a checkpoint that is written over later changes nothing.
    (tmp_path / "w.safetensors").write_bytes(b"\0" * (tmp_path / "w.safetensors").stat().st_size)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_parameter_that_no_checkpoint_holds_is_refused() -> None:
    import torch

    class Hiding(torch.nn.Linear):
        def state_dict(self, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:  # type: ignore[override]
            return {name: value.clone() for name, value in super().state_dict().items()}

    net = Hiding(2, 2)
    with pytest.raises(UnusableWeightsError, match="out of its checkpoints"):
        fit(net, net.state_dict(), path=Path("w"), arch="net")


@pytest.mark.parametrize("sizes", [[], [5], [1] * 3, [1] * 100, [1000, 1, 1, 1], [1, 1, 1000], [0, 0]])
def test_shares_keep_the_order_and_are_few(sizes: list[int]) -> None:
    names = [str(number) for number in range(len(sizes))]
    shares = _shares(names, sizes)
    assert [name for share in shares for name in share] == names
    assert len(shares) <= VIEWS
    assert all(shares)
    if len(sizes) == 100:
        assert {len(share) for share in shares} <= {12, 13}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_are_in_memory_once_while_they_are_loaded_too(suffix: str, tmp_path: Path) -> None:
    """256 MiB of weights beside as much that is not wanted, in a fresh process: the high-water mark tells."""
    import subprocess
    import sys

    import torch
    from safetensors.torch import save_file

    path = tmp_path / f"w{suffix}"
    layers = {f"visual.{i}.weight": torch.randn(2048, 1024) for i in range(32)}
    state = {**layers, "text.weight": torch.randn(8192, 8192)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    code = f"""
import torch
from pathlib import Path
from semsim_pipeline.encoders.bare_init import bare_parameters
from semsim_pipeline.encoders.checkpoint import fit, read_state_dict

def status(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field + ":")) / 1024

before = status("VmRSS")
with bare_parameters():
    module = torch.nn.Sequential(*(torch.nn.Linear(1024, 2048, bias=False) for _ in range(32)))
state = read_state_dict(Path({str(path)!r}), "visual.")
assert status("VmRSS") - before < 20, status("VmRSS") - before
fit(module, {{k.removeprefix("visual."): state.pop(k) for k in list(state) if k.startswith("visual.")}},
    path=Path("w"), arch="net")
del state
resident, peak = status("VmRSS") - before, status("VmHWM") - before
assert 250 < resident < 290, resident
assert peak < 1.25 * 256 + 20, peak
"""
    if not Path("/proc/self/status").is_file():
        pytest.skip("high-water marks are read from /proc")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
