"""CIFAKE's files from Kaggle, through Kaggle's own client, or from a mirror; and where they are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from semsim_pipeline.datasets.download import download
from semsim_pipeline.datasets.published import Published, places
from semsim_pipeline.datasets.right_kind import problem_of
from semsim_pipeline.downloads import MIRROR, OFFLINE, is_offline
from semsim_pipeline.errors import MissingFilesError, StoreError
from semsim_pipeline.home import cannot_write
from semsim_pipeline.hub import first_line
from semsim_pipeline.json_file import write_json
from semsim_pipeline.progress import Progress

HANDLE = "birdy654/cifake-real-and-ai-generated-synthetic-images/versions/3"
INSTALL = "pip install 'semsim-pipeline[kaggle]'"


def cifake_file() -> Published:
    """The zip: what a mirror holds it as, and where it may be put."""
    return Published(
        url="https://www.kaggle.com/datasets/birdy654/cifake-real-and-ai-generated-synthetic-images",
        name="cifake.zip",
        folder="cifake",
        fetch="semsim datasets fetch cifake",
        instead="name a copy, zip or folder: 'cifake:PATH'",
    )


def find_cifake() -> Path | None:
    """The zip or folder that is here, None where there is none, or half a one."""
    file = cifake_file().path
    if file.is_file() and problem_of(file, file.name) is None:
        return file
    try:
        folder = Path(_note().read_text(encoding="utf-8").strip().strip('"'))
    except OSError:
        return None
    return folder if folder.is_dir() else None


def fetch_cifake(progress: Progress) -> None:
    """From the mirror where there is one, else from Kaggle (resumed and kept by its client).

    Raises MissingFilesError with what to do: the client is not installed, offline, refused. StoreError.
    """
    if find_cifake() is not None:
        return
    file, reason = cifake_file().path, ""
    if os.environ.get(MIRROR):
        try:
            download(_mirrored(), progress)
        except MissingFilesError as error:
            reason = f"the mirror: {error} "
        else:
            return
    folder = _from_kaggle(progress, reason)
    try:
        file.unlink(missing_ok=True)  # a zip that is not whole; nobody would ask for it any more
    except OSError as error:
        raise StoreError(cannot_write(file, error)) from error
    write_json(_note(), str(folder))


def missing_cifake(reason: str = "not on this machine yet") -> MissingFilesError:
    """One line: what is missing, and the ways to get it."""
    file = cifake_file()
    if file.path.is_file() and (problem := problem_of(file.path, file.name)):
        reason = f"the copy on this machine {problem}; {reason}"
    return MissingFilesError(
        f"CIFAKE is missing ({reason}). Fetch it with `{file.fetch}` (needs {INSTALL}), put its zip at {file.path}, or "
        f"{file.instead}.",
        reason=reason,
    )


def _mirrored() -> Published:
    from dataclasses import replace

    file = cifake_file()
    return replace(file, url=places(file)[0])


def _from_kaggle(progress: Progress, before: str) -> Path:
    if is_offline():
        raise missing_cifake(f"{before}{OFFLINE} is set")
    try:
        import kagglehub
        from kagglehub import exceptions
    except ImportError as error:
        raise missing_cifake(f"{before}Kaggle's client is not installed") from error
    refusals = (
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.DataCorruptionError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    )
    progress.say(f"Fetching CIFAKE (110 MB) from Kaggle: {HANDLE}")
    try:
        return Path(kagglehub.dataset_download(HANDLE))
    except (*refusals, OSError, ValueError, RuntimeError) as error:
        raise missing_cifake(f"{before}{_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    """One clause. What the client's transport says of a host that it cannot reach is a tower of Python objects."""
    from requests.exceptions import ConnectionError as NotConnected  # Kaggle's client requires it
    from requests.exceptions import Timeout

    return "Kaggle cannot be reached" if isinstance(error, NotConnected | Timeout) else f"Kaggle: {first_line(error)}"


def _note() -> Path:
    return cifake_file().path.with_name("kaggle.json")
