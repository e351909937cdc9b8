"""The bytes of one zip member, read by its offset; never more of them than the directory declares."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from semsim_pipeline.datasets.zip_directory import ZipEntry
from semsim_pipeline.errors import UnreadableImageError

LOCAL_HEADER = struct.Struct("<4s5H3L2H")
LOCAL_SIGNATURE = b"PK\x03\x04"
LARGEST_MEMBER = 1 << 30
"""Bytes; a member that declares more is refused unread."""

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14


def stamp_of(entry: ZipEntry) -> str:
    """All that reading the member needs and that changes with its content: `crc-compressed-size-method`.

    >>> stamp_of(ZipEntry(name="a", offset=0, crc=255, compressed=3, size=4, method=8, encrypted=False))
    '000000ff-3-4-8'
    """
    method = "encrypted" if entry.encrypted else entry.method
    return f"{entry.crc:08x}-{entry.compressed}-{entry.size}-{method}"


def read_member(file: BinaryIO, offset: int, stamp: str) -> bytes:
    """One member's content, its length and CRC-32 checked.

    Raises UnreadableImageError: encrypted, an unknown method, too large, damaged, or longer than declared.
    Memory: the member, packed and unpacked; both at most LARGEST_MEMBER.
    """
    crc_text, compressed_text, size_text, method_text = stamp.split("-")
    if method_text == "encrypted":
        raise UnreadableImageError("encrypted in its zip; unpack it with the password first")
    compressed, size, method = int(compressed_text), int(size_text), int(method_text)
    if max(compressed, size) > LARGEST_MEMBER:
        raise UnreadableImageError(f"declares {max(compressed, size)} bytes; the most read is {LARGEST_MEMBER}")
    packed = _packed(file, offset, compressed)
    content = _unpacked(packed, size, method)
    if len(content) != size or zlib.crc32(content) != int(crc_text, 16):
        raise UnreadableImageError("damaged in its zip (its length or checksum is not as declared)")
    return content


def _packed(file: BinaryIO, offset: int, compressed: int) -> bytes:
    file.seek(offset)
    head = file.read(LOCAL_HEADER.size)
    if len(head) < LOCAL_HEADER.size or head[:4] != LOCAL_SIGNATURE:
        raise UnreadableImageError("damaged in its zip (no member where the directory says)")
    name_size, extra_size = LOCAL_HEADER.unpack(head)[9:11]
    file.seek(name_size + extra_size, 1)
    packed = file.read(compressed)
    if len(packed) < compressed:
        raise UnreadableImageError("damaged in its zip (the file ends inside it)")
    return packed


def _unpacked(packed: bytes, size: int, method: int) -> bytes:
    import bz2
    import lzma

    # One byte beyond the declared size is asked for, so that a member that holds more is caught and not inflated.
    most = size + 1
    try:
        if method == STORED:
            return packed
        if method == DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
        if method == BZIP2:
            return bz2.BZ2Decompressor().decompress(packed, most)
        if method == LZMA:
            return _unlzma(packed, size)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, struct.error) as error:
        raise UnreadableImageError(f"damaged in its zip ({error})") from error
    raise UnreadableImageError(f"packed by zip method {method}; stored, deflate, bzip2 and LZMA can be read")


def _unlzma(packed: bytes, size: int) -> bytes:
    """A zip's LZMA: two bytes of version, two of length, the five property bytes, then a raw stream."""
    import lzma

    properties, dictionary = struct.unpack_from("<BL", packed, 4)
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    # A dictionary beyond the content is never used, and allocating what a stranger declares (4 GiB) is a trap.
    dictionary = min(dictionary, max(size, 4096))
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    return decompressor.decompress(packed[9:], size + 1)
