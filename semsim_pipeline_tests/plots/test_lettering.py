from __future__ import annotations

import pytest

from semsim_pipeline.plots.lettering import MISSING, drawable, short_labels, shorten, width_of, wrap

LONG = "cifake:/somewhere/very/far/away/data/cifake-train.zip[label=REAL,class=cat,limit=500]"


@pytest.mark.parametrize("most", [40, 120, 333])
@pytest.mark.parametrize("text", [LONG, "猫" * 80, "ab", "", "a\nb\x00\udcff" * 30])
def test_a_shortened_text_fits(text: str, most: float) -> None:
    shown = shorten(text, most, 21)
    assert width_of(shown, 21) <= most
    assert "\n" not in shown


def test_both_ends_of_a_name_stay() -> None:
    shown = shorten(LONG, 400, 21)
    assert shown.startswith("cifake:/")
    assert shown.endswith("limit=500]")
    assert "…" in shown
    assert shorten("short", 400, 21) == "short"


def test_characters_without_a_glyph_become_boxes() -> None:
    assert drawable("a\U0010fffeb") == f"a{MISSING}b"
    assert drawable("naïve Ж α") == "naïve Ж α"


def test_lines_are_wrapped_at_words() -> None:
    lines = wrap("needs at least 2 independent images a side; it has 1", 200, 21)
    assert len(lines) > 2
    assert all(width_of(line, 21) <= 200 for line in lines)
    assert short_labels(["cat", "dog"], 100, 21) == ["cat", "dog"]
