"""Where semsim keeps what it computes: SEMSIM_HOME, else `data/` of a checkout, else the user's data folder."""

from __future__ import annotations

import os
from pathlib import Path

from semsim_pipeline.errors import StoreError

DOWNLOADS = "downloads"


def semsim_home() -> Path:
    """The home folder as an absolute path; not created here."""
    named = os.environ.get("SEMSIM_HOME")
    if named:
        return Path(named).expanduser().absolute()
    checkout = Path(__file__).resolve().parent.parent
    # The two files that only a checkout has beside the package; an installed wheel has neither.
    if (checkout / "pyproject.toml").is_file() and (checkout / "semsim_pipeline_tests").is_dir():
        return checkout / "data"
    from platformdirs import user_data_path

    return user_data_path("semsim", appauthor=False)


def downloads_folder() -> Path:
    """Where files are kept that were fetched whole; not created here.

    Of the home; a home that links to another's (an experiment's) uses those, whether they are there yet or not.
    """
    folder = semsim_home() / DOWNLOADS
    return folder.resolve() if folder.is_symlink() else folder


def share_downloads(home: Path, lender: Path) -> None:
    """Let `home` use what `lender` has fetched, and fetch for both; one that has downloads of its own keeps them.

    Raises StoreError.
    """
    link = home / DOWNLOADS
    try:
        if not (link.exists() or link.is_symlink()):
            link.symlink_to(os.path.relpath(lender.resolve() / DOWNLOADS, home.resolve()), target_is_directory=True)
    except OSError as error:
        raise StoreError(cannot_write(link, error)) from error


def ensure_home(home: Path | None = None) -> Path:
    """The home folder, created where missing. Raises StoreError where it cannot be written."""
    folder = semsim_home() if home is None else home.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(cannot_write(folder, error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"Cannot write under {folder}: permission denied. Set SEMSIM_HOME to a folder you own.")
    return folder


def cannot_write(path: Path, error: OSError) -> str:
    """One line for a failed write: what the disk said and what to do about it."""
    reason = error.strerror or str(error)
    return f"Cannot write {path}: {reason}. Free some space or set SEMSIM_HOME to a folder you can write."
