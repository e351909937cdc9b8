from __future__ import annotations

import hashlib
import json
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from semsim_pipeline.errors import StoreError
from semsim_pipeline.store import writer
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.reader import digests, read, read_many, verify
from semsim_pipeline.store.schema import PART_ROWS, SetKey
from semsim_pipeline.store.writer import failed_name, part_name, write_failures, write_part

KEY = SetKey(encoder="timm:Vit/B.16", fingerprint="f", decode_version=1)


def ids(*numbers: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]


def table(n: int, dim: int = 5, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@pytest.fixture
def stored(tmp_path: Path) -> EmbeddingSet:
    """Images 0..4 in one part, 5..7 in another, 8 failed."""
    embeddings = EmbeddingSet.at(tmp_path, KEY)
    embeddings.create()
    write_part(embeddings.folder / part_name("a"), KEY, ids(*range(5)), table(8)[:5], planned=5)
    write_part(embeddings.folder / part_name("b"), KEY, ids(5, 6, 7), table(8)[5:], planned=4)
    write_failures(embeddings.folder / failed_name("b"), KEY, {ids(8)[0]: "truncated"}, planned=4)
    embeddings.name_parts(part_name("a"), failed_name("b"), part_name("b"))
    return embeddings


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.integers(1, 40).flatmap(
        lambda n: arrays(np.float32, st.tuples(st.just(n), st.integers(1, 9)), elements=st.floats(width=32))
    ),
    cut=st.integers(1, 40),
    order=st.randoms(use_true_random=False),
)
def test_round_trip_whatever_the_values_the_cut_and_the_order(tmp_path_factory, rows, cut, order) -> None:
    embeddings = EmbeddingSet.at(tmp_path_factory.mktemp("home"), KEY)
    embeddings.create()
    every = ids(*range(len(rows)))
    for start in range(0, len(rows), cut):
        name = part_name(str(start))
        part = slice(start, start + cut)
        write_part(embeddings.folder / name, KEY, every[part], rows[part], planned=cut)
        embeddings.name_parts(name)
    asked = [order.randrange(len(rows)) for _ in range(len(rows) + 3)]
    assert read(embeddings, [every[i] for i in asked]).tobytes() == rows[asked].tobytes()
    assert embeddings.counts() == (len(rows), 0)


def test_any_parquet_reader_reads_a_part(stored: EmbeddingSet) -> None:
    path = stored.folder / part_name("a")
    frame = pl.read_parquet(path)
    assert frame.schema == {"image_id": pl.String, "embedding": pl.Array(pl.Float32, 5)}
    np.testing.assert_array_equal(frame["embedding"].to_numpy(), table(8)[:5])
    arrow = pq.read_table(path)
    assert arrow.schema.field("embedding").type.list_size == 5
    assert not arrow.schema.field("embedding").type.value_field.nullable
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    assert not any("DICTIONARY" in encoding for encoding in column.encodings)
    assert column.statistics is None
    assert arrow.schema.metadata[b"semsim.fingerprint"] == b"f"


def test_the_key_is_everything_that_changes_numbers_and_nothing_else() -> None:
    other = SetKey(encoder="alias", fingerprint="f", decode_version=1)
    assert other.digest == KEY.digest
    assert (
        len(
            {
                KEY.digest,
                *(
                    k.digest
                    for k in (
                        SetKey(encoder="e", fingerprint="g", decode_version=1),
                        SetKey(encoder="e", fingerprint="f", decode_version=2),
                        SetKey(encoder="e", fingerprint="f", decode_version=1, schema_version=2),
                    )
                ),
            }
        )
        == 4
    )
    assert KEY.folder_name == f"timm-vit-b-16-{KEY.digest[:12]}"


def test_read_many_opens_each_part_once(stored: EmbeddingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = pq.ParquetFile.read_row_group

    def spy(self, *args, **kwargs):
        opened.append("group")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    got = read_many(stored, {"one": ids(6, 0), "two": ids(0, 0, 7), "none": []})
    assert len(opened) == 2
    np.testing.assert_array_equal(got["one"], table(8)[[6, 0]])
    np.testing.assert_array_equal(got["two"], table(8)[[0, 0, 7]])
    assert got["none"].shape == (0, 5)
    opened.clear()
    read(stored, ids(1))
    assert len(opened) == 1, "a part that no view needs is not read"


def test_an_image_that_is_not_there_is_an_error_that_counts(stored: EmbeddingSet) -> None:
    with pytest.raises(StoreError, match=r"2 of 3 images .* embed the dataset again"):
        read(stored, ids(0, 8, 99))
    with pytest.raises(ValueError, match="64 digits"):
        digests(["abc"])


def test_a_part_is_small(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 to 4096 rows"):
        write_part(tmp_path / "p", KEY, ids(*range(PART_ROWS + 1)), table(PART_ROWS + 1, 1), planned=1)
    with pytest.raises(ValueError, match="do not agree"):
        write_part(tmp_path / "p", KEY, ids(1), table(2), planned=1)


def test_a_whole_part_that_no_manifest_names_is_adopted(stored: EmbeddingSet) -> None:
    write_part(stored.folder / part_name("c"), KEY, ids(9), table(1), planned=1)
    assert stored.counts() == (8, 1), "a part that the manifest does not name does not exist"
    stored.recover()
    assert stored.counts() == (9, 1)
    np.testing.assert_array_equal(read(stored, ids(9)), table(1))


def test_strays_that_are_cut_foreign_or_double_are_removed(stored: EmbeddingSet, caplog) -> None:
    whole = (stored.folder / part_name("a")).read_bytes()
    (stored.folder / part_name("cut")).write_bytes(whole[: len(whole) // 2])
    other = SetKey(encoder="x", fingerprint="other", decode_version=1)
    write_part(stored.folder / part_name("foreign"), other, ids(20), table(1), planned=1)
    write_part(stored.folder / part_name("double"), KEY, ids(21, 3), table(2), planned=2)
    write_part(stored.folder / part_name("wide"), KEY, ids(22, 22), table(2), planned=2)
    with caplog.at_level(logging.WARNING):
        stored.recover()
    left = {path.name for path in stored.folder.glob("*.parquet")}
    assert left == {part_name("a"), part_name("b"), failed_name("b")}
    assert len(caplog.records) == 4
    assert verify(stored) == []


def test_a_named_part_that_is_gone_or_cut_counts_as_not_embedded(stored: EmbeddingSet, caplog) -> None:
    (stored.folder / part_name("a")).unlink()
    path = stored.folder / part_name("b")
    path.write_bytes(path.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING):
        stored.recover()
    assert stored.counts() == (0, 1)
    assert "is gone" in caplog.text


def test_a_lost_manifest_is_made_again_from_the_parts(stored: EmbeddingSet) -> None:
    (stored.folder / "parts.json").write_text("{")
    stored.recover()
    assert stored.counts() == (8, 1)
    assert stored.failed().collect().to_dicts() == [{"image_id": ids(8)[0], "error": "truncated"}]


def test_verify_sees_a_flipped_bit_nan_and_a_lost_part(stored: EmbeddingSet) -> None:
    assert verify(stored) == []
    path = stored.folder / part_name("a")
    content = bytearray(path.read_bytes())
    where = content.find(table(8)[2].tobytes())
    content[where] ^= 1
    path.write_bytes(content)
    assert "cannot be read" in verify(stored)[0]
    with pytest.raises(StoreError, match="cannot be read"):
        read(stored, ids(2))
    path.unlink()
    assert "cannot be read" in verify(stored)[0]
    bad = np.full((1, 5), np.nan, dtype=np.float32)
    write_part(stored.folder / part_name("nan"), KEY, ids(30), bad, planned=1)
    stored.name_parts(part_name("nan"))
    assert any("NaN" in line for line in verify(stored))


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(stored: EmbeddingSet) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = stored.folder / f".tmp-{dead.pid}-00"
    mine, old = stored.folder / f".tmp-{os.getpid()}-00", stored.folder / f".tmp-{os.getpid()}-01"
    for path in (gone, mine, old):
        path.touch()
    os.utime(old, (0, 0))
    stored.recover()
    assert [path.exists() for path in (gone, mine, old)] == [False, True, False]


def test_a_failed_write_leaves_nothing_and_says_what_to_do(stored: EmbeddingSet, monkeypatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(path.name for path in stored.folder.iterdir())
    monkeypatch.setattr(writer.os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device\. Free some space or set SEMSIM_HOME"):
        write_part(stored.folder / part_name("z"), KEY, ids(50), table(1), planned=1)
    assert sorted(path.name for path in stored.folder.iterdir()) == before


def test_a_file_size_limit_is_one_clear_error(stored: EmbeddingSet) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StoreError, match="Cannot write"):
            write_part(stored.folder / part_name("z"), KEY, ids(*range(100, 400)), table(300), planned=300)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (stored.folder / part_name("z")).exists()
    assert not list(stored.folder.glob(".tmp-*"))
    assert read(stored, ids(0)).shape == (1, 5)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "embeddings").touch()
    with pytest.raises(StoreError, match="Cannot write"):
        EmbeddingSet.at(tmp_path, KEY).create()


def test_another_sets_folder_is_refused(stored: EmbeddingSet) -> None:
    said = stored.folder / "set.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"key": "0" * 64}))
    with pytest.raises(StoreError, match="describes another encoder"):
        stored.create()


def test_parts_of_two_widths_are_refused(stored: EmbeddingSet) -> None:
    write_part(stored.folder / part_name("w"), KEY, ids(40), table(1, 6), planned=1)
    with pytest.raises(StoreError, match="different widths"):
        stored.name_parts(part_name("w"))
    assert stored.dim == 5


def test_importing_the_store_is_light() -> None:
    code = (
        "import sys, semsim_pipeline.store.reader, semsim_pipeline.store.index, semsim_pipeline.store.manifest;"
        "print(sorted({'polars', 'pyarrow', 'filelock'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_adopting_reads_each_part_once(stored: EmbeddingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        write_part(stored.folder / part_name(f"stray{number}"), KEY, ids(50 + number), table(1), planned=1)
    # Twins: of a stray that is adopted (so it goes), and of one that goes (so it stays).
    write_part(stored.folder / part_name("stray8"), KEY, ids(50, 60), table(2), planned=2)
    write_part(stored.folder / part_name("stray9"), KEY, ids(60), table(1), planned=1)
    read_parts: list[str] = []
    for name in ("read_parquet", "scan_parquet"):
        real = getattr(pl, name)

        def counted(source, *args, real=real, **options):
            read_parts.extend(Path(each).name for each in (source if isinstance(source, list) else [source]))
            return real(source, *args, **options)

        monkeypatch.setattr(pl, name, counted)
    stored.recover()
    assert max(read_parts.count(name) for name in read_parts) == 1
    assert stored.counts() == (8 + 5 + 1, 1)
    assert verify(stored) == []
