"""Where the checkpoint of an encoder lies that a catalogue names: as seen from a folder."""

from __future__ import annotations

from pathlib import Path

from semsim_pipeline.catalog.spec import absolute
from semsim_pipeline.encoders.base import ENCODERS
from semsim_pipeline.encoders.checkpoint import SUFFIXES
from semsim_pipeline.encoders.precision import MARK, PRECISIONS
from semsim_pipeline.encoders.resolve import is_short


def names_checkpoint(spec: str) -> bool:
    """Whether this is a short name and a path: `dinov2-s-14/weights.safetensors`."""
    short, slash, _ = spec.partition("/")
    return bool(slash) and is_short(short)


def placed_checkpoint(spec: str, folder: Path) -> str:
    """`NAME/PATH`, `timm:NAME/weights.safetensors`, `mini:PATH+bf16` with the path as seen from `folder`; any other
    encoder's spec as it is."""
    plain, mark, precision = spec.rpartition(MARK)
    if not mark or precision not in PRECISIONS:
        plain, mark, precision = spec, "", ""
    family, colon, rest = plain.partition(":")
    kind = ENCODERS.get(f"{family}:") if colon and f"{family}:" in ENCODERS else None
    only_path = kind is not None and kind.only_path
    head, between, path = plain.partition(":" if only_path else "/")
    always = (only_path and rest) or names_checkpoint(plain)
    # A repository (`open_clip:hf-hub:OWNER/NAME`) is no path, whatever its name ends in.
    named = between and (always or (path.endswith(SUFFIXES) and head.count(":") <= 1))
    try:
        return f"{head}{between}{absolute(path, folder)}{mark}{precision}" if named else spec
    except RuntimeError:
        return spec  # the home of no such user: said where the encoder is used
