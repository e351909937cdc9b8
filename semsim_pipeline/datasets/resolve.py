"""From what a person writes (`photos.zip[label=cat]`, `digits`, `cifake:PATH`) to a source and a selection of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from semsim_pipeline.datasets.archive import format_of
from semsim_pipeline.datasets.base import SOURCES, Source, SourceKind, is_here
from semsim_pipeline.datasets.folder import Folder
from semsim_pipeline.datasets.grouping import OPTION, SUBFOLDER
from semsim_pipeline.datasets.layout import is_image_name
from semsim_pipeline.datasets.parquet import shards_of
from semsim_pipeline.datasets.selection import GROUP, select
from semsim_pipeline.datasets.views import RESERVED, View, parse_view
from semsim_pipeline.errors import MissingPathError, UnknownNameError, WrongCallError, did_you_mean
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.records import ItemRef

PARQUET_MAGIC = b"PAR1"
ARCHIVE_NAME = re.compile(r".*\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetView:
    """A source and the rows of it that are meant. view: as written, the source's options told apart."""

    source: Source
    view: View

    @property
    def name(self) -> str:
        """For people: the view in its one spelling."""
        return self.view.canonical()

    def slug(self) -> str:
        """For files and keys: as `View.slug`, the same from every working folder."""
        where = self.source.location
        if not Path(where).is_absolute():
            return self.view.slug()
        return replace(self.view, base=f"{self.source.kind}:{where}").slug()

    def key(self) -> str:
        """SHA-256 in hex of what is selected from where; independent of how it was spelled."""
        rows = replace(self.view, base="", options={}).canonical()
        return digest_of({"source": source_key(self.source), "rows": rows})

    def select(self) -> Iterator[ItemRef]:
        """The selected items as a stream, in the source's order. Raises EmptyDatasetError, UnknownNameError."""
        return select(self.source, self.view)


def source_key(source: Source) -> str:
    """SHA-256 in hex of where a source is: kind, absolute location and options, never a bare folder name.

    It does not say what the source holds at the moment: that is what stamps and content hashes are for.
    """
    options = {name: source.options[name] for name in sorted(source.options)}
    return digest_of({"kind": source.kind, "location": source.location, "options": [*options.items()]})


def group_scope(source: Source) -> str:
    """What to put before this source's groups where groups of several sources meet, "" where they mean the same.

    A subfolder's name says nothing outside its source: `video-1` of two folders is two videos. A CSV or a column
    names its groups on purpose.
    """
    return f"{source_key(source)}\x1f" if source.options.get(OPTION) == SUBFOLDER else ""


def open_view(spec: str) -> DatasetView:
    """Resolve a spec; reads no image. An existing path wins over a name.

    Raises ViewSyntaxError, MissingPathError, UnknownNameError, WrongCallError, CorruptSourceError.
    """
    return open_parsed(parse_view(spec, exists=_exists))


def open_parsed(view: View) -> DatasetView:
    """As `open_view`, for a view that was read before. Raises the same but ViewSyntaxError."""
    kind, location = recognise(view.base)
    view = view.with_options(kind.options)
    source = kind.build(location, view.options)
    if is_here(source):  # else its columns are not known, and `select` checks them
        _check_keys(kind, source, view)
    return DatasetView(source=source, view=view)


def open_source(base: str, options: Mapping[str, str] | None = None) -> Source:
    """The source behind a path, `KIND:LOCATION` or an embedded name, without a view."""
    kind, location = recognise(base)
    return kind.build(location, options or {})


def recognise(base: str) -> tuple[SourceKind, str]:
    """Which kind of source a base means, and its location.

    Raises MissingPathError, UnknownNameError, WrongCallError.
    """
    path = Path(base).expanduser()
    if _exists(base):
        return SOURCES.get(_kind_of_folder(path) if path.is_dir() else _kind_of_file(path)), str(path.absolute())
    prefix, colon, rest = base.partition(":")
    by_scheme = kind_of_scheme(base)
    if by_scheme is not None:
        return by_scheme, base
    if prefix in SOURCES:
        kind = SOURCES.get(prefix)
        if not kind.bare and not rest:
            raise needs_location(kind)
        return kind, rest
    if colon and PLAIN_KIND.fullmatch(prefix):
        raise UnknownNameError(did_you_mean("source kind", prefix, SOURCES.names()))
    if "/" in base or path.suffix or base.startswith("~"):
        raise MissingPathError(f"There is no file or folder {path.absolute()}.")
    names = [kind.name if kind.bare else f"{kind.name}:" for kind in SOURCES]
    raise UnknownNameError(
        f"{did_you_mean('dataset', base, names)} A path to a folder, zip, tar or Parquet file is fine as well."
    )


def kind_of_scheme(base: str) -> SourceKind | None:
    """The kind whose places begin like this (`https://…`), None where there is none."""
    return next((kind for kind in SOURCES if base.lower().startswith(kind.schemes or ("\0",))), None)


def needs_location(kind: SourceKind) -> WrongCallError:
    """The error for a kind that was named without a place."""
    place = "PLACE" if kind.remote else "PATH"
    return WrongCallError(f"{kind.name!r} needs a location: write {kind.name}:{place}, as in `{kind.example}`.")


PLAIN_KIND = re.compile(r"[a-z][a-z0-9-]*")


def _exists(text: str) -> bool:
    try:
        return bool(text) and os.path.lexists(Path(text).expanduser())
    except (OSError, ValueError, RuntimeError):
        return False  # too long for a path, a zero byte in it, or no such user's home


def _kind_of_folder(path: Path) -> str:
    """`parquet` for a folder with shards and no image file, else `folder`."""
    has_shards = next(shards_of(str(path)), None) is not None
    return "parquet" if has_shards and next(Folder(location=str(path.absolute())).items(), None) is None else "folder"


def _kind_of_file(path: Path) -> str:
    if not path.exists():
        raise MissingPathError(f"{path.absolute()} is a link to something that is not there.")
    if not path.is_file():
        raise WrongCallError(f"{path.absolute()} is neither a file nor a folder.")
    try:
        with path.open("rb") as file:
            magic = file.read(len(PARQUET_MAGIC))
        if magic == PARQUET_MAGIC or path.suffix.lower() == ".parquet":
            return "parquet"
        if is_image_name(path.name):
            raise WrongCallError(
                f"{path.absolute()} is a single image; a dataset is a folder of them (give {path.absolute().parent})."
            )
        # A file that is called an archive is opened as one, so that the error says what is wrong with it.
        if format_of(path) is not None or ARCHIVE_NAME.fullmatch(path.name):
            return "archive"
    except OSError as error:
        raise WrongCallError(f"{path.absolute()} cannot be opened: {error.strerror or error}.") from error
    raise WrongCallError(
        f"{path.absolute()} is no dataset: expected a folder of images, a zip or tar of them, or Parquet."
    )


def _check_keys(kind: SourceKind, source: Source, view: View) -> None:
    """Raises UnknownNameError for a filter on a column that the source does not have."""
    known = (*source.label_columns, GROUP)
    for key, _values in view.filters:
        if key not in known:
            said = did_you_mean(f"key of {source.location}", key, (*known, *RESERVED, *kind.options))
            hint = (
                f" For CIFAKE's classes write cifake:{view.base}." if key == "class" and kind.name != "cifake" else ""
            )
            raise UnknownNameError(f"{said}{hint}")
