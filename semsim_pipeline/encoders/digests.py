"""The digest of a weights file: gigabytes to read, hence remembered for as long as the file is the same."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from semsim_pipeline.errors import StoreError
from semsim_pipeline.fingerprint import digest_of_file
from semsim_pipeline.home import ensure_home
from semsim_pipeline.json_file import write_json

logger = logging.getLogger(__name__)


def weights_digest(path: Path) -> str:
    """SHA-256 in hex of a weights file, remembered under SEMSIM_HOME by path, size and times.

    The change time is part of the key: a tool that restores the modification time cannot hide that the bytes changed.
    """
    real = path.resolve()
    stat = real.stat()
    stamp = f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
    try:
        memory = ensure_home() / "cache" / "weights-digests.json"
    except StoreError:
        # A home that cannot be written only costs the hashing again; the digest itself is right.
        return digest_of_file(real)
    known = _read_memory(memory)
    entry = known.get(str(real))
    if entry is not None and entry[0] == stamp:
        return entry[1]
    digest = digest_of_file(real)
    try:
        # Two processes may each lose the other's entry: both digests are then computed once more, never wrong.
        write_json(memory, {**_read_memory(memory), str(real): [stamp, digest]}, sort_keys=True)
    except StoreError as error:
        logger.info("The digest of %s is not remembered: %s", real, error)
    return digest


def _read_memory(path: Path) -> dict[str, tuple[str, str]]:
    """The remembered digests; a file that is absent or damaged remembers nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): (str(stamp), str(digest)) for key, (stamp, digest) in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
