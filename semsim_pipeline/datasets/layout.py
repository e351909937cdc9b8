"""The rules that folders and archives share: what is an image, what is skipped, its label, how paths are spelled."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from itertools import islice

IMAGE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib"}
)
"""Lower case; a file with one of these is listed even where it is broken, and then fails with a reason."""

LITTER = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})
"""Names that operating systems leave behind, lower case; names with a leading dot are skipped as well."""

MOST_FILES_COUNTED = 10_000


def stamp_of_file(facts: os.stat_result) -> str:
    """What changes whenever a file may have: size, change time and modification time in ns.

    `cp -p` and `rsync -t` give a new file the old modification time; the change time no program can set.
    """
    return f"{facts.st_size}-{facts.st_ctime_ns}-{facts.st_mtime_ns}"


def is_skipped(name: str) -> bool:
    """Whether one part of a path (a file or a folder) is hidden or litter."""
    return name.startswith(".") or name.lower() in LITTER


def is_image_name(name: str) -> bool:
    """Whether a file's name ends like an image, in any case.

    >>> is_image_name("IMG_1.JPG"), is_image_name("notes.txt")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS  # noqa: PTH122 - 100,000 Path objects are slow


def label_of(path: str) -> str:
    """The first sub-folder; the empty string for an image that lies in none, so that every item has the column.

    >>> label_of("cat/2019/1.jpg"), label_of("1.jpg")
    ('cat', '')
    """
    return path.split("/", 1)[0] if "/" in path else ""


def archive_path(name: str) -> str | None:
    """A member's name as a path within the source, or None where the member is not an image or is skipped.

    Drops `./` and a leading `/`; a back slash separates too where there is no slash (old Windows archivers).

    >>> archive_path("./cat/1.jpg"), archive_path("__MACOSX/cat/._1.jpg"), archive_path("cat/")
    ('cat/1.jpg', None, None)
    """
    if "/" not in name and "\\" in name:
        name = name.replace("\\", "/")
    if not is_image_name(name):
        return None
    parts = [spelled(part) for part in name.split("/") if part not in {"", "."}]
    if any(is_skipped(part) for part in parts if part != ".."):
        return None
    return "/".join(parts)


def spelled(name: str) -> str:
    r"""A file's name as text that any UTF-8 store can hold; `unspelled` turns it back.

    Bytes that are not UTF-8 (Python hands them over as lone surrogates) become `\xNN`; to keep that unambiguous a
    back slash is doubled.
    """
    if "\\" not in name and name.isascii():
        return name
    out = name.replace("\\", "\\\\")
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in out)


def unspelled(text: str) -> str:
    r"""The file's name behind `spelled`.

    >>> unspelled(spelled("a\\b")) == "a\\b", unspelled("\\xff") == "\udcff"
    (True, True)
    """
    if "\\" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\\":
            out.append(text[at])
            at += 1
        elif text[at + 1] == "\\":
            out.append("\\")
            at += 2
        else:
            out.append(chr(0xDC00 + int(text[at + 2 : at + 4], 16)))
            at += 4
    return "".join(out)


def what_is_there(names: Iterable[str]) -> str:
    """What was found where no image was: files by extension, the most frequent first, of the first 10,000.

    >>> what_is_there(["a.txt", "b.txt", "README"])
    '3 other files (2 .txt, 1 without extension)'
    """
    counts = Counter(
        os.path.splitext(name)[1].lower() or "without extension"  # noqa: PTH122 - see is_image_name
        for name in islice(names, MOST_FILES_COUNTED)
    )
    total = sum(counts.values())
    if not total:
        return "nothing"
    shown = ", ".join(f"{count} {extension}" for extension, count in counts.most_common(5))
    more = ", …" if len(counts) > 5 else ""
    plus = "or more " if total == MOST_FILES_COUNTED else ""
    return f"{total} {plus}other file{'s' if total > 1 else ''} ({shown}{more})"
