"""Small JSON files, replaced as a whole."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.home import cannot_write
from semsim_pipeline.whole_file import whole_file


def read_json(path: Path) -> dict[str, object] | None:
    """An object, None where there is no such file. Raises StoreError where it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Remove it and run again.") from error
    if not isinstance(found, dict):
        raise StoreError(f"{path} holds no JSON object. Remove it and run again.")
    return found


def write_json(path: Path, value: object, *, sort_keys: bool = False) -> None:
    """Replace a JSON file as a whole: a reader sees the old one or the new. Its folder is made where it is missing.

    Floats keep all their digits. Raises StoreError (no space, no permission); ValueError on NaN or infinity.
    """
    dumped = partial(json.dumps, value, indent=1, allow_nan=False, sort_keys=sort_keys)
    try:
        content = dumped(ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a path that is no UTF-8
        content = dumped().encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path.parent, lambda: path.name) as file:
            file.write(content + b"\n")
    except OSError as error:
        raise StoreError(cannot_write(path, error)) from error
