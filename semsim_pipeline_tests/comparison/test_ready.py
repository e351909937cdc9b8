from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from semsim_pipeline.comparison.ready import load_ready
from semsim_pipeline.comparison.score import score_files
from semsim_pipeline.errors import InvalidEmbeddingsError
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.schema import SetKey, file_metadata
from semsim_pipeline.store.writer import part_name, write_part

KEY = SetKey(encoder="some", fingerprint="f" * 64, decode_version=1)
N = 20


def rows(seed: int, n: int = N) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)


def ids(*numbers: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]


def parquet(path: Path, values: NDArray[np.generic], key: SetKey | None = None, **columns: object) -> Path:
    table = pa.table({"embedding": pa.array(values.tolist(), pa.list_(pa.float32())), **columns})
    pq.write_table(table.replace_schema_metadata(file_metadata(key, len(values)) if key else None), path)
    return path


@pytest.mark.parametrize("strange", [list(range(N)), [None] * N, ["x"] * N, ids(*range(N))])
def test_other_peoples_image_ids_are_no_content_hashes(tmp_path: Path, strange: list[object]) -> None:
    a = parquet(tmp_path / "a.parquet", rows(1), image_id=strange)
    b = parquet(tmp_path / "b.parquet", rows(2), image_id=strange)
    assert score_files(a, b, metrics=["kid"]).overlap == 0
    assert score_files(a, a, metrics=["kid"]).overlap == N


@pytest.mark.parametrize("strange", [list(range(N)), [*ids(*range(N - 1)), None], ["g" * 64] * N, [" " * 64] * N])
def test_our_files_need_our_ids(tmp_path: Path, strange: list[object]) -> None:
    found = load_ready(parquet(tmp_path / "a.parquet", rows(1), KEY, image_id=strange))
    assert not found.by_image
    assert len(np.unique(found.side.content_codes)) == N


def test_our_ids_tell_copies_and_our_groups_bursts(tmp_path: Path) -> None:
    groups = pa.array(["g"] * 5 + [None] * 15, pa.string())
    found = load_ready(
        parquet(tmp_path / "a.parquet", rows(1), KEY, image_id=ids(*range(10), *range(10)), group=groups)
    )
    assert found.by_image
    assert len(np.unique(found.side.content_codes)) == 10
    assert found.side.group_codes is not None
    assert len(np.unique(found.side.group_codes)) == 2
    theirs = load_ready(parquet(tmp_path / "b.parquet", rows(1), group=groups))
    assert theirs.side.group_codes is None


def test_ids_on_one_side_alone_are_left_out_on_both(tmp_path: Path) -> None:
    groups = pa.array(["g"] * 2 + [None] * 18, pa.string())
    ours = parquet(tmp_path / "a.parquet", rows(1), KEY, image_id=ids(*range(N)), group=groups)
    np.save(tmp_path / "same.npy", rows(1))
    np.save(tmp_path / "doubles.npy", rows(1).astype(np.float64))
    for name in ("same.npy", "doubles.npy"):
        result = score_files(ours, tmp_path / name, metrics=["kid"])
        assert result.overlap == N, name
        assert result.similarity is not None
        assert result.similarity.units[0] == N - 1, "groups stay"


def test_a_stores_folder_is_what_its_manifest_names(tmp_path: Path) -> None:
    stored = EmbeddingSet.at(tmp_path, KEY)
    stored.create()
    for name, start in (("a", 0), ("b", 8)):
        write_part(stored.folder / part_name(name), KEY, ids(*range(start, start + 8)), rows(start, 8), planned=8)
    stored.name_parts(part_name("a"))
    assert len(load_ready(stored.folder).side) == 8
    stored.name_parts(part_name("b"))
    assert len(load_ready(stored.folder).side) == 16
    (stored.folder / part_name("a")).unlink()
    with pytest.raises(InvalidEmbeddingsError, match=part_name("a")):
        load_ready(stored.folder)
    (stored.folder / "parts.json").write_text("{")
    with pytest.raises(InvalidEmbeddingsError, match="semsim embed"):
        load_ready(stored.folder)


@pytest.mark.parametrize("other", [None, SetKey(encoder="some", fingerprint="e" * 64, decode_version=1)])
def test_files_of_different_sets_in_one_folder_are_refused(tmp_path: Path, other: SetKey | None) -> None:
    parquet(tmp_path / "a.parquet", rows(1), KEY)
    parquet(tmp_path / "b.parquet", rows(2), KEY)
    assert len(load_ready(tmp_path).side) == 2 * N
    parquet(tmp_path / "c.parquet", rows(3), other)
    with pytest.raises(InvalidEmbeddingsError, match=r"a\.parquet and c\.parquet"):
        load_ready(tmp_path)
