"""A file that somebody publishes: where it may be had, where it is kept, and what is known of the copy that is here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from semsim_pipeline import downloads
from semsim_pipeline.errors import MissingFilesError
from semsim_pipeline.home import downloads_folder
from semsim_pipeline.json_file import write_json
from semsim_pipeline.transfer import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A file that somebody publishes. folder: below `downloads_folder()`; one file a folder.

    checksum: `md5:…` or `sha256:…` in hex, None where none is known. fetch: the command that fetches it. instead: how
    to name a copy that one has.
    """

    url: str
    name: str
    folder: str
    fetch: str
    instead: str
    checksum: str | None = None

    @property
    def path(self) -> Path:
        """Where the whole file is, or is to be put."""
        return downloads_folder() / self.folder / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Of a file that is here. origin: the URL or path that it came from, "" where somebody put it there.

    version: as its origin told it. size: bytes. digest: SHA-256 in hex.
    """

    origin: str
    version: Version
    size: int
    digest: str


def find(wanted: Published) -> Path:
    """The file, without a network. Raises MissingFilesError with what to do where it is not here."""
    if receipt_of(wanted) is None:
        raise missing(wanted, "not on this machine yet")
    return wanted.path


def receipt_of(wanted: Published) -> Receipt | None:
    """What is known of the file that is here; None where there is none, or another than the receipt is of."""
    try:
        found = json.loads((wanted.path.parent / "receipt.json").read_text(encoding="utf-8"))
        receipt = Receipt(**{**found, "version": Version(**found["version"])})
        return receipt if wanted.path.stat().st_size == receipt.size else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def keep(wanted: Published, receipt: Receipt) -> None:
    """Write the receipt. Raises StoreError."""
    write_json(wanted.path.parent / "receipt.json", asdict(receipt))


def places(wanted: Published) -> list[str]:
    """Where the file may be had, in order: the mirror, then where it is published; URLs or paths."""
    return downloads.places(wanted.url, wanted.name)


def missing(wanted: Published, reason: str) -> MissingFilesError:
    """One line for a file that is not here: which, why, and the three ways to get it."""
    return MissingFilesError(
        f"{wanted.name} is missing ({reason}). Fetch it with `{wanted.fetch}`, put it at {wanted.path}, or "
        f"{wanted.instead}.",
        reason=reason,
    )
