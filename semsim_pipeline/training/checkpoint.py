"""Where a training stands, in one file, written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from semsim_pipeline.errors import StoreError, WrongCallError
from semsim_pipeline.home import cannot_write


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """identity: of the recipe and the images. curves: plain rows. The rest: state dicts of torch."""

    identity: str
    curves: list[dict[str, Any]]
    network: dict[str, Any]
    average: dict[str, Any]
    objective: dict[str, Any]
    optimiser: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write under a temporary name, then rename. Raises StoreError."""
    import torch

    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}, temporary)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(cannot_write(path, error)) from error


def read_checkpoint(path: Path, identity: str) -> Checkpoint:
    """Nothing in the file is executed. Raises WrongCallError: of another training, or not a checkpoint."""
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = Checkpoint(**content)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError) as error:
        raise WrongCallError(f"{path} is not a checkpoint of this training; remove it to begin anew.") from error
    if found.identity != identity:
        raise WrongCallError(
            f"{path} belongs to a training with another recipe or other images; remove it, or name another."
        )
    return found
