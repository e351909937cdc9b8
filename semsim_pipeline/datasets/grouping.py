"""The option `group_by` of folders and archives: images of one group (a video, a burst) are never independent."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from semsim_pipeline.errors import MissingPathError, WrongCallError

SUBFOLDER = "subfolder"
OPTION = "group_by"

GroupOf = Callable[[str], str | None]


def with_absolute_csv(options: Mapping[str, str]) -> dict[str, str]:
    """`options` with a CSV's path made absolute, so that they mean the same in a worker's folder.

    Raises MissingPathError where `group_by` is neither `subfolder` nor a file.
    """
    out = dict(options)
    value = out.get(OPTION)
    if value is not None and value != SUBFOLDER:
        path = Path(value).expanduser().absolute()
        if not path.is_file():
            raise MissingPathError(
                f"group_by={value!r}: expected 'subfolder' or a CSV file with columns path,group; there is no {path}."
            )
        out[OPTION] = str(path)
    return out


def group_by(options: Mapping[str, str]) -> GroupOf:
    """The function from an image's path to its group, None for an image in no group.

    Memory: with a CSV, the whole table; else nothing. Raises WrongCallError on a CSV without the two columns.
    """
    value = options.get(OPTION)
    if value is None:
        return lambda _path: None
    if value == SUBFOLDER:
        return second_level
    return dict(_rows(Path(value))).get


def second_level(path: str) -> str | None:
    """The second folder level under its label, None for an image that is not that deep.

    >>> second_level("cat/video-7/001.jpg"), second_level("cat/001.jpg")
    ('cat/video-7', None)
    """
    parts = path.split("/", 2)
    return f"{parts[0]}/{parts[1]}" if len(parts) == 3 else None


def listed_paths(options: Mapping[str, str]) -> Iterator[str]:
    """The paths that a CSV lists; none without a CSV."""
    value = options.get(OPTION)
    if value is not None and value != SUBFOLDER:
        for path, _group in _rows(Path(value)):
            yield path


def not_found(csv_path: str, missing: str, location: str) -> WrongCallError:
    """The error for a path of the CSV that the source does not have."""
    return WrongCallError(
        f"{csv_path} lists {missing!r}, which is not in {location}. Paths are relative to it, with '/' between parts."
    )


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if not {"path", "group"} <= set(table.fieldnames or ()):
                raise WrongCallError(
                    f"{path}: expected a CSV with the columns path,group; found {', '.join(table.fieldnames or ())}."
                )
            for row in table:
                if row["path"] and row["group"]:
                    yield row["path"].removeprefix("./"), row["group"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongCallError(f"{path}: cannot be read as a CSV with the columns path,group ({error}).") from error
