"""Reading a checkpoint without running what is in it, and fitting it to a network exactly or not at all."""

from __future__ import annotations

import math
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.encoders.pickled_names import foreign_names, is_torchscript, protocol_of
from semsim_pipeline.errors import UnusableWeightsError

if TYPE_CHECKING:
    import torch

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where training programs put the weights inside a checkpoint, averaged ones first (as timm reads them)."""
PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")
"""What torch.compile and DistributedDataParallel put before every name, in either order."""
NAMES_SHOWN = 3
VIEWS = 8
"""Times that a file is mapped, each for a share of its tensors. What was read of a mapping stays resident
until its last tensor is dropped: with one for all, the weights would be held twice while they are copied."""
DAMAGE = (
    pickle.UnpicklingError, struct.error, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError,
    TypeError,
)  # fmt: skip
"""Whatever a damaged file makes torch's reader trip over; the text names the file, the cause stays attached."""
TORCH_PROTOCOL = 2
"""Of the pickles that torch writes by default, and alone reads without running them."""
ADVICE = "weights_only"
"""In torch's words to whoever might trust a file more than it does."""

StateDict = dict[str, "torch.Tensor"]


def names_a_file(name: str) -> bool:
    """Whether the path of an encoder's name exists as written: of `FAMILY:NAME/PATH`, `NAME/PATH` or `FAMILY:PATH`."""
    written = name.partition("/")[2], name.partition(":")[2]
    try:
        return any(path and Path(path).expanduser().is_file() for path in written)
    except (OSError, RuntimeError):
        return False  # too long for a path, or no such user's home


def read_state_dict(path: Path, prefix: str = "") -> StateDict:
    """Names to CPU tensors: safetensors by suffix, else torch's format restricted to tensors and plain values.

    Nothing in the file is executed. Raises UnusableWeightsError: cut short, not a checkpoint, a TorchScript archive,
    or a pickle that would call Python code. prefix: of the names that are wanted; only those are given (all of
    them where none has it, or where the format cannot be mapped).
    Memory: none yet, except for the format of torch before 1.6, which is read whole. The tensors are views of the
    mapped file: they are read when they are copied (`fit` does), and must not outlive a change of the file.
    """
    if path.suffix == ".safetensors":
        return _tensors(path, _read_safetensors(path, prefix))
    # Only a zip can be mapped; torch wrote something else until version 1.6.
    mapped = zipfile.is_zipfile(path)
    state = _tensors(path, _read_torch(path, mapped=mapped))
    if not mapped:
        return state
    names = [name for name in state if name.startswith(prefix)] or list(state)
    sizes = [state[name].numel() for name in names]
    state.clear()
    for share in _shares(names, sizes):
        view = _tensors(path, _read_torch(path, mapped=True))
        state |= {name: view[name] for name in share}
    return state


def fit(module: torch.nn.Module, state: MutableMapping[str, torch.Tensor], *, path: Path, arch: str) -> None:
    """Move `state` into `module`, every name and shape matched; `state` is empty afterwards.

    Raises UnusableWeightsError with the first names that are missing, unexpected or of another shape. A partial fit
    would leave random layers in the network and give numbers that look right.
    Memory: the module's own, and an eighth of it for a moment (see `VIEWS`).
    """
    import torch

    own = module.state_dict()
    # `bare_parameters` relies on this: a parameter that is not reached here would keep whatever memory held before.
    hidden = [
        name
        for name, parameter in module.named_parameters(remove_duplicate=False)
        if name not in own or own[name].data_ptr() != parameter.data_ptr()
    ]
    if hidden:
        raise UnusableWeightsError(f"{arch} keeps {hidden[0]} out of its checkpoints; it cannot be loaded from one.")
    # Counters of BatchNorm, absent from checkpoints before 2018 and without effect in eval mode.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    misshapen = [
        f"{key} {list(state[key].shape)} for {list(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        _some(f"{len(names)} of {len(own)} {what}", names)
        for what, names in (("missing", missing), ("of another shape", misshapen))
        if names
    ]
    if unexpected:
        problems.append(_some(f"{len(unexpected)} unexpected", unexpected))
    if problems:
        raise UnusableWeightsError(
            f"{path} does not hold the weights of {arch}: {'; '.join(problems)}. Name the architecture it was made for."
        )
    with torch.no_grad():
        for name in list(state):
            # Taken out one by one, so that a mapping of the file ends with its last tensor.
            own[name].copy_(state.pop(name))


def _read_safetensors(path: Path, prefix: str) -> Mapping[str, object]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            wanted = [name for name in names if name.startswith(prefix)] or names
            sizes = [math.prod(file.get_slice(name).get_shape()) for name in wanted]
        content: dict[str, object] = {}
        for share in _shares(wanted, sizes):
            with safe_open(path, framework="pt", device="cpu") as file:
                content |= {name: file.get_tensor(name) for name in share}
    except (SafetensorError, OSError, ValueError) as error:
        raise UnusableWeightsError(_unreadable(path, error)) from error
    return content


def _shares(names: Sequence[str], sizes: Sequence[int]) -> list[list[str]]:
    """`names` in their order, cut into at most VIEWS runs of about equal size."""
    total, before = max(1, sum(sizes)), 0
    shares: list[list[str]] = [[] for _ in range(VIEWS)]
    for name, size in zip(names, sizes, strict=True):
        shares[min(VIEWS - 1, VIEWS * before // total)].append(name)
        before += size
    return [share for share in shares if share]


def _read_torch(path: Path, *, mapped: bool) -> Mapping[str, object]:
    import torch

    try:
        with warnings.catch_warnings():
            # torch warns that a TorchScript archive is being dispatched to torch.jit.load, then refuses to.
            warnings.filterwarnings("ignore", message=".*TorchScript archive.*", category=UserWarning)
            # What it says of another pickle protocol helps nobody: the file is read, or refused below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except DAMAGE as error:
        raise UnusableWeightsError(_refused(path, error)) from error
    if not isinstance(content, Mapping):
        raise UnusableWeightsError(f"{path} holds a {type(content).__name__}, not a table of named weights.")
    return content


def _tensors(path: Path, content: Mapping[str, object]) -> StateDict:
    """The tensors among a checkpoint's entries, wrapper prefixes removed from their names."""
    import torch

    for wrapper in WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, Mapping):
            content = inner
            break
    state: StateDict = {}
    for key, value in content.items():
        if not isinstance(value, torch.Tensor):
            continue
        name = str(key)
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        state[name] = value
    if not state:
        raise UnusableWeightsError(f"{path} holds no weights (no named tensors).")
    return state


def _refused(path: Path, error: Exception) -> str:
    """Why a file is not taken. What torch says of one that it will not open is not passed on: it advises to open it."""
    if is_torchscript(path):
        return (
            f"{path} is a TorchScript archive, which holds a program and not only weights; it is not opened. "
            "Save its state_dict as .safetensors first."
        )
    if isinstance(error, RuntimeError | OSError | EOFError | struct.error) and ADVICE not in str(error):
        return _unreadable(path, error)
    names = foreign_names(path)
    if names:
        return (
            f"{path} would run Python code when opened ({_listed(names)}), so it is not opened. "
            "Ask for the weights as .safetensors, or save the state_dict alone."
        )
    protocol = protocol_of(path)
    if protocol > TORCH_PROTOCOL:
        return (
            f"{path} is a pickle of protocol {protocol}; torch opens {TORCH_PROTOCOL} safely. "
            "Ask for the weights as .safetensors, or save the state_dict by torch.save without another protocol."
        )
    return _unreadable(path, "it is no file that torch wrote")


def _unreadable(path: Path, error: Exception | str) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return f"{path} cannot be read as a checkpoint: {reason}. It may be cut short; fetch or copy it again."


def _some(what: str, names: Sequence[str]) -> str:
    return f"{what} ({_listed(names)})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
