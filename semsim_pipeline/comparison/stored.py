"""A comparison as JSON that reads back exactly: what pictures and pages are made from, long after the score.

The public JSON (`Comparison.to_json`) is a contract for scripts and leaves out what only this package draws (the
number of permutations, kernel means). Floats survive bit by bit; infinities are spelled as text, so that the file
stays JSON for every reader. The background's mean row is not kept: it is in the background's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Literal, NoReturn, Union, get_args, get_origin, get_type_hints

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
        found = _reader(Comparison)(record)
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


Reader = Callable[[object], object]
"""A JSON value as one annotated type. Raises TypeError, KeyError or ValueError for another."""


@cache
def _reader(kind: object) -> Reader:  # noqa: PLR0911 - one return a kind of type
    """How values of a type are read: dataclasses, mappings, tuples, unions with None, and plain values.

    Worked out once a type: of a thousand scores that are only looked at, this was most of the time.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        some = _reader(next(each for each in inner if each is not NoneType))
        return lambda value: None if value is None else some(value)
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind)
    if origin is tuple:
        return _tuple(inner)
    if origin is Mapping:
        each = _reader(inner[1])
        return lambda value: {str(name): each(one) for name, one in _object(value).items()}
    if origin is Literal:
        return lambda value: value if value in inner else _refused(value, kind)
    if kind is float:
        return _number
    return lambda value: value if isinstance(kind, type) and isinstance(value, kind) else _refused(value, kind)


def _dataclass(kind: type) -> Reader:
    readers = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
    return lambda value: kind(**{name: readers[name](each) for name, each in _object(value).items()})


def _tuple(inner: tuple[object, ...]) -> Reader:
    if inner[-1] is Ellipsis:
        each = _reader(inner[0])
        return lambda value: tuple(each(one) for one in _list(value))
    readers = [_reader(each) for each in inner]
    return lambda value: tuple(read(one) for read, one in zip(readers, _list(value), strict=True))


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    return float(value) if isinstance(value, str) and value in NOT_FINITE else _refused(value, float)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else _refused(value, dict)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else _refused(value, list)


def _refused(value: object, kind: object) -> NoReturn:
    raise TypeError(f"{value!r} where {kind} was written")
