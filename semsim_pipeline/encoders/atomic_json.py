"""One JSON file, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write under a temporary name in the same folder, then rename: a reader sees the old file or the new one.

    Floats keep all their digits. Raises StoreError (no space, no permission); ValueError on NaN or infinity.
    """
    text = json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(cannot_write(path, error)) from error
