"""Small JSON files, replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.store.writer import write_text


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


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file as a whole; never NaN or Infinity. Raises StoreError."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
