"""Text that fits and can be drawn: names of any length, in any script, on every machine."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties
    from matplotlib.ft2font import FT2Font

DPI = 100
MISSING = "□"
ELLIPSIS = "…"
FURTHER_FAMILIES = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR",
    "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "IPAexGothic", "Noto Sans Devanagari", "Noto Sans Bengali",
    "Noto Sans Tamil", "Noto Sans Thai", "Noto Sans Hebrew",
)  # fmt: skip
"""Asked, where the machine has them, for what DejaVu (which comes with matplotlib) lacks."""


def clean(text: str) -> str:
    """One line that every font call takes: control characters and lone surrogates become spaces and `□`.

    >>> clean("a\\nb")
    'a b'
    """
    kinds = {"Cc": " ", "Zl": " ", "Zp": " ", "Cs": MISSING, "Co": MISSING, "Cf": ""}
    return "".join(kinds.get(unicodedata.category(char), char) for char in text)


def drawable(text: str) -> str:
    """`clean`, with `□` for characters that no font at hand has."""
    return "".join(char if _has(char) else MISSING for char in clean(text))


def font_for(text: str, pixels: float, *, bold: bool = False) -> FontProperties:
    """The font of a given height in pixels: DejaVu's file itself, which needs no search, or families where it lacks
    something."""
    from matplotlib.font_manager import FontProperties

    size = pixels * 72 / DPI
    if all(ord(char) in _dejavu_characters() for char in text):
        return FontProperties(fname=_dejavu_path(bold=bold), size=size)
    return FontProperties(
        family=["DejaVu Sans", *(name for name, _ in _further())], size=size, weight="bold" if bold else "normal"
    )


def width_of(text: str, pixels: float, *, bold: bool = False) -> float:
    """Width in pixels as drawn; characters that DejaVu lacks count as square."""
    known = "".join(char for char in text if ord(char) in _dejavu_characters())
    font = _measure(bold=bold)
    font.set_size(100.0, 72)
    font.set_text(known)
    return float(font.get_width_height()[0]) / 64 / 100 * pixels + (len(text) - len(known)) * pixels


def shorten(text: str, most: float, pixels: float, *, bold: bool = False) -> str:
    """`text` if it fits into `most` pixels, else with its middle left out: both ends of a name tell names apart."""
    text = drawable(text)
    return cut_to(text, lambda each: width_of(each, pixels, bold=bold) <= most)


def cut_to(text: str, fits: Callable[[str], bool]) -> str:
    """The longest of `text`'s forms with a gap in the middle that fits; a lone `…` where none does.

    >>> cut_to("abcdefghij", lambda each: len(each) <= 5)
    'ab…ij'
    """
    if fits(text):
        return text
    least, most = 0, len(text) - 1
    while least < most:
        kept = (least + most + 1) // 2
        least, most = (kept, most) if fits(_gapped(text, kept)) else (least, kept - 1)
    return _gapped(text, least)


def _gapped(text: str, kept: int) -> str:
    tail = kept // 2
    return text[: kept - tail].rstrip() + ELLIPSIS + (text[len(text) - tail :].lstrip() if tail else "")


def wrap(text: str, most: float, pixels: float) -> list[str]:
    """Lines no wider than `most`; a word that is wider is shortened."""
    lines: list[str] = []
    for word in drawable(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, pixels) <= most:
            lines[-1] = longer
        else:
            lines.append(shorten(word, most, pixels))
    return lines


def short_labels(labels: Sequence[str], most: float, pixels: float) -> list[str]:
    """Each label shortened to fit."""
    return [shorten(label, most, pixels) for label in labels]


@cache
def _dejavu_path(*, bold: bool) -> str:
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf"


@cache
def _dejavu_characters() -> frozenset[int]:
    """Characters that both the plain and the bold face have."""
    return frozenset(_measure(bold=False).get_charmap()) & frozenset(_measure(bold=True).get_charmap())


@cache
def _measure(*, bold: bool) -> FT2Font:
    from matplotlib.ft2font import FT2Font

    return FT2Font(_dejavu_path(bold=bold))


@cache
def _further() -> tuple[tuple[str, frozenset[int]], ...]:
    """(family, its characters) of those of FURTHER_FAMILIES that are installed."""
    from matplotlib.font_manager import fontManager, get_font

    paths = {font.name: font.fname for font in reversed(fontManager.ttflist) if font.name in FURTHER_FAMILIES}
    return tuple((name, frozenset(get_font(paths[name]).get_charmap())) for name in FURTHER_FAMILIES if name in paths)


def _has(char: str) -> bool:
    code = ord(char)
    return code in _dejavu_characters() or any(code in characters for _, characters in _further())
