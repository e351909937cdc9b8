"""The source `url`: an archive or a Parquet file at an address, downloaded once and read like one of your own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

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
        name = PurePosixPath(unquote(urlsplit(self.location).path)).name or "download"
        checksum = self.options.get(CHECKSUM)
        return Published(
            url=self.location,
            name=name,
            folder=f"url/{digest_of(self.location)[:16]}",
            fetch=f"semsim datasets fetch '{self.location}'",
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


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC


def build(location: str, options: Mapping[str, str]) -> Url:
    """The source at an address; asks no network. Raises WrongCallError for what is no address, or no digest."""
    check_options("url", options, OPTIONS)
    if not location.lower().startswith(SCHEMES) or not urlsplit(location).hostname:
        raise WrongCallError(f"{location!r} is no address; write https://host/photos.zip.")
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
