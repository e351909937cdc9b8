"""A look at every part of a set: whole, as the manifest names it, of one width, finite, and no row all zeros.

A part never changes once it is written, so what was seen is kept beside the set (`audit.json`) and a part is read
again only where its file is another one: a set of a million images whose parts are known costs a `stat` a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semsim_pipeline.errors import StoreError
from semsim_pipeline.json_file import read_json, write_json
from semsim_pipeline.store.parts import Part, inspect_part
from semsim_pipeline.store.reader import row_groups

if TYPE_CHECKING:
    from semsim_pipeline.store.embedding_set import EmbeddingSet

AUDIT = "audit.json"
AUDIT_VERSION = 1
"""Raised when a part would be judged differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAudit:
    """One part that the manifest names, as it was found. dim: 0 for a failure part.

    changed_ns: the file's last change of any kind (ctime), 0 where there is none. not_finite, zero: rows with NaN or
    infinity, and rows without direction. problem: why the file cannot be used at all; then nothing else was counted.
    """

    name: str
    rows: int
    dim: int
    bytes: int
    changed_ns: int
    not_finite: int = 0
    zero: int = 0
    problem: str | None = None

    @property
    def sound(self) -> bool:
        """Whether every row of it can be scored."""
        return self.problem is None and not self.not_finite and not self.zero


def audit(embeddings: EmbeddingSet, *, fresh: bool = False) -> list[PartAudit]:
    """Every part in the manifest's order. fresh: read each byte again, whatever was seen before (a disk may rot).

    Raises StoreError where what was seen cannot be written. Memory: one row group, 1,024·d·4 bytes.
    """
    known = {} if fresh else _known(embeddings)
    found = [_current(embeddings, part, known.get(part.name)) for part in embeddings.parts()]
    if found and {each.name: each for each in found} != known:
        parts = {each.name: asdict(each) for each in found}
        write_json(embeddings.folder / AUDIT, {"audit": AUDIT_VERSION, "parts": parts})
    return found


def look_at(embeddings: EmbeddingSet, part: Part) -> PartAudit:
    """One part, each byte of it read again. Memory: one row group."""
    return _current(embeddings, part, None)


def _known(embeddings: EmbeddingSet) -> dict[str, PartAudit]:
    try:
        said = read_json(embeddings.folder / AUDIT)
        parts = {} if said is None or said.get("audit") != AUDIT_VERSION else said["parts"]
        return {name: PartAudit(**each) for name, each in parts.items()} if isinstance(parts, Mapping) else {}
    except (StoreError, KeyError, TypeError):
        return {}  # damaged: every part is looked at again


def _current(embeddings: EmbeddingSet, part: Part, known: PartAudit | None) -> PartAudit:
    path = embeddings.folder / part.name
    try:
        stat = path.stat()
    except OSError as error:
        gone = PartAudit(name=part.name, rows=part.rows, dim=part.dim, bytes=part.bytes, changed_ns=0)
        return replace(gone, problem=f"{path} is gone ({error.strerror or error}).")
    now = PartAudit(name=part.name, rows=part.rows, dim=part.dim, bytes=stat.st_size, changed_ns=stat.st_ctime_ns)
    if known is not None and replace(known, not_finite=0, zero=0, problem=None) == now:
        return known
    return _looked_at(embeddings, part, now)


def _looked_at(embeddings: EmbeddingSet, part: Part, now: PartAudit) -> PartAudit:
    path = embeddings.folder / part.name
    not_finite = zero = 0
    try:
        if inspect_part(path, embeddings.key) != part:
            return replace(now, problem=f"{path} is not what the set's manifest says of it.")
        for _, rows in row_groups(path, part.dim) if part.dim else ():
            not_finite += int(np.count_nonzero(~np.isfinite(rows).all(axis=1)))
            zero += int(np.count_nonzero(~rows.any(axis=1)))
    except StoreError as error:
        return replace(now, problem=str(error))
    return replace(now, not_finite=not_finite, zero=zero)
