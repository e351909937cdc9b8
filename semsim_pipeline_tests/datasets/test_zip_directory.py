"""The zip reader against the standard library's, which holds everything in memory but is right."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semsim_pipeline.datasets.archive import build
from semsim_pipeline.datasets.zip_directory import entries_of
from semsim_pipeline.datasets.zip_member import read_member, stamp_of
from semsim_pipeline.errors import CorruptSourceError, UnreadableImageError
from semsim_pipeline_tests.datasets.conftest import CIFAKE, make_zip, needs_cifake

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


def check_against_zipfile(path: Path) -> int:
    with zipfile.ZipFile(path) as oracle, path.open("rb") as file:
        expected = oracle.infolist()
        got = list(entries_of(path))
        assert [(e.name, e.size, e.compressed, e.crc, e.method, e.offset) for e in got] == [
            (i.filename, i.file_size, i.compress_size, i.CRC, i.compress_type, i.header_offset) for i in expected
        ]
        for entry, info in zip(got, expected, strict=True):
            if not info.is_dir():
                assert read_member(file, entry.offset, stamp_of(entry)) == oracle.read(info)
    return len(got)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.dictionaries(
        NAMES, st.tuples(st.binary(max_size=300), st.sampled_from(METHODS), st.booleans()), max_size=6
    ),
    comment=st.one_of(st.binary(max_size=60), st.just(b"PK\x05\x06" + b"\x01" * 18), st.just(b"x" * 65535)),
    junk=st.binary(max_size=200),
    streamed=st.booleans(),
)
def test_agrees_with_zipfile(
    tmp_path: Path,
    members: dict[str, tuple[bytes, int, bool]],
    comment: bytes,
    junk: bytes,
    streamed: bool,
) -> None:
    class NoSeek(io.BytesIO):
        def seekable(self) -> bool:
            return not streamed

    out = NoSeek()
    with zipfile.ZipFile(out, "w") as archive:
        for name, (content, method, wide) in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=wide) as member:
                member.write(content)
        archive.comment = comment
    path = tmp_path / "x.zip"
    path.write_bytes(junk + out.getvalue())
    try:
        zipfile.ZipFile(path).close()
    except zipfile.BadZipFile:
        return  # the comment holds an end record, which zipfile takes for the real one; ours may do better
    if comment.startswith(b"PK"):
        assert len(list(entries_of(path))) == len(members)
    else:
        assert check_against_zipfile(path) == len(members)


def test_zip64_end_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # zipfile writes the wide end record, sizes and offsets from these limits on.
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 50)
    path = make_zip(tmp_path / "x.zip")
    monkeypatch.undo()
    assert b"PK\x06\x06" in path.read_bytes()
    assert check_against_zipfile(path) == 10
    path.write_bytes(b"#!/bin/sh\n" * 9 + path.read_bytes())
    assert check_against_zipfile(path) == 10


def test_cp437_names(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("e.jpg", b"x")
    path.write_bytes(path.read_bytes().replace(b"e.jpg", b"\x82.jpg"))
    assert next(entries_of(path)).name == "é.jpg"


def test_damage_is_that_members_own(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"0123456789" * 10)
        archive.writestr("b.jpg", b"whole")
    path.write_bytes(path.read_bytes().replace(b"0123456789" * 10, b"x" * 100))
    source = build(str(path), {})
    first, second = source.items()
    with source.open() as reader:
        with pytest.raises(UnreadableImageError, match="checksum"):
            reader.read(first)
        assert reader.read(second) == b"whole"


def patched_entry(tmp_path: Path, at: int, layout: str, value: int, method: int = zipfile.ZIP_DEFLATED) -> str:
    """The error for a member whose central entry has one field overwritten."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.jpg", bytes(100_000))
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, content.index(b"PK\x01\x02") + at, value)
    path.write_bytes(content)
    source = build(str(path), {})
    with source.open() as reader, pytest.raises(UnreadableImageError) as caught:
        reader.read(next(source.items()))
    return str(caught.value)


def test_encrypted_unknown_and_lying_members(tmp_path: Path) -> None:
    assert "encrypted" in patched_entry(tmp_path, 8, "<H", 1)
    assert "method 99" in patched_entry(tmp_path, 10, "<H", 99)
    assert "the most read" in patched_entry(tmp_path, 24, "<L", 1 << 31)
    assert "no member" in patched_entry(tmp_path, 42, "<L", 7)
    assert "ends inside" in patched_entry(tmp_path, 20, "<L", 90_000)
    for method in METHODS[1:]:
        assert "not as declared" in patched_entry(tmp_path, 24, "<L", 500, method)


def test_a_broken_directory(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip")
    content = bytearray(path.read_bytes())
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    content[second] = 0
    path.write_bytes(content)
    with pytest.raises(CorruptSourceError, match="broken at byte"):
        list(build(str(path), {}).items())


def test_a_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(50_000_000))
    content = bytearray(path.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 1000)
    path.write_bytes(content)
    source = build(str(path), {})
    item = next(source.items())
    with source.open() as reader:
        tracemalloc.start()
        with pytest.raises(UnreadableImageError):
            reader.read(item)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1_000_000


def test_listing_fifty_thousand_is_flat(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(50_000):
            archive.writestr(f"train/{i % 10}/{i:06d}.jpg", b"")
    source = build(str(path), {})
    tracemalloc.start()
    count = sum(1 for _ in source.items())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 2_000_000  # zipfile: about 29 MB


@needs_cifake
def test_the_real_cifake_zip() -> None:
    with zipfile.ZipFile(CIFAKE) as oracle:
        infos = oracle.infolist()
        got = list(entries_of(CIFAKE))
        assert [(e.name, e.size, e.offset) for e in got] == [(i.filename, i.file_size, i.header_offset) for i in infos]
        with CIFAKE.open("rb") as file:
            for entry in got[::997]:
                assert read_member(file, entry.offset, stamp_of(entry)) == oracle.read(entry.name)
