"""Members of a tar, packed or not, as a stream; and a handle from which they are read by offset."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from semsim_pipeline.errors import CorruptSourceError

Packing = Literal["plain", "gzip", "bzip2", "xz"]

MAGIC: tuple[tuple[bytes, Packing], ...] = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"))


EndOfTar: type[tarfile.HeaderError] = tarfile.EOFHeaderError  # type: ignore[attr-defined] # typeshed leaves it out


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """One member. offset: of its bytes in the unpacked stream. problem: why its bytes are not there (a link)."""

    name: str
    offset: int
    size: int
    problem: str | None = None


def packing_of(first: bytes) -> Packing | None:
    """How a tar is packed, from the file's first 512 bytes; None where it is none of these."""
    for magic, packing in MAGIC:
        if first.startswith(magic):
            return packing
    try:
        tarfile.TarInfo.frombuf(first[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    return "plain"


def unpacked_stream(path: Path, packing: Packing) -> BinaryIO:
    """The tar's own bytes, to be closed; seekable: forward at the cost of unpacking, backward from the start again.

    What its methods raise on damage differs by packing: use it under `damage_named`. Raises OSError.
    """
    import bz2
    import gzip
    import lzma

    openers: dict[Packing, Callable[[Path, Literal["rb"]], object]] = {
        "plain": Path.open,
        "gzip": gzip.open,
        "bzip2": bz2.open,
        "xz": lzma.open,
    }
    return cast("BinaryIO", openers[packing](path, "rb"))


@contextmanager
def damage_named(location: str) -> Iterator[None]:
    """Whatever a decompressor or the tar reader finds wrong becomes a CorruptSourceError."""
    import lzma

    try:
        yield
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise CorruptSourceError(f"{location}: a damaged or truncated tar ({error}). Fetch it again.") from error


def entries_of(path: Path, packing: Packing) -> Iterator[TarEntry]:
    """Every file and link in the archive's order. Raises CorruptSourceError.

    Memory: one member; the standard TarFile keeps them all, so its `next` is not used. Neither is its silence: it takes
    garbage between members for the end, and a tar that was cut off at a member for a whole one.
    """
    with damage_named(str(path)), unpacked_stream(path, packing) as stream:
        archive = tarfile.TarFile(fileobj=stream, mode="r", errors="surrogateescape")
        archive.offset = 0
        while True:
            stream.seek(archive.offset)  # beyond the end too; reading a header there then fails
            try:
                member = tarfile.TarInfo.fromtarfile(archive)
            except EndOfTar:
                return
            if member.isreg() or member.issym() or member.islnk():
                yield TarEntry(
                    name=member.name, offset=member.offset_data, size=member.size, problem=_problem_of(member)
                )


def _problem_of(member: tarfile.TarInfo) -> str | None:
    if member.issym() or member.islnk():
        return f"a link inside the tar to {member.linkname!r}; pack with --hard-dereference --dereference instead"
    return "a sparse file inside the tar; pack it without --sparse" if member.issparse() else None
