"""One JSON file, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write
from semsim_pipeline.whole_file import whole_file


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Replace a JSON file as a whole: a reader sees the old file or the new one.

    Floats keep all their digits. Raises StoreError (no space, no permission); ValueError on NaN or infinity.
    """
    text = json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path.parent, lambda: path.name) as file:
            file.write(text.encode())
    except OSError as error:
        raise StoreError(cannot_write(path, error)) from error
