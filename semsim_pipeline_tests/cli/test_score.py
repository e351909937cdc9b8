from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from semsim_pipeline_tests.cli.conftest import N, Semsim

D = 6


def rows(seed: int, n: int = 40, d: int = D) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def parquet(path: Path, values: NDArray[np.float32], kind: str) -> Path:
    types = {
        "list": pa.list_(pa.float32()),
        "large_list": pa.large_list(pa.float32()),
        "fixed": pa.list_(pa.float32(), values.shape[1]),
        "list_of_double": pa.list_(pa.float64()),
    }
    # Several row groups, so that a column comes in several chunks.
    pq.write_table(pa.table({"embedding": pa.array(values.tolist(), types[kind])}), path, row_group_size=16)
    return path


def test_npy_without_a_scale_is_uncalibrated(semsim: Semsim, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", rows(1))
    np.save(tmp_path / "b.npy", rows(2))
    ran = semsim("score", tmp_path / "a.npy", tmp_path / "b.npy", "--json", "-")
    found = ran.json()
    assert ran.code == 0
    assert ran.err == ""
    assert found["similarity"]["status"] == "uncalibrated"  # type: ignore[index]
    assert found["similarity"]["floor"] is None  # type: ignore[index]
    assert found["background"]["source"] == "median distance within the reference"  # type: ignore[index]
    assert found["reference"] == {"name": "a.npy", "n": 40, "failed": 0}


def test_every_kind_of_file_gives_the_same_numbers(semsim: Semsim, tmp_path: Path) -> None:
    a, b = rows(1), rows(2)
    np.save(tmp_path / "b.npy", b)
    np.save(tmp_path / "plain.npy", a)
    np.save(tmp_path / "swapped.npy", a.astype(">f4"))
    np.save(tmp_path / "columns.npy", np.asfortranarray(a))
    np.savez(tmp_path / "one.npz", a)
    np.savez_compressed(tmp_path / "named.npz", embeddings=a, labels=np.arange(40))
    for kind in ("list", "large_list", "fixed"):
        parquet(tmp_path / f"{kind}.parquet", a, kind)
    (tmp_path / "folder").mkdir()
    parquet(tmp_path / "folder" / "0.parquet", a[:25], "list")
    parquet(tmp_path / "folder" / "1.parquet", a[25:], "fixed")
    pq.write_table(pa.table({"path": ["x"]}), tmp_path / "folder" / "manifest.parquet")
    found = {}
    for path in sorted(tmp_path.iterdir()):
        if path.name != "b.npy":
            ran = semsim("score", path, tmp_path / "b.npy", "--metrics", "kid,mean_cosine,precision", "--json", "-")
            assert ran.code == 0, ran.err
            found[path.name] = {**ran.json(), "reference": None}
    assert len(found) == 9
    first = found["plain.npy"]
    assert [name for name, each in found.items() if each != first] == []


def test_doubles_are_scored_as_doubles(semsim: Semsim, tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", rows(1), "list_of_double")
    np.save(tmp_path / "b.npy", rows(2).astype(np.float64))
    assert semsim("score", tmp_path / "a.parquet", tmp_path / "b.npy", "--json", "-").code == 0


def test_a_bandwidth_is_a_scale_without_a_floor(semsim: Semsim, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", rows(1))
    found = semsim("score", tmp_path / "a.npy", tmp_path / "a.npy", "--bandwidth", "0.5", "--json", "-").json()
    assert found["background"] == {"id": "s2=0.5", "bandwidth": 0.5, "source": "the bandwidth given"}
    assert found["overlap"] == 40
    assert found["similarity"]["value"] == pytest.approx(1, abs=1e-6)  # type: ignore[index]


@pytest.mark.parametrize("bandwidth", ["1e-9", "1e9", "1e-300", "inf", "nan"])
def test_an_absurd_bandwidth_never_makes_a_number_up(semsim: Semsim, tmp_path: Path, bandwidth: str) -> None:
    np.save(tmp_path / "a.npy", rows(1))
    np.save(tmp_path / "b.npy", rows(2))
    ran = semsim("score", tmp_path / "a.npy", tmp_path / "b.npy", "--bandwidth", bandwidth, "--json", "-")
    if bandwidth in {"1e-9", "1e9"}:
        ran.json()
        assert ran.code in {0, 1}
        assert not ran.code or "no score for" in ran.one_line()
    else:
        assert ran.code == 2
        assert ran.out == ""
        assert "bandwidth" in ran.one_line()


def test_background_and_bandwidth_together_are_a_wrong_call(semsim: Semsim, tmp_path: Path) -> None:
    ran = semsim("score", "a.npy", "b.npy", "--background", "classical", "--bandwidth", "0.5")
    assert ran.code == 2
    assert "--background or --bandwidth, not both" in ran.one_line()


def test_exported_parts_bring_their_own_background(semsim: Semsim, stripes: Path, blobs: Path, tmp_path: Path) -> None:
    for name, folder in (("a", stripes), ("b", blobs)):
        assert semsim("embed", folder, "--out", tmp_path / name, "--quiet").code == 0
    compared = semsim("compare", stripes, blobs, "--json", "-", "--quiet").json()
    scored = semsim("score", tmp_path / "a", tmp_path / "b", "--json", "-").json()
    for key in ("encoder", "encoder_fingerprint", "background", "overlap"):
        assert scored[key] == compared[key]
    same = ("value", "raw", "interval", "floor", "p_value", "verdict", "status")
    assert {k: scored["similarity"][k] for k in same} == {k: compared["similarity"][k] for k in same}  # type: ignore[index]
    named = semsim("score", tmp_path / "a", tmp_path / "b", "--background", "mini", "--json", "-").json()
    assert named == scored
    single = tmp_path / "a" / "part-00000.parquet"
    assert semsim("score", single, single, "--json", "-").json()["overlap"] == N


def test_an_encoders_background_by_name(semsim: Semsim, stripes: Path, tmp_path: Path) -> None:
    from semsim_pipeline.encoders.resolve import resolve_encoder

    d = resolve_encoder("mini").facts.dim
    assert d is not None
    np.save(tmp_path / "a.npy", np.abs(rows(1, d=d)))
    np.save(tmp_path / "b.npy", np.abs(rows(2, d=d)))
    semsim("compare", stripes, stripes, "--metrics", "kid", "--quiet")  # whatever ships, a background is here now
    found = semsim("score", tmp_path / "a.npy", tmp_path / "b.npy", "--background", "mini", "--json", "-").json()
    assert found["encoder"] == "mini"
    assert found["similarity"]["floor"] is not None  # type: ignore[index]


def test_a_background_of_another_width_is_refused(semsim: Semsim, stripes: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", rows(1))
    semsim("compare", stripes, stripes, "--metrics", "kid", "--quiet")
    ran = semsim("score", tmp_path / "a.npy", tmp_path / "a.npy", "--background", "mini")
    assert ran.code == 2
    assert f"a.npy has {D} columns" in ran.one_line()


def test_another_encoders_background_is_refused(
    semsim: Semsim, stripes: Path, tiny_encoder: str, panel: Path, tmp_path: Path
) -> None:
    assert semsim("encoders", "calibrate", tiny_encoder, "--panel", panel).code == 0
    assert semsim("embed", stripes, "--out", tmp_path / "a", "--quiet").code == 0
    ran = semsim("score", tmp_path / "a", tmp_path / "a", "--background", tiny_encoder)
    assert ran.code == 2
    assert "was embedded by mini" in ran.one_line()


def test_sides_of_different_encoders_are_refused(
    semsim: Semsim, stripes: Path, tiny_encoder: str, tmp_path: Path
) -> None:
    assert semsim("embed", stripes, "--out", tmp_path / "a", "--quiet").code == 0
    assert semsim("embed", f"{stripes}[limit=8]", "--encoder", tiny_encoder, "--out", tmp_path / "b", "-q").code == 0
    ran = semsim("score", tmp_path / "a", tmp_path / "b")
    assert ran.code == 1
    assert "cannot be compared" in ran.one_line()


def test_score_table_and_json_file(semsim: Semsim, tmp_path: Path) -> None:
    np.save(tmp_path / "[red]a.npy", rows(1))
    ran = semsim("score", tmp_path / "[red]a.npy", tmp_path / "[red]a.npy", "--json", tmp_path / "out.json")
    assert ran.code == 0
    assert "[red]a.npy  against  [red]a.npy" in ran.out
    assert "ready embeddings" in ran.out
    assert json.loads((tmp_path / "out.json").read_text())["schema"] == 1


def test_the_whole_card_is_there_and_clusters_are_matched_where_asked(semsim: Semsim, tmp_path: Path) -> None:
    from semsim_pipeline.metrics.base import metric_facts

    for name, seed in (("a", 1), ("b", 2)):
        np.save(tmp_path / f"{name}.npy", rows(seed, n=120) + 4 * np.eye(D, dtype=np.float32)[np.arange(120) % 3])
    ran = semsim("score", tmp_path / "a.npy", tmp_path / "b.npy", "--clusters")
    for name in set(metric_facts()) - {"similarity"}:
        assert name in ran.out
    assert "3 and 3 k-means clusters, 3 matched" in ran.out
    found = semsim("score", tmp_path / "a.npy", tmp_path / "b.npy", "--clusters", "--json", "-").json()
    assert found["classes"]["kind"] == "clusters"  # type: ignore[index]
    assert "classes" not in semsim("score", tmp_path / "a.npy", tmp_path / "b.npy", "--json", "-").json()
