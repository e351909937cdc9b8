from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from semsim_pipeline.metrics.base import EmbeddedSet, Labels, Pair
from semsim_pipeline.metrics.class_table import ClassTable, class_table
from semsim_pipeline.plots import class_matrix
from semsim_pipeline.plots.base import PLOTS, Album, PairInput, Picture
from semsim_pipeline_tests.plots.fakes import pair


def table(r: int, c: int, name: str = "class {}") -> ClassTable:
    sides = []
    for seed, count in ((1, r), (2, c)):
        rows = np.random.default_rng(seed).normal(size=(count * 4, 6))
        labels = {"label": Labels.of([name.format(i // 4) for i in range(count * 4)])}
        sides.append(EmbeddedSet("s", rows, labels=labels))
    found = class_table(Pair(reference=sides[0], candidate=sides[1]), 0.5, 0.1)
    assert found is not None
    return found


def drawn(found: ClassTable | None) -> PairInput:
    plain = pair(12, 12)
    return replace(plain, comparison=replace(plain.comparison, classes=found))


def picture_of(found: ClassTable) -> Picture:
    return PLOTS.get("class_matrix").plan(drawn(found), 0).draw(Album())


@pytest.mark.parametrize(("r", "c"), [(2, 2), (10, 10), (3, 17), (50, 50), (50, 2)])
def test_a_table_of_any_shape_is_one_small_picture(r: int, c: int) -> None:
    found = table(r, c)
    picture = picture_of(found)
    assert picture.name == "class_matrix"
    image = Image.open(io.BytesIO(picture.png))
    assert image.size == (picture.width, picture.height)
    assert len(picture.png) < 100_000
    assert f"{r} by {c} classes" in picture.alt
    assert not re.search(r"\bnan\b|None", f"{picture.title} {picture.caption} {picture.alt}")
    frame = (np.abs(np.asarray(image.convert("RGB")).astype(int) - (0xD5, 0x5E, 0)).max(axis=2) < 24).sum()
    assert frame > 50, "matched pairs are framed"


def test_cells_without_a_value_and_long_names_are_drawn() -> None:
    found = table(3, 3, "猫と犬 / ünï $x_2$ " + "long " * 12 + "{}")
    holes = tuple((None, *row[1:]) for row in found.similarities)
    assert picture_of(replace(found, similarities=holes)).width == 720


def test_nothing_is_drawn_where_there_is_nothing_to_see() -> None:
    for found in (None, replace(table(2, 2), similarities=()), table(51, 2)):
        assert not class_matrix.applies(drawn(found))
    assert class_matrix.applies(drawn(table(2, 2)))
