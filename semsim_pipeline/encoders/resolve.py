"""From what a person writes to an encoder: a short name, or a family and what it names there."""

from __future__ import annotations

from semsim_pipeline.encoders.base import ENCODERS, Encoder
from semsim_pipeline.encoders.libraries import library_of
from semsim_pipeline.encoders.network import at_checkpoint, at_precision
from semsim_pipeline.encoders.precision import split_precision
from semsim_pipeline.encoders.revision import at_revision, split_revision
from semsim_pipeline.errors import UnknownNameError, WrongCallError, did_you_mean

__all__ = ["is_short", "library_of", "resolve_encoder", "short_names"]


def resolve_encoder(name: str) -> Encoder:
    """The encoder called `name`: `classical`, `clip-vit-b-32`, `open_clip:ARCH/TAG`, `timm:NAME/PATH`, …; a network's
    name with `@REVISION` after it for one revision of its weights, `NAME/PATH` for a local checkpoint instead of
    them, and `+bf16` for that precision.

    Raises UnknownNameError (with the nearest name and how the families are spelled), WrongCallError (a family whose
    rest cannot be read, a precision or a checkpoint for what is no network), MissingPathError
    (a checkpoint that is not there), MissingLibraryError (the family's library is not installed any more).
    Weights are not looked for yet.
    """
    plain, precision = split_precision(name)
    if precision is not None:
        return at_precision(resolve_encoder(plain), precision, name=name)
    short, slash, path = name.partition("/")
    if slash and is_short(short):
        return at_checkpoint(resolve_encoder(short), path, name=name)
    family, colon, rest = name.partition(":")
    plain, revision = split_revision(name)
    key = f"{family}:" if colon else plain
    if key not in ENCODERS:
        raise UnknownNameError(_unknown(plain))
    kind = ENCODERS.get(key)
    if revision is not None and not kind.reads_revision:
        return at_revision(resolve_encoder(plain), revision, name=name)
    if colon and not rest:
        raise WrongCallError(f"Encoder {name!r} names a family only; write for example {kind.example!r}.")
    with library_of(name):
        return kind.resolve(name)


def short_names() -> list[str]:
    """The names that stand alone, sorted; a family's prefix does not."""
    return [name for name in ENCODERS.names() if is_short(name)]


def is_short(name: str) -> bool:
    """Whether an encoder is called so, and no family."""
    return not name.endswith(":") and name in ENCODERS


def _unknown(name: str) -> str:
    examples = ", ".join(kind.example for kind in ENCODERS if kind.name.endswith(":"))
    return f"{did_you_mean('encoder', name, short_names())} Others by family: {examples}."
