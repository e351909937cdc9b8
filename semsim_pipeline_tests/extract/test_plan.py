from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semsim_pipeline.extract.plan import Cut, _first_of_twins, _Sorted, count_embedded, missing_rows, shards
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.manifest import ManifestRef, write_manifest
from semsim_pipeline.store.schema import SetKey
from semsim_pipeline.store.writer import failed_name, part_name, write_failures, write_part
from semsim_pipeline_tests.extract.fakes import FakeEncoder, FakeSource
from semsim_pipeline_tests.store.test_parts import table

KEY = SetKey(encoder="e", fingerprint="f", decode_version=1)
NUMBERS = st.integers(0, 12)


def image(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def manifest(folder: Path, images: list[int | None]) -> ManifestRef:
    """One row an image; None is one that could not be opened."""
    text = pl.String
    rows = pl.DataFrame(
        {
            "path": [f"p{i}" for i in range(len(images))],
            "image_id": [None if number is None else image(number) for number in images],
            "group": pl.Series([None] * len(images), dtype=text),
            "size": [1] * len(images),
            "width": [1] * len(images),
            "height": [1] * len(images),
            "format": ["PNG"] * len(images),
            "status": ["failed" if number is None else "ok" for number in images],
            "error": pl.Series([None] * len(images), dtype=text),
            "stamp": ["s"] * len(images),
            "locator": list(range(len(images))),
        },
        schema_overrides={"image_id": text},
    )
    return write_manifest(folder, (), [rows])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    images=st.lists(st.one_of(st.none(), NUMBERS), min_size=1, max_size=30),
    stored=st.sets(NUMBERS),
    bad=st.sets(NUMBERS),
    rows=st.integers(1, 10),
)
def test_a_plan_is_the_manifest_minus_the_set(tmp_path_factory, images, stored, bad, rows) -> None:
    home = tmp_path_factory.mktemp("home")
    ref = manifest(home, images)
    embeddings = EmbeddingSet.at(home, KEY)
    embeddings.create()
    bad -= stored
    if stored:
        ids = [image(number) for number in sorted(stored)]
        write_part(embeddings.folder / part_name("a"), KEY, ids, table(len(ids)), planned=len(ids))
        embeddings.name_parts(part_name("a"))
    if bad:
        write_failures(embeddings.folder / failed_name("b"), KEY, {image(n): "x" for n in bad}, planned=len(bad))
        embeddings.name_parts(failed_name("b"))

    wanted = [i for i, n in enumerate(images) if n is not None and n not in stored | bad and n not in images[:i]]
    found = missing_rows(ref, embeddings)
    assert found.tolist() == wanted
    assert count_embedded(ref, embeddings) == sum(number in stored for number in images)

    cut = Cut(encoder=FakeEncoder(), rows=rows, batch_size=4)
    specs = list(shards(FakeSource(n=len(images)), ref, embeddings, found, cut))
    assert [item.locator for spec in specs for item in spec.items] == wanted
    assert [name for spec in specs for name in spec.image_ids] == [image(images[i]) for i in wanted]
    assert all(len(spec.items) == rows for spec in specs[:-1])


def test_ids_that_agree_in_their_first_half_are_told_apart() -> None:
    known = np.array([[5, 1], [5, 3], [9, 0]], dtype=np.uint64)
    asked = np.array([[5, 3], [5, 2], [5, 4], [9, 0], [10, 0], [0, 1], [5, 1]], dtype=np.uint64)
    assert _Sorted(known).holds(asked).tolist() == [True, False, False, True, False, False, True]
    assert _Sorted(known[:0]).holds(asked).tolist() == [False] * 7
    assert sorted(_first_of_twins(asked[[0, 1, 0, 6]]).tolist()) == [0, 1, 3]
