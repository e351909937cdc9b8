"""Reading a checkpoint without running what is in it, and fitting it to a network exactly or not at all."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.errors import UnusableWeightsError

if TYPE_CHECKING:
    import torch

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where training programs put the weights inside a checkpoint, averaged ones first (as timm reads them)."""
PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")
"""What torch.compile and DistributedDataParallel put before every name, in either order."""
NAMES_SHOWN = 3

StateDict = dict[str, "torch.Tensor"]


def read_state_dict(path: Path, prefix: str = "") -> StateDict:
    """Names to CPU tensors: safetensors by suffix, else torch's format restricted to tensors and plain values.

    Nothing in the file is executed. Raises UnusableWeightsError: cut short, not a checkpoint, a TorchScript archive,
    or a pickle that would call Python code. prefix: of the names that are wanted; a safetensors file then gives only
    those (all of them where none has it), another format has to be read whole.
    Memory: what is read, once.
    """
    content = _read_safetensors(path, prefix) if path.suffix == ".safetensors" else _read_torch(path)
    for wrapper in WRAPPERS:
        inner = content.get(wrapper)
        if isinstance(inner, Mapping):
            content = inner
            break
    return _tensors(path, content)


def fit(module: torch.nn.Module, state: Mapping[str, torch.Tensor], *, path: Path, arch: str) -> None:
    """Copy `state` into `module`, every name and shape matched.

    Raises UnusableWeightsError with the first names that are missing, unexpected or of another shape. A partial fit
    would leave random layers in the network and give numbers that look right.
    """
    own = module.state_dict()
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
    module.load_state_dict(dict(state), strict=False)


def _read_safetensors(path: Path, prefix: str) -> Mapping[str, object]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            wanted = [name for name in names if name.startswith(prefix)] or names
            content: Mapping[str, object] = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError, ValueError) as error:
        raise UnusableWeightsError(_unreadable(path, error)) from error
    return content


def _read_torch(path: Path) -> Mapping[str, object]:
    import torch

    try:
        with warnings.catch_warnings():
            # torch warns that a TorchScript archive is being dispatched to torch.jit.load, then refuses to.
            warnings.filterwarnings("ignore", message=".*TorchScript archive.*", category=UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnusableWeightsError(_refused(path, error)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        # Whatever a damaged file makes the reader trip over; the text names the file, the cause stays attached.
        raise UnusableWeightsError(_unreadable(path, error)) from error
    if not isinstance(content, Mapping):
        raise UnusableWeightsError(f"{path} holds a {type(content).__name__}, not a table of named weights.")
    return content


def _tensors(path: Path, content: Mapping[str, object]) -> StateDict:
    """The tensors among a checkpoint's entries, wrapper prefixes removed from their names."""
    import torch

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
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(Path(name).name == "constants.pkl" for name in archive.namelist()):
                return (
                    f"{path} is a TorchScript archive, which holds a program and not only weights; it is not opened. "
                    "Save its state_dict as .safetensors first."
                )
    if "Weights only load failed" in str(error) and "Unsupported" in str(error):
        return (
            f"{path} would run Python code when opened, so it is not opened. "
            "Ask for the weights as .safetensors, or save the state_dict alone."
        )
    return _unreadable(path, error)


def _unreadable(path: Path, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return f"{path} cannot be read as a checkpoint: {reason}. It may be cut short; fetch or copy it again."


def _some(what: str, names: Sequence[str]) -> str:
    more = ", …" if len(names) > NAMES_SHOWN else ""
    return f"{what} ({', '.join(names[:NAMES_SHOWN])}{more})"
