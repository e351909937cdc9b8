"""From what a person writes to an encoder: a short name, or a family and what it names there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from semsim_pipeline.encoders.base import ENCODERS, Encoder
from semsim_pipeline.encoders.network import at_precision
from semsim_pipeline.encoders.precision import split_precision
from semsim_pipeline.errors import MissingLibraryError, UnknownNameError, WrongCallError, did_you_mean


def resolve_encoder(name: str) -> Encoder:
    """The encoder called `name`: `classical`, `clip-vit-b-32`, `open_clip:ARCH/TAG`, `timm:NAME/PATH`, …; a network's
    name with `+bf16` after it for that precision.

    Raises UnknownNameError (with the nearest name and how the families are spelled), WrongCallError (a family whose
    rest cannot be read, a precision for what is no network), MissingPathError (a checkpoint that is not there),
    MissingLibraryError (the family's library is not installed any more).
    Weights are not looked for yet.
    """
    plain, precision = split_precision(name)
    if precision is not None:
        return at_precision(resolve_encoder(plain), precision, name=name)
    family, colon, rest = name.partition(":")
    key = f"{family}:" if colon else name
    if key not in ENCODERS:
        raise UnknownNameError(_unknown(name))
    kind = ENCODERS.get(key)
    if colon and not rest:
        raise WrongCallError(f"Encoder {name!r} names a family only; write for example {kind.example!r}.")
    with library_of(name):
        return kind.resolve(name)


@contextmanager
def library_of(name: str) -> Iterator[None]:
    """A block that imports what an encoder needs: a library that is not there becomes a MissingLibraryError."""
    try:
        yield
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0]
        raise MissingLibraryError(
            f"Encoder {name!r} needs {library}, which is not installed here or is broken ({error}). Install it beside "
            "semsim (`pip install semsim-pipeline` brings what the packaged encoders need), or use another encoder."
        ) from error


def short_names() -> list[str]:
    """The names that stand alone, sorted; a family's prefix does not."""
    return [name for name in ENCODERS.names() if not name.endswith(":")]


def _unknown(name: str) -> str:
    examples = ", ".join(kind.example for kind in ENCODERS if kind.name.endswith(":"))
    return f"{did_you_mean('encoder', name, short_names())} Others by family: {examples}."
