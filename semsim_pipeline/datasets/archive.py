"""The source `archive`: images inside a zip or tar, read in place and never unpacked to disk."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Literal

from semsim_pipeline.datasets import grouping, tar_listing, zip_directory, zip_member
from semsim_pipeline.datasets.base import SOURCES, Reader, SourceKind, check_options
from semsim_pipeline.datasets.layout import archive_path, is_image_name, label_of, stamp_of_file, what_is_there
from semsim_pipeline.datasets.stamp import Stamp, stamp_of_path
from semsim_pipeline.errors import CorruptSourceError, MissingPathError, UnreadableImageError, WrongCallError
from semsim_pipeline.records import ItemRef

OPTIONS = (grouping.OPTION,)
PROBLEM = ":"
"""In a tar member's stamp, before the reason why its bytes are not there; the numbers may be negative, so no dash."""

Format = Literal["zip"] | tar_listing.Packing
"""`zip`, or how a tar is packed."""


def format_of(path: Path) -> Format | None:
    """What a file is, by its content whatever its name; None for neither zip nor tar. Raises OSError."""
    with path.open("rb") as file:
        first = file.read(512)
        if first.startswith(zip_member.LOCAL_SIGNATURE):
            return "zip"
        packing = tar_listing.packing_of(first)
        if packing is not None:
            return packing
        return "zip" if zip_directory.find_directory(file) is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The images of a zip or tar in the archive's own order, with `folder`'s rules for labels and skipping.

    A name that the archive holds twice is listed twice, the later one with `#` and its offset behind the name.
    Reading a packed tar in that order is one pass; backwards, each read unpacks from the start again.
    Memory: one entry, and 16 bytes a member to notice equal names.
    """

    location: str
    options: Mapping[str, str] = field(default_factory=dict)
    format: Format
    kind: str = "archive"
    label_columns: tuple[str, ...] = ("label",)

    def items(self) -> Iterator[ItemRef]:
        group_of = grouping.group_by(self.options)
        seen = SeenPaths()
        for entry in self._entries():
            path = archive_path(entry.path)
            if path is not None:
                yield ItemRef(
                    path=path if seen.is_new(path) else f"{path}#{entry.locator}",
                    labels={"label": label_of(path)},
                    group=group_of(path),
                    size=entry.size,
                    stamp=entry.stamp,
                    locator=entry.locator,
                )

    def _entries(self) -> Iterator[ItemRef]:
        """Every member, images or not, its name as the archive spells it."""
        path = Path(self.location)
        if not path.is_file():
            raise MissingPathError(f"There is no archive {path}: put it there, or name where it is.")
        if self.format == "zip":
            for member in zip_directory.entries_of(path):
                stamp = zip_member.stamp_of(member)
                yield ItemRef(path=member.name, size=member.size, stamp=stamp, locator=member.offset)
        else:
            whole = stamp_of_file(path.stat())
            for entry in tar_listing.entries_of(path, self.format):
                stamp = f"{whole}-{entry.offset}-{entry.size}" + (f"{PROBLEM}{entry.problem}" if entry.problem else "")
                yield ItemRef(path=entry.name, size=entry.size, stamp=stamp, locator=entry.offset)

    def open(self) -> AbstractContextManager[Reader]:
        return _zip_reader(self.location) if self.format == "zip" else _tar_reader(self.location, self.format)

    def stamp(self) -> Stamp:
        return stamp_of_path(Path(self.location), self.options)

    def what_else(self) -> str:
        names = (entry.path.rsplit("/", 1)[-1] for entry in self._entries() if not entry.path.endswith("/"))
        return what_is_there(name for name in names if not is_image_name(name))


class SeenPaths:
    """Which paths were seen, as 64-bit hashes in one flat table (a set of strings would be ten times the size).

    Two different paths share a hash once in 10^13 pairs; one of them then gets a suffix that it did not need.
    """

    def __init__(self) -> None:
        self._table = array("Q", [0]) * 1024
        self._count = 0

    def is_new(self, path: str) -> bool:
        """Remember `path`; False where it had been seen."""
        value = int.from_bytes(blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big") or 1
        slot = self._slot(value)
        if self._table[slot] == value:
            return False
        self._table[slot] = value
        self._count += 1
        if 3 * self._count > 2 * len(self._table):
            old, self._table = self._table, array("Q", [0]) * (2 * len(self._table))
            for kept in old:
                if kept:
                    self._table[self._slot(kept)] = kept
        return True

    def _slot(self, value: int) -> int:
        last = len(self._table) - 1
        slot = value & last
        while self._table[slot] not in {0, value}:
            slot = (slot + 1) & last
        return slot


@dataclass(frozen=True, slots=True)
class ZipReader:
    """Reads members by offset from one open file."""

    file: BinaryIO

    def read(self, item: ItemRef) -> bytes:
        if item.stamp is None:
            raise ValueError(f"{item.path!r} was not listed by an archive")
        return zip_member.read_member(self.file, item.locator, item.stamp)


@dataclass(frozen=True, slots=True)
class TarReader:
    """Reads members by their offset in the unpacked stream."""

    stream: BinaryIO
    location: str

    def read(self, item: ItemRef) -> bytes:
        _, _, problem = (item.stamp or "").partition(PROBLEM)
        if problem:
            raise UnreadableImageError(problem)
        size = item.size or 0
        if size > zip_member.LARGEST_MEMBER:
            raise UnreadableImageError(f"{size} bytes in its tar; the most read is {zip_member.LARGEST_MEMBER}")
        with tar_listing.damage_named(self.location):
            self.stream.seek(item.locator)
            content = self.stream.read(size)
        if len(content) < size:
            raise CorruptSourceError(f"{self.location} ends inside {item.path!r}: it is truncated. Fetch it again.")
        return content


@contextmanager
def _zip_reader(location: str) -> Iterator[Reader]:
    with Path(location).open("rb") as file:
        yield ZipReader(file)


@contextmanager
def _tar_reader(location: str, packing: tar_listing.Packing) -> Iterator[Reader]:
    with tar_listing.unpacked_stream(Path(location), packing) as stream:
        yield TarReader(stream, location)


def build(location: str, options: Mapping[str, str]) -> Archive:
    """An archive source. Raises WrongCallError, MissingPathError, CorruptSourceError.

    With a CSV of groups the archive is listed once here, to check that it holds every path of it.
    """
    check_options("archive", options, OPTIONS)
    path = Path(location).expanduser().absolute()
    if not path.exists():
        raise MissingPathError(f"There is no archive {path}: put it there, or name where it is.")
    if path.is_dir():
        raise WrongCallError(f"{path} is a folder, not an archive.")
    try:
        found = format_of(path)
    except OSError as error:
        raise CorruptSourceError(f"{path} cannot be opened: {error.strerror or error}.") from error
    if found is None:
        raise CorruptSourceError(f"{path} is neither a zip nor a tar (plain, gzip, bzip2, xz), or it is truncated.")
    source = Archive(location=str(path), options=grouping.with_absolute_csv(options), format=found)
    _check_groups(source)
    return source


def _check_groups(source: Archive) -> None:
    wanted = set(grouping.listed_paths(source.options))
    if wanted:
        for item in source.items():
            wanted.discard(item.path)
        if wanted:
            raise grouping.not_found(source.options[grouping.OPTION], min(wanted), source.location)


SOURCES.add(
    "archive",
    SourceKind(
        name="archive",
        summary="images inside a zip or tar (.tar, .tar.gz, .tar.bz2, .tar.xz), read in place",
        example="semsim compare photos.zip others.tar.gz",
        licence="your own files",
        build=build,
        options=OPTIONS,
    ),
)
