"""What timm says of a model and its weights, remembered on disk: asking costs the import of torch and torchvision."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from semsim_pipeline.errors import StoreError, UnknownNameError, WrongCallError, did_you_mean
from semsim_pipeline.home import ensure_home
from semsim_pipeline.json_file import write_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmRecord:
    """timm's evaluation transform for one set of weights, and where they are published.

    input_size: (channels, height, width). crop_fraction: of the resized side that the centre crop keeps. licence,
    repo, filename: empty where timm names none. custom_load: whether timm needs code of its own to open the weights.
    """

    input_size: tuple[int, int, int]
    crop_fraction: float
    crop_mode: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str = ""
    repo: str = ""
    filename: str = ""
    custom_load: bool = False


def record_of(arch: str) -> TimmRecord:
    """timm's record of `NAME` or `NAME.TAG`. Raises UnknownNameError, WrongCallError (timm states no preprocessing).

    Remembered under SEMSIM_HOME by timm's version: the first question about a model imports timm, later ones do not.
    """
    try:
        memory = ensure_home() / "cache" / "timm-records.json"
    except StoreError:
        return ask(arch)  # a home that cannot be written costs the import again
    release = version("timm")
    known = _read(memory, release)
    if arch in known:
        return known[arch]
    found = ask(arch)
    records = {name: dataclasses.asdict(each) for name, each in {**_read(memory, release), arch: found}.items()}
    try:
        # Two processes may each lose the other's entry; it is then asked for once more, never wrong.
        write_json(memory, {"timm": release, "records": records}, sort_keys=True)
    except StoreError as error:
        logger.info("timm's record of %s is not remembered: %s", arch, error)
    return found


def ask(arch: str) -> TimmRecord:
    """The record from timm itself, which imports torch. Raises as `record_of`."""
    import timm
    from timm.data.config import resolve_data_config

    plain, dot, _ = arch.partition(".")
    if not timm.is_model(plain):
        raise UnknownNameError(did_you_mean("timm model", plain, timm.list_models()))
    tagged = timm.list_pretrained(f"{plain}.*")
    if dot and arch not in tagged:
        raise UnknownNameError(did_you_mean(f"weights of timm {plain}", arch, tagged))
    published = timm.get_pretrained_cfg(arch, allow_unregistered=True)
    if published is None:
        raise WrongCallError(f"timm does not say how to prepare images for {plain!r}; choose another model.")
    # Third-party records, hence not typed further.
    about: dict[str, Any] = published.to_dict()  # type: ignore[no-untyped-call] # timm has no hints
    config = resolve_data_config(pretrained_cfg=dict(about))  # type: ignore[no-untyped-call] # timm has no hints
    channels, height, width = config["input_size"]
    return TimmRecord(
        input_size=(channels, height, width),
        crop_fraction=float(config["crop_pct"]),
        crop_mode=str(config["crop_mode"]),
        interpolation=str(config["interpolation"]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        licence=str(about.get("license") or ""),
        repo=str(about.get("hf_hub_id") or ""),
        filename=str(about.get("hf_hub_filename") or ""),
        custom_load=bool(about.get("custom_load")),
    )


def _read(path: Path, release: str) -> dict[str, TimmRecord]:
    """The remembered records; none where the file is absent, damaged, or of another release of timm."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["timm"] != release:
            return {}
        return {str(name): _restored(fields) for name, fields in content["records"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _restored(fields: dict[str, Any]) -> TimmRecord:
    """A record from JSON, which knows lists only. Raises TypeError, ValueError, KeyError."""
    channels, height, width = fields["input_size"]
    exact = {"input_size": (channels, height, width), "mean": tuple(fields["mean"]), "std": tuple(fields["std"])}
    return TimmRecord(**{**fields, **exact})
