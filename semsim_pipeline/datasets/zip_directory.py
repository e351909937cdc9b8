"""A zip's central directory as a stream of entries.

The standard library's zipfile keeps an object for every entry (58 MB for 100,000), which a listing with flat memory
cannot afford; this reads the same records one at a time. Format: PKWARE's APPNOTE.TXT 6.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from semsim_pipeline.errors import CorruptSourceError

END = struct.Struct("<4s4H2LH")
END_SIGNATURE = b"PK\x05\x06"
END64_LOCATOR = struct.Struct("<4sLQL")
END64_LOCATOR_SIGNATURE = b"PK\x06\x07"
END64 = struct.Struct("<4sQ2H2L4Q")
END64_SIGNATURE = b"PK\x06\x06"
ENTRY = struct.Struct("<4s6H3L5H2L")
ENTRY_SIGNATURE = b"PK\x01\x02"

LONGEST_COMMENT = 0xFFFF
IN_ZIP64 = 0xFFFFFFFF
ZIP64_EXTRA = 0x0001
UNICODE_PATH_EXTRA = 0x7075
ENCRYPTED_FLAG = 0x0001
UTF8_FLAG = 0x0800


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipEntry:
    """One member as the central directory has it. offset: of its local header, from the start of the file, with what
    was put before the archive counted in. compressed, size: bytes."""

    name: str
    offset: int
    crc: int
    compressed: int
    size: int
    method: int
    encrypted: bool


class _Directory(NamedTuple):
    start: int
    size: int
    shift: int


def entries_of(path: Path) -> Iterator[ZipEntry]:
    """Every entry in the directory's order, folders included.

    Raises CorruptSourceError: no end record (truncated), or a directory that does not hold what it says.
    Memory: one entry and a read buffer.
    """
    with path.open("rb") as file:
        directory = find_directory(file)
        if directory is None:
            raise CorruptSourceError(
                f"{path} ends without a zip directory: it is truncated or still downloading. Fetch it again."
            )
        file.seek(directory.start)
        left = directory.size
        while left > 0:
            head = file.read(ENTRY.size)
            if len(head) < ENTRY.size or head[:4] != ENTRY_SIGNATURE:
                raise CorruptSourceError(f"{path}: the zip directory is broken at byte {file.tell() - len(head)}.")
            fields = ENTRY.unpack(head)
            name_size, extra_size, comment_size = fields[10:13]
            rest = file.read(name_size + extra_size + comment_size)
            if len(rest) < name_size + extra_size + comment_size:
                raise CorruptSourceError(f"{path}: the zip directory ends in the middle of an entry.")
            yield _entry(fields, rest[:name_size], rest[name_size : name_size + extra_size], directory.shift)
            left -= len(head) + len(rest)


def find_directory(file: BinaryIO) -> _Directory | None:
    """Where the central directory lies, or None where this is no zip.

    shift: bytes before the archive's own first byte (a self-extractor); offsets in the records do not count them.
    """
    total = file.seek(0, 2)
    tail_start = max(0, total - END.size - LONGEST_COMMENT)
    file.seek(tail_start)
    tail = file.read()
    # From the back: the signature may also occur in a comment or in the data, then no directory lies before it.
    at = tail.rfind(END_SIGNATURE)
    while at >= 0:
        if at + END.size <= len(tail):
            found = _directory_before(file, tail_start + at, END.unpack(tail[at : at + END.size]))
            if found is not None:
                return found
        at = tail.rfind(END_SIGNATURE, 0, at + len(END_SIGNATURE) - 1)
    return None


def _directory_before(
    file: BinaryIO, end: int, record: tuple[bytes, int, int, int, int, int, int, int]
) -> _Directory | None:
    count, size, offset = record[4:7]
    wide = _zip64_record(file, end)
    if wide is not None:
        end, count, size, offset = wide
    for start in (end - size, offset):
        if start < 0:
            continue
        file.seek(start)
        if (file.read(4) == ENTRY_SIGNATURE) if count else (size == 0):
            return _Directory(start=start, size=size, shift=start - offset)
    return None


def _zip64_record(file: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    """(its position, entries, directory's size and offset) from the wide end record, where there is one."""
    at = end - END64_LOCATOR.size
    if at < END64.size:
        return None
    file.seek(at)
    signature, _disk, written_at, _disks = END64_LOCATOR.unpack(file.read(END64_LOCATOR.size))
    if signature != END64_LOCATOR_SIGNATURE:
        return None
    for start in (at - END64.size, written_at):  # the second, where the record was extended
        file.seek(start)
        record = file.read(END64.size)
        if len(record) == END64.size and record[:4] == END64_SIGNATURE:
            fields = END64.unpack(record)
            return start, fields[7], fields[8], fields[9]
    return None


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes, shift: int) -> ZipEntry:
    flags, method = fields[3], fields[4]
    crc, compressed, size = fields[7:10]
    offset = fields[16]
    name = _text(raw_name, flags)
    for tag, data in _extras(extra):
        if tag == ZIP64_EXTRA:
            wide = iter(struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]))
            # Only the values that did not fit are there, in this order.
            size = next(wide, size) if size == IN_ZIP64 else size
            compressed = next(wide, compressed) if compressed == IN_ZIP64 else compressed
            offset = next(wide, offset) if offset == IN_ZIP64 else offset
        elif tag == UNICODE_PATH_EXTRA and len(data) > 5:
            version, name_crc = struct.unpack("<BL", data[:5])
            if version == 1 and name_crc == zlib.crc32(raw_name):
                name = data[5:].decode("utf-8", "surrogateescape")
    return ZipEntry(
        name=name,
        offset=offset + shift,
        crc=crc,
        compressed=compressed,
        size=size,
        method=method,
        encrypted=bool(flags & ENCRYPTED_FLAG),
    )


def _text(raw: bytes, flags: int) -> str:
    text = raw.decode("utf-8", "surrogateescape") if flags & UTF8_FLAG else raw.decode("cp437")
    return text.split("\0", 1)[0]  # as zipfile does: a name ends at a zero byte


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, at)
        yield tag, extra[at + 4 : at + 4 + size]
        at += 4 + size
