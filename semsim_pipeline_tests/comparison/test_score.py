from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import semsim_pipeline as semsim
from semsim_pipeline.comparison import score as module
from semsim_pipeline.errors import InvalidEmbeddingsError, UnknownNameError
from semsim_pipeline.records import Background
from semsim_pipeline_tests.comparison.test_ready import KEY, N, ids, parquet, rows


def test_lists_of_numbers_are_arrays() -> None:
    found = semsim.score([[1, 2], [3, 4]], [[1, 2], [4, 3]], metrics=["mean_cosine"])
    assert (found.reference.n, found.overlap) == (2, 1)
    a, b = rows(1), rows(2)
    assert semsim.score(a.tolist(), b.tolist(), metrics="kid") == semsim.score(
        a.astype(np.float64), b.astype(np.float64), metrics="kid"
    )


@pytest.mark.parametrize("wrong", [[[1, 2], [3]], [[1, None]], np.array([[object()]]), [["a"]], 3, None, {"a": 1}])
def test_what_is_no_table_is_one_clear_error(wrong: object) -> None:
    with pytest.raises(InvalidEmbeddingsError, match="reference: embeddings must be"):
        semsim.score(wrong, [[1, 2]])  # type: ignore[arg-type]


def test_one_metric_may_stand_alone() -> None:
    found = semsim.score(rows(1), rows(2), metrics="kid")
    assert "kid" in found.metrics
    assert found.metrics == semsim.score(rows(1), rows(2), metrics=["kid"]).metrics
    with pytest.raises(UnknownNameError, match="'kidd'"):
        semsim.compare("one", "two", metrics="kidd")


@pytest.mark.parametrize("file_first", [True, False])
def test_a_file_beside_an_array_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_first: bool
) -> None:
    background = Background(id="some", bandwidth=0.5, source="test", calibrated=False)
    monkeypatch.setattr(module, "known_background", {KEY.fingerprint: background}.get)
    groups = pa.array(["g"] * 3 + [None] * (N - 3), pa.string())
    path = parquet(tmp_path / "a.parquet", rows(1), KEY, image_id=ids(*range(N)), group=groups)
    sides = (path, rows(2)) if file_first else (rows(2), path)
    found = semsim.score(*sides, metrics="kid")
    place = 0 if file_first else 1
    assert (found.encoder, found.encoder_fingerprint, found.background) == ("some", KEY.fingerprint, background)
    assert (found.reference, found.candidate)[place].name == "a.parquet"
    assert found.similarity is not None
    assert found.similarity.units[place] == N - 2
    np.save(tmp_path / "b.npy", rows(2))
    assert semsim.score(path, tmp_path / "b.npy", metrics="kid").encoder_fingerprint == ""
