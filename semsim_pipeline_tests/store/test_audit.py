"""The look at parts: what is wrong is found, what is known is not read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.errors import StoreError
from semsim_pipeline.store import audit as audits
from semsim_pipeline.store.audit import AUDIT, audit
from semsim_pipeline.store.embedding_set import DAMAGED, EmbeddingSet
from semsim_pipeline.store.schema import SetKey
from semsim_pipeline.store.writer import write_failures, write_part

KEY = SetKey(encoder="fake", fingerprint="f" * 64, decode_version=1)
D = 64


def ids(start: int, n: int) -> list[str]:
    return [f"{start + i:064x}" for i in range(n)]


def add(embeddings: EmbeddingSet, name: str, rows: NDArray[np.float32], start: int = 0) -> Path:
    path = embeddings.folder / f"part-{name}.parquet"
    write_part(path, KEY, ids(start, len(rows)), rows, planned=len(rows))
    embeddings.name_parts(path.name)
    return path


@pytest.fixture
def embeddings(tmp_path: Path) -> EmbeddingSet:
    found = EmbeddingSet.at(tmp_path, KEY)
    found.create()
    rng = np.random.default_rng(0)
    for number in range(2):
        add(found, f"{number}" * 16, rng.normal(size=(300, D)).astype(np.float32), start=1000 * number)
    write_failures(found.folder / "failed-9.parquet", KEY, {ids(5000, 1)[0]: "cut"}, planned=1)
    found.name_parts("failed-9.parquet")
    return found


def test_sound_parts_are_read_once(embeddings: EmbeddingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    found = audit(embeddings)
    assert [(each.rows, each.dim, each.sound) for each in found] == [(300, D, True), (300, D, True), (1, 0, True)]
    monkeypatch.setattr(audits, "inspect_part", lambda *_: pytest.fail("read again"))
    assert audit(embeddings) == found
    with pytest.raises(pytest.fail.Exception):
        audit(embeddings, fresh=True)


def test_a_part_more_is_the_only_one_read(embeddings: EmbeddingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    audit(embeddings)
    rows = np.ones((7, D), dtype=np.float32)
    rows[2] = 0
    rows[3, 5] = np.nan
    rows[4, 6] = -np.inf
    add(embeddings, "new", rows, start=9000)
    looked: list[str] = []
    original = audits.inspect_part

    def counted(path: Path, key: SetKey) -> object:
        looked.append(path.name)
        return original(path, key)

    monkeypatch.setattr(audits, "inspect_part", counted)
    last = audit(embeddings)[-1]
    assert looked == ["part-new.parquet"]
    assert (last.zero, last.not_finite, last.sound, last.problem) == (1, 2, False, None)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF  # among the embeddings: same size, other numbers
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink])
def test_damage_is_found_and_mended_without_touching_the_rest(
    embeddings: EmbeddingSet, damage: Callable[[Path], None]
) -> None:
    audit(embeddings)
    [first, second, _] = embeddings.parts()
    damage(embeddings.folder / first.name)
    found = audit(embeddings)
    assert [each.sound for each in found] == [False, True, True]
    assert first.name in str(found[0].problem)
    embeddings.recover()
    assert [part.name for part in embeddings.parts()] == [second.name, "failed-9.parquet"]
    if damage is _flip:
        assert (embeddings.folder / f"{DAMAGED}{first.name}").is_file()
    assert all(each.sound for each in audit(embeddings))


def test_a_damaged_id_column_is_one_line(embeddings: EmbeddingSet) -> None:
    path = embeddings.folder / embeddings.parts()[0].name
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396  # the first pages are the ids
    path.write_bytes(bytes(content))
    assert not audit(embeddings)[0].sound
    with pytest.raises(StoreError, match=r"cannot be read\. Embed the dataset again"):
        list(embeddings.id_batches(failed=False))


def test_a_damaged_record_of_the_audit_costs_one_more_look(embeddings: EmbeddingSet) -> None:
    found = audit(embeddings)
    for text in ("{", '{"audit": 1, "parts": {"a": {}}}', '{"audit": 0}'):
        (embeddings.folder / AUDIT).write_text(text, encoding="utf-8")
        assert audit(embeddings) == found


def test_nothing_there_writes_nothing(tmp_path: Path) -> None:
    empty = EmbeddingSet.at(tmp_path, KEY)
    assert audit(empty) == []
    assert not empty.folder.exists()
