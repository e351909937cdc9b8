from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semsim_pipeline.errors import StoreError
from semsim_pipeline.store import manifest as module
from semsim_pipeline.store.index import KNOWN, PathIndex
from semsim_pipeline.store.manifest import read_batches, source_folder, versions, write_manifest

LABELS = ("label", "path")
TEXT = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
ROW = st.fixed_dictionaries({"label.label": TEXT, "label.path": TEXT, "group": TEXT, "stamp": TEXT, "error": TEXT})
PRIVATE = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def frame(rows: list[dict[str, str | None]], paths: list[str] | None = None) -> pl.DataFrame:
    names = paths or [f"p{i}" for i in range(len(rows))]
    return pl.DataFrame(
        [
            {
                "path": name,
                "image_id": hashlib.sha256(name.encode()).hexdigest(),
                "size": 1,
                "width": 2,
                "height": 3,
                "format": "PNG",
                "status": "ok",
                "locator": i,
                **row,
            }
            for i, (name, row) in enumerate(zip(names, rows, strict=True))
        ],
        schema_overrides=dict.fromkeys(["label.label", "label.path", "group", "stamp", "error"], pl.String),
    )


@PRIVATE
@given(rows=st.lists(ROW, min_size=1, max_size=20), cut=st.integers(1, 20))
def test_round_trip_and_a_version_that_does_not_know_its_batches(tmp_path_factory, rows, cut) -> None:
    folder = tmp_path_factory.mktemp("m")
    whole = frame(rows)
    ref = write_manifest(folder, LABELS, [whole])
    assert pl.concat(read_batches(ref.path)).equals(whole.select(pl.read_parquet(ref.path).columns))
    again = write_manifest(folder, LABELS, [whole[i : i + cut] for i in range(0, len(whole), cut)])
    assert (again.version, again.rows) == (ref.version, len(rows))


@PRIVATE
@given(one=ROW, two=ROW)
def test_the_version_tells_rows_apart_by_what_they_are_and_ignores_stamps(tmp_path_factory, one, two) -> None:
    folder = tmp_path_factory.mktemp("m")
    first, second = (write_manifest(folder, LABELS, [frame([row])]).version for row in (one, two))
    names = ["label.label", "label.path", "group"]
    assert (first == second) == ([one[n] for n in names] == [two[n] for n in names])


def test_the_version_depends_on_path_content_status_and_label_names(tmp_path: Path) -> None:
    base = frame([dict.fromkeys(["label.label", "label.path", "group", "stamp", "error"], "x")])
    found = {
        write_manifest(tmp_path, LABELS, [rows]).version
        for rows in (
            base,
            base.with_columns(path=pl.lit("other")),
            base.with_columns(image_id=pl.lit("0" * 64)),
            base.with_columns(status=pl.lit("failed")),
        )
    }
    renamed = base.rename({"label.path": "label.class"})
    found.add(write_manifest(tmp_path, ("label", "class"), [renamed]).version)
    assert len(found) == 5
    assert write_manifest(tmp_path, LABELS, [base.with_columns(locator=pl.lit(99))]).version in found


def test_a_listing_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield frame([{}])
        raise StoreError("x")

    with pytest.raises((StoreError, pl.exceptions.PolarsError)):
        write_manifest(tmp_path, (), broken())
    assert list(tmp_path.iterdir()) == []


def test_versions_are_listed_with_their_counts(tmp_path: Path) -> None:
    folder = source_folder(tmp_path, "k" * 64)
    plain = dict.fromkeys(["label.label", "label.path", "group", "stamp", "error"], None)
    ref = write_manifest(folder, LABELS, [frame([plain, plain])])
    (folder / module.INDEX_NAME).write_bytes(b"")
    assert versions(tmp_path, "k" * 64) == [ref]
    ref.path.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="Remove it"):
        versions(tmp_path, "k" * 64)


def stamped(paths: list[str], stamp: str | None = "s") -> pl.DataFrame:
    row = {"label.label": None, "label.path": None, "group": None, "stamp": stamp, "error": None}
    return frame([row] * len(paths), paths)


def listing(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop(list(KNOWN))


def indexed(folder: Path, rows: pl.DataFrame, *, scanned: int = 0) -> None:
    index = PathIndex(folder, 1)
    index.lookup(listing(rows))
    index.rewrite(write_manifest(folder, LABELS, [rows]).path, scanned)


@PRIVATE
@given(order=st.permutations(range(9)), cut=st.integers(1, 9), known=st.sets(st.integers(0, 8)))
def test_the_index_finds_what_it_knows_in_any_order(tmp_path_factory, order, cut, known) -> None:
    folder = tmp_path_factory.mktemp("i")
    paths = [f"d/{i}" for i in range(9)]
    indexed(folder, stamped([paths[i] for i in sorted(known)] or ["nothing"]))
    index = PathIndex(folder, 1)
    asked = stamped([paths[i] for i in order])
    found = pl.concat(index.lookup(listing(asked[i : i + cut])) for i in range(0, 9, cut))
    assert found["path"].to_list() == asked["path"].to_list()
    want = [image if order[i] in known else None for i, image in enumerate(asked["image_id"])]
    assert found["image_id"].to_list() == want


def test_stamp_size_and_decoder_decide(tmp_path: Path) -> None:
    rows = stamped(["a", "b"]).with_columns(status=pl.Series(["ok", "failed"]), error=pl.Series([None, "bad"]))
    indexed(tmp_path, rows)

    def statuses(changed: pl.DataFrame, decoder: int = 1) -> list[str | None]:
        return PathIndex(tmp_path, decoder).lookup(listing(changed))["status"].to_list()

    assert statuses(rows) == ["ok", "failed"]
    assert statuses(rows, decoder=2) == ["ok", None], "a new decoder may read what the old one could not"
    assert statuses(rows.with_columns(stamp=pl.lit("t"))) == [None, None]
    assert statuses(rows.with_columns(size=pl.lit(2))) == [None, None]
    unsized = rows.with_columns(size=pl.lit(None, dtype=pl.Int64))
    assert PathIndex(tmp_path, 1).lookup(listing(unsized))["size"].to_list() == [1, 1]


def test_a_file_touched_around_the_scan_is_not_trusted(tmp_path: Path) -> None:
    now = time.time_ns()
    cases = {f"9-{now - 10 * 10**9}": "ok", f"9-{now - 10**9}": None, f"{now + 10**12}": None, "crc-123456789": "ok"}
    old, new = now - 10 * 10**9, now - 10**9
    cases |= {f"9-{old}-{old}": "ok", f"9-{new}-{old}": None, f"9-{old}-{new}": None, f"9-{old}-{old}-512-9": "ok"}
    for stamp, status in cases.items():
        indexed(tmp_path, stamped(["a"], stamp), scanned=now)
        assert PathIndex(tmp_path, 1).lookup(listing(stamped(["a"], stamp)))["status"].to_list() == [status], stamp
    indexed(tmp_path, stamped(["a"], None))
    assert PathIndex(tmp_path, 1).lookup(listing(stamped(["a"], None)))["status"].to_list() == [None]


def test_a_view_does_not_forget_the_rest_and_a_changed_path_is_replaced(tmp_path: Path) -> None:
    indexed(tmp_path, stamped(["a", "b", "c"]))
    indexed(tmp_path, stamped(["b"], "new"))
    stored = pl.read_parquet(tmp_path / "index.parquet").select("path", "stamp").rows()
    assert stored == [("b", "new"), ("a", "s"), ("c", "s")]


def test_a_damaged_index_is_an_empty_one(tmp_path: Path) -> None:
    indexed(tmp_path, stamped(["a"]))
    (tmp_path / "index.parquet").write_bytes(b"PAR1 and nonsense")
    index = PathIndex(tmp_path, 1)
    assert index.lookup(listing(stamped(["a"])))["status"].to_list() == [None]
    indexed(tmp_path, stamped(["a"]))
    assert PathIndex(tmp_path, 1).lookup(listing(stamped(["a"])))["status"].to_list() == ["ok"]


def test_what_was_seen_to_differ_is_read_again_once(tmp_path: Path) -> None:
    rows = stamped(["a", "b"])
    PathIndex(tmp_path, 1).distrust(["a"])  # nothing is known yet: nothing to forget
    indexed(tmp_path, rows)
    PathIndex(tmp_path, 1).distrust(["a", "unknown"])
    assert PathIndex(tmp_path, 1).lookup(listing(rows))["status"].to_list() == [None, "ok"]
    indexed(tmp_path, rows)
    assert PathIndex(tmp_path, 1).lookup(listing(rows))["status"].to_list() == ["ok", "ok"]
