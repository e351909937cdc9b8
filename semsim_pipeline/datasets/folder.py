"""The source `folder`: image files below a folder, the first sub-folder being the label."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from semsim_pipeline.datasets import grouping
from semsim_pipeline.datasets.base import SOURCES, Reader, SourceKind, check_options
from semsim_pipeline.datasets.layout import (
    is_image_name,
    is_skipped,
    label_of,
    spelled,
    stamp_of_file,
    unspelled,
    what_is_there,
)
from semsim_pipeline.datasets.stamp import Stamp, Stamper
from semsim_pipeline.errors import CorruptSourceError, MissingPathError, UnreadableImageError, WrongCallError
from semsim_pipeline.records import ItemRef

OPTIONS = (grouping.OPTION,)
LARGEST_FILE = 1 << 30
"""Bytes; an image file beyond it is refused rather than read into memory."""

Inode = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Every image file below a folder, in the order: files by name, then sub-folders by name.

    Links are followed; a link back to a folder that contains it is skipped. An image's label is its first sub-folder,
    "" in the root. Memory: the names of one folder at a time (and of its parents' sub-folders).
    """

    location: str
    options: Mapping[str, str] = field(default_factory=dict)
    kind: str = "folder"
    label_columns: tuple[str, ...] = ("label",)

    def items(self) -> Iterator[ItemRef]:
        group_of = grouping.group_by(self.options)
        for path, facts in self._images():
            yield ItemRef(
                path=path,
                labels={"label": label_of(path)},
                group=group_of(path),
                size=None if facts is None else facts.st_size,
                stamp=None if facts is None else stamp_of_file(facts),
            )

    def _images(self) -> Iterator[tuple[str, os.stat_result | None]]:
        for path, name in _files(self.location):
            if not is_image_name(name):
                continue
            try:
                facts = os.stat(os.path.join(self.location, name))  # noqa: PTH116, PTH118 - hot, and names may not be UTF-8
            except OSError:
                # A dangling link, or gone since: still an item, whose reading then fails with the reason.
                facts = None
            if facts is None or stat.S_ISREG(facts.st_mode):  # a pipe called x.jpg would block its reader for ever
                yield path, facts

    def stamp(self) -> Stamp:
        stamper = Stamper(self.options)
        for path, facts in self._images():
            stamper.add(path, facts)
        return stamper.done()

    def open(self) -> AbstractContextManager[Reader]:
        return nullcontext(FolderReader(location=self.location))

    def what_else(self) -> str:
        return what_is_there(name for _path, name in _files(self.location) if not is_image_name(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderReader:
    """Reads one file at a time; holds nothing open."""

    location: str

    def read(self, item: ItemRef) -> bytes:
        path = Path(self.location, unspelled(item.path))
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise UnreadableImageError(f"a file of {path.stat().st_size} bytes; the most read is {LARGEST_FILE}")
            return path.read_bytes()
        except OSError as error:
            raise UnreadableImageError(f"cannot be opened: {error.strerror or type(error).__name__}") from error


def _files(root: str) -> Iterator[tuple[str, str]]:
    """(path within the source, name on disk relative to root) of every file that is not skipped."""
    # Each entry: a folder to visit, relative to root ("" or ending in "/"), and the folders that contain it.
    todo: list[tuple[str, frozenset[Inode]]] = [("", frozenset())]
    while todo:
        folder, above = todo.pop()
        files, folders, here = _listing(root, folder)
        if here in above:
            continue  # a link back to a folder that contains it
        for name in files:
            yield "/".join(map(spelled, [*folder.split("/")[:-1], name])), folder + name
        chain = above | {here}
        todo.extend((f"{folder}{name}/", chain) for name in reversed(folders))


def _listing(root: str, folder: str) -> tuple[list[str], list[str], Inode]:
    """One folder's files and sub-folders by name, and its identity (links followed)."""
    where = Path(root, folder)
    files: list[str] = []
    folders: list[str] = []
    try:
        itself = where.stat()
        with os.scandir(where) as entries:
            for entry in entries:
                if not is_skipped(entry.name):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except FileNotFoundError as error:
        raise MissingPathError(f"There is no folder {where}.") from error
    except OSError as error:
        raise CorruptSourceError(f"The folder {where} cannot be listed: {error.strerror or error}.") from error
    return sorted(files), sorted(folders), (itself.st_dev, itself.st_ino)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself: listed as a file, so that an image name of that kind is reported


def build(location: str, options: Mapping[str, str]) -> Folder:
    """A folder source. Raises WrongCallError, MissingPathError; reads nothing but the group CSV, where there is one."""
    check_options("folder", options, OPTIONS)
    path = Path(location).expanduser().absolute()
    if not path.exists():
        raise MissingPathError(f"There is no folder {path}.")
    if not path.is_dir():
        raise WrongCallError(f"{path} is a file, not a folder.")
    options = grouping.with_absolute_csv(options)
    for listed in grouping.listed_paths(options):
        if not (path / unspelled(listed)).exists():
            raise grouping.not_found(options[grouping.OPTION], listed, str(path))
    return Folder(location=str(path), options=options)


SOURCES.add(
    "folder",
    SourceKind(
        name="folder",
        summary="image files below a folder; the first sub-folder is the label",
        example="semsim compare photos/ other-photos/",
        licence="your own files",
        build=build,
        options=OPTIONS,
    ),
)
