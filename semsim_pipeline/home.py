"""Where semsim keeps what it computes: SEMSIM_HOME, else `data/` of a checkout, else the user's data folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from semsim_pipeline.errors import StoreError

DOWNLOADS = "downloads"
SHARED = Path("..", "..", DOWNLOADS)


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

    Of the home; one that `share_downloads` was called for uses those of the other, whether they are there yet or not.
    """
    home = semsim_home()
    folder = home / DOWNLOADS
    shared = folder.is_symlink() and folder.readlink() == SHARED
    return home.resolve().parents[1] / DOWNLOADS if shared else folder


def share_downloads(home: Path) -> None:
    """Let `home` use what the home two folders above it has fetched, and fetch for both.

    One that has downloads of its own keeps them, and so does one on a disk without links.
    """
    with suppress(OSError):  # there already, or not to be had
        (home / DOWNLOADS).symlink_to(SHARED, target_is_directory=True)


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
