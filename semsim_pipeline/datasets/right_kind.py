"""Whether a file that came is what its name says: a look at its structure, cheap at any size.

A server may send a page to log in, and a mirror half a file, both with a length that fits. A look is no checksum:
damage in the middle shows when it is read.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Literal

from semsim_pipeline.datasets import tar_listing, zip_directory
from semsim_pipeline.datasets.parquet_reader import opened
from semsim_pipeline.errors import CorruptSourceError

Kind = Literal["zip", "Parquet file", "tar"]

NAMES: tuple[tuple[str, Kind], ...] = (
    (r".*\.zip", "zip"),
    (r".*\.parquet", "Parquet file"),
    (r".*\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)", "tar"),
)
HEAD = 1024
LOCAL_HEADER = b"PK\x03\x04"
PARQUET_MAGIC = b"PAR1"
PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*(<!doctype html|<html|<head|<body)", re.IGNORECASE | re.DOTALL)
PIECE = 1 << 20


def kind_of_name(name: str) -> Kind | None:
    """What a file's name says that it is; None where it says nothing that can be looked at.

    >>> kind_of_name("a.ZIP"), kind_of_name("cifar-10-python.tar.gz"), kind_of_name("download")
    ('zip', 'tar', None)
    """
    return next((kind for pattern, kind in NAMES if re.fullmatch(pattern, name, re.IGNORECASE)), None)


def problem_of(path: Path, name: str) -> str | None:
    """What is wrong with a file that is to be called `name`, to be read behind `it`; None where nothing is.

    Looked at: a zip's central directory and its first entry, a Parquet file's footer, a tar's first member.
    Raises OSError where the file cannot be read.   Memory: a megabyte, and a Parquet file's footer.
    """
    kind = kind_of_name(name)
    if kind is None:
        return None
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return f"is empty, not a {kind}"
    if PAGE.match(head):
        return f"is a web page (HTML), not a {kind}"
    is_whole = {"zip": _is_zip, "Parquet file": _is_parquet, "tar": _is_tar}[kind]
    try:
        if is_whole(path, head):
            return None
    except CorruptSourceError:
        pass
    return f"is a {kind} that is cut short or damaged" if _begins_like(kind, head) else f"is not a {kind}"


def _is_zip(path: Path, _head: bytes) -> bool:
    with path.open("rb") as file:
        if zip_directory.find_directory(file) is None:
            return False
        for entry in islice(zip_directory.entries_of(path), 1):
            if entry.offset < 0:  # the beginning is missing
                return False
            file.seek(entry.offset)
            return file.read(len(LOCAL_HEADER)) == LOCAL_HEADER
    return True  # a zip without entries


def _is_parquet(path: Path, _head: bytes) -> bool:
    with opened(path):  # reads the footer
        return True


def _is_tar(path: Path, head: bytes) -> bool:
    packing = tar_listing.packing_of(head[:512])
    if packing is None:
        return False
    for entry in islice(tar_listing.entries_of(path, packing), 1):
        with tar_listing.damage_named(str(path)), tar_listing.unpacked_stream(path, packing) as stream:
            stream.seek(entry.offset)
            left = entry.size
            while left > 0 and (piece := stream.read(min(left, PIECE))):
                left -= len(piece)
            return left == 0
    return True  # a tar without files


def _begins_like(kind: Kind, head: bytes) -> bool:
    if kind == "tar":
        return tar_listing.packing_of(head[:512]) is not None
    return head.startswith(LOCAL_HEADER if kind == "zip" else PARQUET_MAGIC)
