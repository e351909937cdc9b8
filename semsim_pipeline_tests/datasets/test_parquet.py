from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semsim_pipeline.datasets.parquet import build
from semsim_pipeline.errors import CorruptSourceError, UnknownNameError, UnreadableImageError, WrongCallError
from semsim_pipeline_tests.datasets.conftest import jpeg, make_parquet


def write(path: Path, columns: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_labels_are_named_and_paths_unique(tmp_path: Path) -> None:
    source = build(str(make_parquet(tmp_path / "rows.parquet")), {})
    items = list(source.items())
    assert source.label_columns == ("label", "source")  # a float is no label
    assert items[3].labels == {"label": "dog", "source": "s3"}
    assert items[3].path == "rows.parquet/3/0.jpg"
    with source.open() as reader:
        assert [reader.read(item) for item in items] == [jpeg(i) for i in range(40)]
        assert reader.read(items[39]) == jpeg(39)
        assert reader.read(items[5]) == jpeg(5)


def test_shards_in_order(tmp_path: Path) -> None:
    for i, name in enumerate(("data/train-00001.parquet", "data/train-00000.parquet", "data/.hidden.parquet")):
        write(tmp_path / name, {"img": [jpeg(10 * i + k) for k in range(3)], "label": [f"c{i}"] * 3})
    write(tmp_path / "data/empty.parquet", {"img": pa.array([], pa.binary()), "label": pa.array([], pa.string())})
    source = build(str(tmp_path), {})
    items = list(source.items())
    assert [i.path for i in items] == [f"data/train-0000{s}.parquet/{r}" for s in (0, 1) for r in range(3)]
    with source.open() as reader:
        assert [reader.read(item) for item in items] == [jpeg(s + k) for s in (10, 0) for k in range(3)]


def test_a_shard_without_a_column(tmp_path: Path) -> None:
    write(tmp_path / "0.parquet", {"img": [jpeg(1)], "label": ["a"]})
    write(tmp_path / "1.parquet", {"img": [jpeg(1)]})
    with pytest.raises(CorruptSourceError, match="no column 'label'"):
        list(build(str(tmp_path), {}).items())


def test_kinds_of_label(tmp_path: Path) -> None:
    columns = {
        "bytes": [jpeg(1), jpeg(2)],
        "flag": [True, None],
        "word": pa.array(["x", None]).dictionary_encode(),
        "number": [7, None],
    }
    source = build(str(write(tmp_path / "x.parquet", columns)), {})
    assert [dict(i.labels) for i in source.items()] == [
        {"flag": "True", "word": "x", "number": "7"},
        {"flag": "", "word": "", "number": ""},
    ]


def test_which_column_is_the_image(tmp_path: Path) -> None:
    two = {"left": [{"bytes": jpeg(1)}], "right": [{"bytes": jpeg(2)}]}
    path = str(write(tmp_path / "two.parquet", two))
    with pytest.raises(WrongCallError, match="left, right"):
        build(path, {})
    source = build(path, {"image_column": "right"})
    with source.open() as reader:
        assert reader.read(next(source.items())) == jpeg(2)
    with pytest.raises(UnknownNameError, match="Did you mean 'right'"):
        build(path, {"image_column": "rihgt"})
    with pytest.raises(WrongCallError, match=r"no image column.*found label"):
        build(str(write(tmp_path / "none.parquet", {"label": ["a"]})), {})


def test_group_by_column(tmp_path: Path) -> None:
    path = str(make_parquet(tmp_path / "x.parquet"))
    assert [i.group for i in build(path, {"group_by": "source"}).items()][:3] == ["s0", "s1", "s2"]
    with pytest.raises(UnknownNameError, match="source"):
        build(path, {"group_by": "sorce"})


def test_a_null_image_is_one_failure(tmp_path: Path) -> None:
    rows = [{"bytes": None, "path": "elsewhere.jpg"}, {"bytes": jpeg(2), "path": None}]
    source = build(str(write(tmp_path / "x.parquet", {"image": rows})), {})
    first, second = source.items()
    with source.open() as reader:
        with pytest.raises(UnreadableImageError, match="no image bytes"):
            reader.read(first)
        assert reader.read(second) == jpeg(2)


def test_damage(tmp_path: Path) -> None:
    path = make_parquet(tmp_path / "x.parquet")
    whole = path.read_bytes()
    for broken in (b"", b"PAR1", whole[: len(whole) // 2], b"hello" * 100):
        path.write_bytes(broken)
        with pytest.raises(CorruptSourceError) as caught:
            build(str(path), {})
        assert "\n" not in str(caught.value)


def test_reading_holds_a_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = {"image": [bytes([i % 256]) * 100_000 for i in range(300)], "label": ["a"] * 300}
    # Pages are cut only between written batches; Arrow decodes whole pages.
    options = {"row_group_size": 300, "write_batch_size": 4, "compression": "none", "use_dictionary": False}
    pq.write_table(pa.table(columns), path, **options)
    source = build(str(path), {})
    items = list(source.items())
    before = pa.total_allocated_bytes()
    most = 0
    with source.open() as reader:
        for item in items:
            assert len(reader.read(item)) == 100_000
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 12_000_000  # the row group holds 30 MB
