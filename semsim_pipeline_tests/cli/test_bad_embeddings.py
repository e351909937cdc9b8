"""Ready embeddings that cannot be scored: refused in one line, and never unpickled."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semsim_pipeline_tests.cli.conftest import Semsim

GOOD = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


class Bomb:
    """Leaves a mark where it is unpickled."""

    mark: str = ""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return open, (self.mark, "w")


def bomb(tmp_path: Path) -> Bomb:
    made = Bomb()
    made.mark = str(tmp_path / "it ran")
    return made


def _with(row: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = GOOD.copy()
    rows[3] = row
    return rows


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(bomb(path.parent)))


def _object_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([bomb(path.parent)] * 3, dtype=object), allow_pickle=True)


def _object_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, embeddings=np.array([bomb(path.parent)] * 3, dtype=object))


def _cut_npy(path: Path) -> None:
    held = io.BytesIO()
    np.save(held, GOOD)
    path.write_bytes(held.getvalue()[:-50])


def _rotten_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, embeddings=np.zeros((500, 8), np.float32) + np.arange(8, dtype=np.float32))
    content = bytearray(path.read_bytes())
    content[70:90] = b"\xff" * 20
    path.write_bytes(bytes(content))


def _npz_without_arrays(path: Path) -> None:
    with zipfile.ZipFile(path, "w"):
        pass


def _cut_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, GOOD)
    path.write_bytes(path.read_bytes()[:-30])


def _table(path: Path, values: object, kind: pa.DataType) -> None:
    pq.write_table(pa.table({"embedding": pa.array(values, kind)}), path)  # type: ignore[call-overload]


def _bad_metadata(path: Path) -> None:
    table = pa.table({"embedding": pa.array([[float("nan")]] * 3, pa.list_(pa.float32()))})
    pq.write_table(table.replace_schema_metadata({b"semsim.encoder": b"\xff\xfe"}), path)


FLOATS = pa.list_(pa.float32())
BAD: dict[str, tuple[str, Callable[[Path], object], str, int]] = {
    "NaN": ("a.npy", lambda p: np.save(p, _with(np.nan)), "row 3 holds NaN or infinity", 1),
    "infinity": ("a.npy", lambda p: np.save(p, _with(np.inf)), "row 3 holds NaN or infinity", 1),
    "zero row": ("a.npy", lambda p: np.save(p, _with(0)), "a.npy: Row 3 is all zeros", 1),
    "other width": ("a.npy", lambda p: np.save(p, GOOD[:, :3]), "3", 1),
    "no rows": ("a.npy", lambda p: np.save(p, GOOD[:0]), "no embeddings", 1),
    "no columns": ("a.npy", lambda p: np.save(p, GOOD[:, :0]), "no embeddings", 1),
    "one dimension": ("a.npy", lambda p: np.save(p, GOOD[0]), "shape [4]", 1),
    "complex": ("a.npy", lambda p: np.save(p, GOOD.astype(complex)), "real numbers", 1),
    "text": ("a.npy", lambda p: np.save(p, np.array([["a", "b"]])), "real numbers", 1),
    "pickle": ("a.npy", _pickled, "pickled", 1),
    "pickle as npz": ("a.npz", _pickled, "pickled", 1),
    "objects": ("a.npy", _object_npy, "pickled", 1),
    "objects in npz": ("a.npz", _object_npz, "pickled", 1),
    "cut npy": ("a.npy", _cut_npy, "a.npy cannot be read", 1),
    "empty npy": ("a.npy", lambda p: p.write_bytes(b""), "a.npy is empty", 1),
    "garbage npy": ("a.npy", lambda p: p.write_bytes(b"garbage" * 9), "a.npy is no file of that format", 1),
    "npz called npy": ("a.npy", _object_npz, "a.npy is no file of that format", 1),
    "npy called npz": ("a.npz", _object_npy, "a.npz is no file of that format", 1),
    "cut npz": ("a.npz", _cut_npz, "a.npz cannot be read", 1),
    "rotten npz": ("a.npz", _rotten_npz, "a.npz cannot be read", 1),
    "npz without arrays": ("a.npz", _npz_without_arrays, "holds no array", 2),
    "npz of many": ("a.npz", lambda p: np.savez(p, x=GOOD, y=GOOD), "name the one to use", 2),
    "garbage parquet": ("a.parquet", lambda p: p.write_bytes(b"garbage" * 9), "cannot be read as Parquet", 1),
    "empty parquet": ("a.parquet", lambda p: p.write_bytes(b""), "cannot be read as Parquet", 1),
    "no column": ("a.parquet", lambda p: pq.write_table(pa.table({"x": [1]}), p), "it has: x", 2),
    "no parquet rows": ("a.parquet", lambda p: _table(p, [], FLOATS), "no embeddings", 1),
    "parquet nulls": ("a.parquet", lambda p: _table(p, [[1.0], None], FLOATS), "1 rows of `embedding` are null", 1),
    "parquet null in row": ("a.parquet", lambda p: _table(p, [[1.0, None]], FLOATS), "NaN", 1),
    "parquet uneven": ("a.parquet", lambda p: _table(p, [[1.0], [1.0, 2.0]], FLOATS), "widths: [1, 2]", 1),
    "parquet empty lists": ("a.parquet", lambda p: _table(p, [[], []], FLOATS), "no embeddings", 1),
    "parquet numbers": ("a.parquet", lambda p: _table(p, [1.0], pa.float32()), "lists of numbers", 1),
    "parquet texts": ("a.parquet", lambda p: _table(p, [["a"]], pa.list_(pa.string())), "real numbers", 1),
    "parquet metadata": ("a.parquet", _bad_metadata, "NaN", 1),
    "another kind": ("a.csv", lambda p: p.write_text("1,2"), "Cannot read embeddings from 'a.csv'", 2),
    "an image folder": ("a", lambda p: p.mkdir(), "semsim compare", 2),
    "missing": ("a.npy", lambda _p: None, "No such file", 2),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("side", ["reference", "candidate"])
def test_refused_in_one_line(semsim: Semsim, tmp_path: Path, kind: str, side: str) -> None:
    name, make, said, code = BAD[kind]
    bad, good = tmp_path / name, tmp_path / "good.npy"
    make(bad)
    np.save(good, GOOD)
    pair = (bad, good) if side == "reference" else (good, bad)
    ran = semsim("score", *pair, "--json", "-", "--metrics", "kid")
    assert said in ran.one_line()
    assert ran.code == code
    assert not (tmp_path / "it ran").exists()
    if kind == "zero row":  # the rows of the card that need no direction are there
        assert ran.json()["metrics"]["kid"]["status"] == "ok"  # type: ignore[index]
    else:
        assert ran.out == ""


def test_the_bomb_works(tmp_path: Path) -> None:
    _object_npy(tmp_path / "a.npy")
    np.load(tmp_path / "a.npy", allow_pickle=True)[0].close()
    assert (tmp_path / "it ran").exists()


def test_parts_of_different_widths(semsim: Semsim, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    _table(folder / "0.parquet", [[1.0, 2.0]], FLOATS)
    _table(folder / "1.parquet", [], FLOATS)
    _table(folder / "2.parquet", [[1.0]], FLOATS)
    assert "widths: [1, 2]" in semsim("score", folder, folder).one_line()


def test_wrong_names_come_before_wrong_files(semsim: Semsim, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"garbage")
    for option, value, said in (
        ("--metrics", "kdi", "Did you mean 'kid'?"),
        ("--background", "clasical", "Did you mean 'classical'?"),
    ):
        ran = semsim("score", tmp_path / "a.npy", tmp_path / "a.npy", option, value)
        assert ran.code == 2
        assert said in ran.one_line()
