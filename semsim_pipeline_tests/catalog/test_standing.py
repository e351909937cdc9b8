"""Which catalogue stands while the file is edited, and what becomes of keys that were removed."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from semsim_pipeline.catalog import forget_removed, load_catalog, removed_keys, standing
from semsim_pipeline.catalog.standing import KEPT, KINDS, standing_file
from semsim_pipeline.errors import CatalogError
from semsim_pipeline.store.locks import locked

HEAD = "encoders: {e: classical}\n"
TWO = HEAD + "datasets: {a: digits, b: digits-generated}\ncomparisons: {x: {pairs: [[a, b]]}, y: {pairs: [[a, a]]}}\n"
ONE = HEAD + "datasets: {a: digits}\ncomparisons: {y: {pairs: [[a, a]]}}\n"
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> None:
        (tmp_path / "catalog.yaml").write_text(text, encoding="utf-8")

    return written


def removed(home: Path) -> dict[str, list[str]]:
    return {kind: list(keys) for kind, keys in removed_keys(home).items() if keys}


GONE = {"datasets": ["b"], "embeddings": ["b@e"], "pairs": ["a~b@e"], "comparisons": ["x"]}


def test_removed_keys_are_known_of_every_kind_and_come_back(tmp_path: Path, write: Write) -> None:
    write(TWO)
    assert not any(standing(tmp_path).removed.values())
    write(ONE)
    found = standing(tmp_path)
    assert {kind: list(keys) for kind, keys in found.removed.items()} == GONE
    assert found.catalog.dataset_keys() == ["a"]
    assert found.problem is None
    since = removed_keys(tmp_path)["pairs"]["a~b@e"]
    write(ONE + "# a comment\n")
    standing(tmp_path)
    assert removed_keys(tmp_path)["pairs"]["a~b@e"] == since
    write(TWO)
    standing(tmp_path)
    assert removed(tmp_path) == {}


def test_an_embedding_that_no_pair_needs_is_removed_while_its_dataset_stays(tmp_path: Path, write: Write) -> None:
    write(TWO)
    standing(tmp_path)
    write(TWO.replace("x: {pairs: [[a, b]]}, ", ""))
    standing(tmp_path)
    assert removed(tmp_path) == {"embeddings": ["b@e"], "pairs": ["a~b@e"], "comparisons": ["x"]}


def test_a_wrong_file_leaves_the_last_right_one_standing(tmp_path: Path, write: Write) -> None:
    write(TWO)
    standing(tmp_path)
    before = standing_file(tmp_path).read_bytes()
    write(TWO.replace("encoders", "encodrs"))
    found = standing(tmp_path)
    assert found.catalog.dataset_keys() == ["a", "b"]
    assert list(found.catalog.pairs) == ["a~b@e", "a~a@e"]
    assert "catalog.yaml:1:" in str(found.problem)
    assert standing_file(tmp_path).read_bytes() == before
    (tmp_path / "catalog.yaml").write_bytes(b"\xff")
    assert "no text in UTF-8" in str(standing(tmp_path).problem)
    with pytest.raises(CatalogError):  # everything else but a running graph refuses it
        load_catalog(tmp_path)


def test_a_wrong_file_is_refused_where_none_was_right_before(tmp_path: Path, write: Write) -> None:
    write("datasets: [")
    with pytest.raises(CatalogError):
        standing(tmp_path)
    assert not standing_file(tmp_path).exists()


def test_a_catalogue_of_ones_own_removes_the_packaged_ones_keys(tmp_path: Path, write: Write) -> None:
    assert standing(tmp_path).catalog.path is None
    write(ONE)
    found = standing(tmp_path)
    assert list(found.removed["datasets"]) == ["digits", "digits-generated"]
    assert len(found.removed["pairs"]) == 56


def test_they_vanish_after_a_time_and_by_hand(tmp_path: Path, write: Write) -> None:
    write(TWO)
    standing(tmp_path)
    write(ONE)
    standing(tmp_path)
    state = json.loads(standing_file(tmp_path).read_text())
    now = datetime.now(UTC)
    state["removed"]["datasets"]["b"] = (now - KEPT - timedelta(minutes=1)).isoformat()
    state["removed"]["pairs"]["a~b@e"] = (now + timedelta(days=1)).isoformat()  # a clock that was set back
    standing_file(tmp_path).write_text(json.dumps(state))
    assert removed(tmp_path) == {kind: keys for kind, keys in GONE.items() if kind != "datasets"}
    assert {kind: list(keys) for kind, keys in standing(tmp_path).removed.items() if keys} == removed(tmp_path)
    assert forget_removed(tmp_path) == 4
    assert removed(tmp_path) == {}
    assert forget_removed(tmp_path) == 0
    write(ONE + "#\n")
    assert not any(standing(tmp_path).removed.values())


@pytest.mark.parametrize(
    "damaged",
    ["{", "[]", "{}", '{"text": 3, "removed": {}}', '{"text": "", "removed": {"pairs": {"k": "x"}}}',
     '{"text": "", "removed": {"pairs": []}}', '{"text": "", "removed": {"pairs": {"k": "2026-01-01T00:00:00"}}}'],
)  # fmt: skip
def test_a_damaged_state_is_said_and_written_again(
    tmp_path: Path, write: Write, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(ONE)
    standing(tmp_path)
    good = standing_file(tmp_path).read_text()
    standing_file(tmp_path).write_text(damaged)
    with caplog.at_level(logging.WARNING):
        assert standing(tmp_path).catalog.dataset_keys() == ["a"]
    # An empty list where a mapping belongs is what an empty mapping looks like: nothing was removed.
    assert "will be written again" in caplog.text or '"pairs": []' in damaged
    assert json.loads(standing_file(tmp_path).read_text())["text"] == json.loads(good)["text"]


def test_a_state_that_cannot_be_written_costs_only_the_removed_keys(
    tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write(TWO)
    (tmp_path / "pipeline").write_text("a file where a folder belongs")
    found = standing(tmp_path)
    assert found.catalog.dataset_keys() == ["a", "b"]
    assert set(found.removed) <= set(KINDS)
    assert "is not noted" in caplog.text


def test_an_edit_is_noted_as_it_is_when_its_turn_has_come(tmp_path: Path, write: Write) -> None:
    write(TWO)
    standing(tmp_path)
    write(ONE)
    with locked(standing_file(tmp_path).with_name(".catalog.lock")):
        slow = threading.Thread(target=standing, args=(tmp_path,))
        slow.start()
        slow.join(0.3)
        assert slow.is_alive()
        write(TWO + "# again\n")
    slow.join()
    assert removed(tmp_path) == {}


def test_many_loads_at_once_agree(tmp_path: Path, write: Write) -> None:
    write(TWO)
    standing(tmp_path)
    write(ONE)
    threads = [threading.Thread(target=standing, args=(tmp_path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert removed(tmp_path) == GONE
