"""A comparison as JSON that reads back exactly: what pictures and pages are made from, long after the score.

The public JSON (`Comparison.to_json`) is a contract for scripts and leaves out what only this package draws (the
number of permutations, kernel means). Floats survive bit by bit; infinities are spelled as text, so that the file
stays JSON for every reader. The background's mean row is not kept: it is in the background's own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from semsim_pipeline.comparison.classes_json import Json
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.errors import StoreError

NOT_FINITE = ("inf", "-inf", "nan")


def to_record(comparison: Comparison) -> dict[str, Json]:
    """Plain JSON values; never NaN or Infinity as bare words."""
    record = _plain(comparison)
    assert isinstance(record, dict)
    return record


def from_record(record: Mapping[str, object]) -> Comparison:
    """The comparison that was written. Raises StoreError where the record is of another version or damaged."""
    try:
        found = _typed(record, Comparison)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"A stored comparison cannot be read back ({error!r}); remove it and score the pair again."
        ) from error
    if not isinstance(found, Comparison):
        raise StoreError("A stored comparison cannot be read back; remove it and score the pair again.")
    return found


def _plain(value: object) -> Json:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
            if not isinstance(getattr(value, field.name), np.ndarray)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else str(float(value))
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a stored comparison")


def _typed(value: object, kind: object) -> object:
    """`value` as the annotated type: dataclasses, mappings, tuples, unions with None, and plain values."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        return None if value is None else _typed(value, next(each for each in inner if each is not NoneType))
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(value, kind)
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_typed(each, one) for each, one in zip(value, kinds, strict=True))
    if origin is Mapping and isinstance(value, Mapping):
        return {str(name): _typed(each, inner[1]) for name, each in value.items()}
    if kind is float and (isinstance(value, int | float) or value in NOT_FINITE):
        return float(value)
    if (origin is Literal and value in inner) or (isinstance(kind, type) and isinstance(value, kind)):
        return value
    raise TypeError(f"{value!r} where {kind} was written")


def _dataclass(value: object, kind: type) -> object:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} where {kind.__name__} was written")
    hints = _hints(kind)
    return kind(**{name: _typed(each, hints[name]) for name, each in value.items()})


@cache
def _hints(kind: type) -> Mapping[str, object]:
    """The annotated types of a record's fields; looking them up took most of the time of reading a score."""
    return get_type_hints(kind)
