"""Result files: whole or absent, and JSON that every reader takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.errors import WorkError
from semsim_pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from semsim_pipeline.comparison.results import Comparison


def json_text(results: Sequence[Comparison]) -> str:
    """One comparison as an object, several (encoders) as a list; never NaN or infinity."""
    values = [result.to_json() for result in results]
    return json.dumps(values[0] if len(values) == 1 else values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Replace a file as a whole; one that is there stays as it was where writing fails.

    A device or a pipe (`/dev/null`) is written to, never replaced; of a link, what it points to is replaced.
    Raises WorkError with the disk's reason.
    """
    # A lone surrogate (a file name that is not UTF-8) becomes `\\udcff`, which JSON reads back as that name.
    content = text.encode("utf-8", errors="backslashreplace")
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        with whole_file(target.parent, lambda: target.name) as file:
            file.write(content)
    except OSError as error:
        raise WorkError(
            f"Cannot write {path}: {error.strerror or error}. The embeddings are kept: run it again with another place."
        ) from error
