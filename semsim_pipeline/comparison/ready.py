"""Embeddings that somebody already has: `.npy`, `.npz`, or Parquet with an `embedding` column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.comparison.ready_parquet import read_rows
from semsim_pipeline.errors import InvalidEmbeddingsError, MissingPathError, WrongCallError
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.store.parts import MANIFEST, named_parts

KINDS = ".npy, .npz, a Parquet file with an `embedding` column, or a folder of such Parquet files"
NPZ_NAMES = ("embeddings", "embedding", "arr_0")
NPY_MAGIC, NPZ_MAGIC, PICKLE_MAGIC = b"\x93NUMPY", b"PK", b"\x80"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ReadyEmbeddings:
    """One side, with the encoder that its own metadata names (our Parquet parts carry it), else None.

    by_image: content codes are of the images (our parts name them), not of the rows' bits.
    in_memory: given as an array, which cannot say who made it: the other side's word then holds for both.
    """

    side: EmbeddedSet
    encoder: str | None = None
    fingerprint: str | None = None
    by_image: bool = False
    in_memory: bool = False

    def by_rows(self) -> ReadyEmbeddings:
        """The same with content codes of the rows' bits, as the other side's are."""
        side = EmbeddedSet(self.side.name, self.side.rows, failed=self.side.failed)
        side.group_codes = self.side.group_codes
        return replace(self, side=side, by_image=False)


def ready_array(name: str, rows: object) -> ReadyEmbeddings:
    """Embeddings that are in memory: an array, or what numpy makes one of (a list of rows, a tensor on the CPU).

    Raises InvalidEmbeddingsError: rows of different lengths, Python objects, and as `check_embeddings`.
    """
    try:
        array = np.asarray(rows)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: a tensor that still needs its gradient
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InvalidEmbeddingsError(
            f"{name}: embeddings must be a table [n, d] of numbers; numpy cannot make one of this ({reason})."
        ) from error
    if array.dtype == object:
        raise InvalidEmbeddingsError(
            f"{name}: embeddings must be a table [n, d] of numbers; found Python objects ({type(rows).__name__})."
        )
    return ReadyEmbeddings(side=EmbeddedSet(name, array), in_memory=True)


def load_ready(path: Path) -> ReadyEmbeddings:
    """The embeddings in a file or in a folder of Parquet files.

    Raises: MissingPathError; WrongCallError for another kind of file or an ambiguous `.npz`; InvalidEmbeddingsError
    for object arrays (they would have to be unpickled, which can run code), a broken file, NaN, a wrong shape.
    Memory: n·d·itemsize bytes.
    """
    if not path.exists():
        raise MissingPathError(f"No such file: {path.absolute()}. Give {KINDS}.")
    if path.is_dir():
        parts = _parts_of(path)
        if not parts:
            raise WrongCallError(f"{path} holds no .parquet file. Give {KINDS}, or use `semsim compare` for images.")
        return _from_parquet(path.name, parts)
    if path.suffix == ".npy":
        return ReadyEmbeddings(side=EmbeddedSet(path.name, _numpy(path)))
    if path.suffix == ".npz":
        return ReadyEmbeddings(side=EmbeddedSet(path.name, _from_npz(path)))
    if path.suffix in {".parquet", ".pq"}:
        return _from_parquet(path.name, [path])
    raise WrongCallError(f"Cannot read embeddings from {path.name!r}. Give {KINDS}; for images, `semsim compare`.")


def _parts_of(folder: Path) -> list[Path]:
    """The Parquet files of a folder; of an embedding set's, those that its manifest names (another does not exist)."""
    try:
        return sorted(folder / part.name for part in named_parts(folder) if part.dim)
    except FileNotFoundError:
        return sorted(folder.glob("*.parquet"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidEmbeddingsError(
            f"{folder / MANIFEST} does not name the parts of an embedding set; run `semsim embed` again to mend it."
        ) from error


def _from_parquet(name: str, paths: Sequence[Path]) -> ReadyEmbeddings:
    found = read_rows(name, paths)
    side = EmbeddedSet(name, found.rows, content=found.content, groups=found.groups)
    by_image = found.content is not None
    return ReadyEmbeddings(side=side, encoder=found.encoder, fingerprint=found.fingerprint, by_image=by_image)


def _numpy(path: Path) -> NDArray[np.generic]:
    _check_magic(path, NPY_MAGIC)
    try:
        loaded: NDArray[np.generic] = np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise InvalidEmbeddingsError(_refusal(path, error)) from error
    return loaded


def _from_npz(path: Path) -> NDArray[np.generic]:
    import zipfile
    import zlib

    _check_magic(path, NPZ_MAGIC)
    try:
        # Opened here, because numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            named = [name for name in NPZ_NAMES if name in names]
            if len(names) != 1 and not named:
                held = f"{len(names)} arrays ({', '.join(names[:8])})" if names else "no array"
                raise WrongCallError(f"{path.name} holds {held}; name the one to use 'embeddings', or save it alone.")
            return np.asarray(archive[named[0] if named else names[0]])
    except (ValueError, EOFError, OSError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidEmbeddingsError(_refusal(path, error)) from error


def _check_magic(path: Path, magic: bytes) -> None:
    """Raises InvalidEmbeddingsError where the first bytes are another format's (numpy would take it for a pickle)."""
    try:
        with path.open("rb") as file:
            found = file.read(len(NPY_MAGIC))
    except OSError as error:
        raise InvalidEmbeddingsError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if found.startswith(PICKLE_MAGIC):
        raise InvalidEmbeddingsError(_pickled(path))
    if not found.startswith(magic):
        what = "empty" if not found else "no file of that format"
        raise InvalidEmbeddingsError(f"{path.name} is {what}. Give {KINDS}.")


def _pickled(path: Path) -> str:
    return (
        f"{path.name} holds Python objects (pickled); refused, because loading them can run code. "
        "Save a plain float array: np.save(path, np.asarray(embeddings, dtype='float32'))."
    )


def _refusal(path: Path, error: Exception) -> str:
    if "pickle" in str(error).lower() or "Python objects" in str(error):
        return _pickled(path)
    return f"{path.name} cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}."
