"""Result files: whole or absent, and JSON that every reader takes."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from semsim_pipeline.errors import WorkError

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
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(6)}")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        try:
            temporary.write_bytes(content)
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):  # the failure that matters is the one being raised
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WorkError(
            f"Cannot write {path}: {error.strerror or error}. The embeddings are kept: run it again with another place."
        ) from error
