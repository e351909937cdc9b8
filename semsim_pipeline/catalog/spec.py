"""A dataset's spec as the catalogue reads it: without opening anything, and from the file's folder."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from semsim_pipeline.datasets.base import SOURCES, SourceKind
from semsim_pipeline.datasets.grouping import OPTION as GROUP_BY
from semsim_pipeline.datasets.grouping import SUBFOLDER
from semsim_pipeline.datasets.resolve import PLAIN_KIND, kind_of_scheme, needs_location
from semsim_pipeline.datasets.selection import GROUP
from semsim_pipeline.datasets.views import RESERVED, View, parse_view
from semsim_pipeline.errors import UnknownNameError, WrongCallError, did_you_mean

PATH_KINDS = ("folder", "archive", "parquet")
"""What a plain path may turn out to be."""


def read_spec(text: str, folder: Path) -> tuple[SourceKind | None, View]:
    """The kind, where the text alone tells, and the view, its base an absolute path or an embedded name.

    An embedded name is never a path here, so that a catalogue means the same whatever lies beside it; a path with
    brackets that exists wins over a view. Raises ViewSyntaxError, UnknownNameError, WrongCallError.
    """
    view = parse_view(text, exists=lambda path: "[" in path and is_there(path, folder))
    kind, base = _recognise(view.base, folder)
    return kind, replace(view, base=base)


def relocated(text: str, here: Path, folder: Path) -> str:
    """A spec as somebody writes it in the folder `here`, spelled so that a catalogue in `folder` means the same by it.

    As on the command line, something that exists here wins over an embedded name. Raises as `read_spec`.
    """
    view = parse_view(text, exists=lambda path: is_there(path, here))
    if is_there(view.base, here):
        base = _placed(absolute(view.base, here), folder)
    else:
        kind, base = _recognise(view.base, here)
        prefix = f"{kind.name}:" if kind is not None and base.startswith(f"{kind.name}:") else ""
        location = Path(base.removeprefix(prefix))
        if location.is_absolute():  # and no embedded set, nor a place on another machine
            base = prefix + _placed(location, folder)

    def beside(key: str, value: str) -> str:
        is_file = key == GROUP_BY and value != SUBFOLDER and is_there(value, here)
        return _placed(absolute(value, here), folder) if is_file else value

    filters = tuple((key, tuple(beside(key, value) for value in values)) for key, values in view.filters)
    return replace(view, base=base, filters=filters).canonical()


def _placed(path: Path, folder: Path) -> str:
    """A path as the catalogue's folder names it: relative below it, absolute elsewhere."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - resolves `..` as it is written, and follows no link
    if not whole.is_relative_to(folder):
        return str(whole)
    inside = str(whole.relative_to(folder))
    # As it stands it could be taken for an embedded set, or for KIND:PATH.
    return f"./{inside}" if inside in SOURCES or ":" in inside or inside.startswith("~") else inside


def _recognise(base: str, folder: Path) -> tuple[SourceKind | None, str]:
    prefix, colon, rest = base.partition(":")
    if not colon:
        known = SOURCES.get(base) if base in SOURCES else None
        return (known, base) if known is not None and known.bare else (None, str(absolute(base, folder)))
    by_scheme = kind_of_scheme(base)
    if by_scheme is not None:
        return by_scheme, base
    if prefix not in SOURCES:
        if PLAIN_KIND.fullmatch(prefix) and not is_there(base, folder):
            raise UnknownNameError(did_you_mean("source kind", prefix, SOURCES.names()))
        return None, str(absolute(base, folder))
    kind = SOURCES.get(prefix)
    if kind.embedded:
        kind.build(rest, {})  # an embedded set is known whole: a place behind its name is wrong for ever
        return kind, prefix
    if not rest and not kind.fetched:
        raise needs_location(kind)
    if kind.remote or not rest:
        kind.build(rest, {})  # asks no network; a place that cannot be right is wrong for ever
        return kind, base if rest else prefix
    return kind, f"{prefix}:{absolute(rest, folder)}"


def absolute(path: str, folder: Path) -> Path:
    """A path as the catalogue's folder sees it."""
    return folder / Path(path).expanduser() if path.startswith("~") else folder / path


def is_there(path: str, folder: Path) -> bool:
    """Whether something has this name, were it a link to nowhere."""
    try:
        return bool(path) and os.path.lexists(absolute(path, folder))
    except (OSError, ValueError, RuntimeError):
        return False  # too long for a path, a zero byte in it, or no such user's home


def option_names(kind: SourceKind | None) -> frozenset[str]:
    """The options that a source of this kind takes; of all that a path may be, where the kind is not known yet."""
    kinds = [SOURCES.get(name) for name in PATH_KINDS] if kind is None else [kind]
    return frozenset(option for each in kinds for option in each.options)


def check_column(kind: SourceKind | None, column: str, known: Collection[str] = ()) -> None:
    """Raises WrongCallError where `column` cannot be a column of such a source.

    known: columns that the catalogue declares beside the kind's.
    """
    if column in RESERVED or column in option_names(kind):
        what = "a key of every view" if column in RESERVED else "an option of the source, for the dataset's own spec"
        raise WrongCallError(f"{column!r} is no column: it is {what}.")
    columns = {*(kind.classes if kind is not None else ()), *known, GROUP}
    if kind is not None and kind.classes and column not in columns:
        raise UnknownNameError(did_you_mean(f"column of {kind.name}", column, columns))


def check_values(kind: SourceKind | None, column: str, values: Collection[str]) -> None:
    """Raises UnknownNameError for a value that no source of this kind has in the column."""
    declared = () if kind is None else kind.classes.get(column, ())
    for value in values:
        if declared and value not in declared:
            raise UnknownNameError(did_you_mean(column, value, declared))
