"""A dataset's images counted anew against the parts of its embedding set, and the count remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import Plain, digest_of
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.stages.state import EmbeddingState
from semsim_pipeline.store.audit import PartAudit
from semsim_pipeline.store.embedding_set import EmbeddingSet
from semsim_pipeline.store.manifest import readable
from semsim_pipeline.store.reader import row_groups

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedCounts:
    """Rows of a manifest: seen; with an embedding; failed, the reason stored. not_finite, zero: of the embedded, those
    whose embedding holds NaN or infinity, or is all zeros."""

    seen: int
    embedded: int
    failed: int
    not_finite: int
    zero: int

    @property
    def missing(self) -> int:
        """Seen, and neither embedded nor failed."""
        return self.seen - self.embedded - self.failed


def counts_file(home: Path, partition: str) -> Path:
    """Where the count of `dataset@encoder` is remembered."""
    return home / "pipeline" / "checks" / f"{partition}.json"


def counts_of(
    home: Path, partition: str, state: EmbeddingState, embeddings: EmbeddingSet, parts: Sequence[PartAudit]
) -> EmbeddedCounts:
    """The count for exactly this manifest and these parts; read back where it was made before.

    parts: those that hold the dataset's images; what cannot be read holds none. Raises StoreError.
    """
    files: list[Plain] = [[each.name, each.changed_ns, each.problem] for each in parts]
    of = digest_of([state.version, state.dataset.version, files])
    path = counts_file(home, partition)
    try:
        said = read_json(path)
        if said is not None and said.get("of") == of:
            return EmbeddedCounts(**said["counts"])  # type: ignore[arg-type]
    except (StoreError, KeyError, TypeError):
        pass  # damaged: counted again and written over
    with readable(Path(state.dataset.path)):
        counts = _counted(state, embeddings, parts)
    write_json(path, {"of": of, "counts": asdict(counts)})
    return counts


def _counted(state: EmbeddingState, embeddings: EmbeddingSet, parts: Sequence[PartAudit]) -> EmbeddedCounts:
    import polars as pl

    rows = pl.scan_parquet(state.dataset.path)
    opened = rows.filter(pl.col("status") == "ok").select("image_id").collect()
    whole = [part for part in parts if part.problem is None]
    embedded, failed = (
        _ids(embeddings.folder, [part for part in whole if bool(part.dim) == has]) for has in (True, False)
    )
    with_numbers = opened.join(embedded, on="image_id", how="semi")
    undecoded = opened.join(embedded, on="image_id", how="anti").join(failed, on="image_id", how="semi")
    not_finite = zero = 0
    for part in whole:
        if not part.sound:
            ids, bad = _bad_rows(embeddings.folder / part.name, part.dim)
            here = bad.filter(ids.is_in(opened["image_id"].implode()))
            zero += int(here.sum())
            not_finite += len(here) - int(here.sum())
    return EmbeddedCounts(
        seen=state.dataset.rows,
        embedded=len(with_numbers),
        failed=state.dataset.rows - len(opened) + len(undecoded),
        not_finite=not_finite,
        zero=zero,
    )


def _ids(folder: Path, parts: Sequence[PartAudit]) -> pl.DataFrame:
    import polars as pl

    if not parts:
        return pl.DataFrame(schema={"image_id": pl.String})
    return pl.scan_parquet([folder / part.name for part in parts]).select("image_id").collect()


def _bad_rows(path: Path, dim: int) -> tuple[pl.Series, pl.Series]:
    """The ids of a part's rows that cannot be scored, and of each whether it is all zeros (else not finite)."""
    import polars as pl

    places, zeros = [], []
    for start, rows in row_groups(path, dim):
        zero = ~np.any(rows, axis=1)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1) | zero)
        places.append(start + bad)
        zeros.append(np.take(zero, bad))
    ids = pl.read_parquet(path, columns=["image_id"])["image_id"]
    return ids[np.concatenate(places)], pl.Series(np.concatenate(zeros))
