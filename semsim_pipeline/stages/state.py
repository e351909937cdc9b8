"""Small JSON files that say which version of a stage's result is the current one; replaced as a whole.

A result lives under its version; the pointer beside it makes it current. Stages hand on by these pointers, so that
a pair is scored on the manifest that its embeddings were made of, whatever a scan finds meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.store.manifest import ManifestRef
from semsim_pipeline.store.schema import SetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetState:
    """The manifest of a dataset as of its last scan. view: `DatasetView.key()` of what was scanned. rows_before: of the
    version before this one, None where there was none. stamp: the source's just before the scan, "" where a later write
    might not show in it."""

    view: str
    version: str
    path: str
    rows: int
    failed: int
    rows_before: int | None = None
    stamp: str = ""

    @property
    def manifest(self) -> ManifestRef:
        """As the store knows it."""
        return ManifestRef(version=self.version, path=Path(self.path), rows=self.rows, failed=self.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingState:
    """A dataset that was embedded: on which manifest, with which encoder, and on which background scores rest.

    files: below the home, to (bytes, last change in ns), of the files that hold its images' embeddings, failures and
    hashes; as long as they stay as they are, there is nothing to embed. None where an image was left out that the next
    run looks at again.
    """

    version: str
    dataset: DatasetState
    encoder: str
    fingerprint: str
    decode_version: int
    schema_version: int
    background: str
    embedded: int
    files: Mapping[str, Sequence[int]] | None = None

    @property
    def key(self) -> SetKey:
        """Of the embedding set."""
        return SetKey(
            encoder=self.encoder,
            fingerprint=self.fingerprint,
            decode_version=self.decode_version,
            schema_version=self.schema_version,
        )


def dataset_file(home: Path, dataset: str) -> Path:
    """Where a dataset's pointer is."""
    return home / "pipeline" / "datasets" / f"{dataset}.json"


def embedding_file(home: Path, partition: str) -> Path:
    """Where the pointer of `dataset@encoder` is."""
    return home / "pipeline" / "embeddings" / f"{partition}.json"


def read_dataset(home: Path, dataset: str) -> DatasetState | None:
    """The current manifest of a dataset, None where it was never scanned or its file has gone."""
    path = dataset_file(home, dataset)
    found = read_json(path)
    try:
        state = None if found is None else DatasetState(**found)  # type: ignore[arg-type]
    except TypeError as error:
        raise StoreError(_foreign(path)) from error
    return state if state is not None and Path(state.path).is_file() else None


def read_embedding(home: Path, partition: str) -> EmbeddingState | None:
    """What `dataset@encoder` was embedded from, None where it never was or its manifest has gone."""
    path = embedding_file(home, partition)
    found = read_json(path)
    if found is None:
        return None
    try:
        inner = found.pop("dataset")
        state = EmbeddingState(**found, dataset=DatasetState(**inner))  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise StoreError(_foreign(path)) from error
    return state if Path(state.dataset.path).is_file() else None


def _foreign(path: Path) -> str:
    return f"{path} is of another version of semsim. Remove it and run again; no image is embedded anew for it."


def write_state(path: Path, state: DatasetState | EmbeddingState) -> None:
    """Make a state the current one. Raises StoreError."""
    write_json(path, asdict(state))
