"""The source `url`: an archive or a Parquet file at an address, downloaded once and read like one of your own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from semsim_pipeline.addresses import shown
from semsim_pipeline.datasets import archive, grouping, parquet
from semsim_pipeline.datasets.base import SOURCES, Reader, SourceKind, check_options
from semsim_pipeline.datasets.download import download, version_now
from semsim_pipeline.datasets.published import Published, find, receipt_of
from semsim_pipeline.datasets.stamp import Stamp
from semsim_pipeline.errors import WrongCallError
from semsim_pipeline.fingerprint import digest_of
from semsim_pipeline.progress import Progress
from semsim_pipeline.records import ItemRef

SCHEMES = ("https://", "http://")
CHECKSUM = "sha256"
OPTIONS = (CHECKSUM, "image_column", grouping.OPTION)
PARQUET_MAGIC = b"PAR1"
LONGEST_NAME = 200
"""Bytes; a file system takes 255, and `.part` comes behind it for a while."""
NO_NAMES = {".", "..", ".lock", "part.json", "receipt.json"}
"""What leads elsewhere, or is ours in the file's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """What lies at an address. Option `sha256`: the file's digest in hex; such a file is never asked for again.

    Everything else is the archive's or the table's own: labels, order, memory.
    """

    location: str
    options: Mapping[str, str] = field(default_factory=dict)
    kind: str = "url"

    @property
    def file(self) -> Published:
        """The file behind the address, kept by the address and not only by its name."""
        checksum = self.options.get(CHECKSUM)
        return Published(
            url=self.location,
            name=_name_of(self.location),
            folder=f"url/{digest_of(self.location)[:16]}",
            fetch=f"semsim datasets fetch '{_recognisable(self.location)}'",
            instead="name a copy that you have by its path",
            checksum=None if checksum is None else f"sha256:{checksum}",
        )

    @property
    def label_columns(self) -> tuple[str, ...]:
        return self._inner().label_columns

    def _inner(self) -> archive.Archive | parquet.ParquetImages:
        """The file that is here, as its own kind of source. Raises MissingFilesError, CorruptSourceError."""
        path = find(self.file)
        if _is_parquet(path):
            return parquet.build(str(path), self._own(parquet.OPTIONS))
        return archive.build(str(path), self._own(archive.OPTIONS))

    def _own(self, names: tuple[str, ...]) -> dict[str, str]:
        return {name: value for name, value in self.options.items() if name in names}

    def items(self) -> Iterator[ItemRef]:
        return self._inner().items()

    def open(self) -> AbstractContextManager[Reader]:
        return self._inner().open()

    def what_else(self) -> str:
        return self._inner().what_else()

    def fetch(self, progress: Progress) -> None:
        download(self.file, progress)

    def is_here(self) -> bool:
        return receipt_of(self.file) is not None

    def stamp(self) -> Stamp:
        """By the ETag, else the date, that the address's server tells; by the checksum alone where one is given.

        Raises UnreachableError where the server does not answer, MissingFilesError where it has no such file.
        """
        if CHECKSUM in self.options:
            return Stamp(digest=self.options[CHECKSUM].lower())
        return Stamp(digest=digest_of(version_now(self.file).mark()))

    def stamp_here(self) -> str:
        find(self.file)
        receipt = receipt_of(self.file)
        if CHECKSUM in self.options or receipt is None:
            return self.options.get(CHECKSUM, "").lower()
        return digest_of(receipt.version.mark())


def _name_of(location: str) -> str:
    """The file's own name, `download` where the address has none; checked by `build`."""
    return PurePosixPath(unquote(urlsplit(location).path)).name or "download"


def _recognisable(location: str) -> str:
    """As `shown`, with a mark where a query was: without it the command would ask for something else."""
    return f"{shown(location)}?…" if urlsplit(location).query else shown(location)


def _has_host(location: str) -> bool:
    try:
        return bool(urlsplit(location).hostname)
    except ValueError:  # a bracket that is no IPv6 address
        return False


def _check_name(location: str) -> None:
    """Raises WrongCallError where the file could not be kept under its own name."""
    name = _name_of(location)
    if (
        name in NO_NAMES
        or len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME
        or any(unicodedata.category(c) == "Cc" for c in name)
    ):
        raise WrongCallError(
            f"{shown(location)} ends in the file name {name[:40]!r}, which cannot be kept; expected a plain name of at "
            f"most {LONGEST_NAME} bytes, as in https://host/photos.zip. Download it yourself and name it by its path."
        )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC


def build(location: str, options: Mapping[str, str]) -> Url:
    """The source at an address; asks no network. Raises WrongCallError: no address, no digest, no name for a file."""
    check_options("url", options, OPTIONS)
    if not location.lower().startswith(SCHEMES) or not _has_host(location):
        raise WrongCallError(f"{location!r} is no address; write https://host/photos.zip.")
    _check_name(location)
    digest = options.get(CHECKSUM)
    if digest is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise WrongCallError(f"sha256={digest!r}: expected 64 hex digits, as `sha256sum FILE` prints them.")
    return Url(location=location, options=dict(options))


SOURCES.add(
    "url",
    SourceKind(
        name="url",
        summary="an archive or Parquet file at an address, downloaded once",
        example="semsim compare 'https://host/a.zip[label=cat]' photos/",
        licence="its publisher's",
        build=build,
        remote=True,
        schemes=SCHEMES,
        options=OPTIONS,
    ),
)
