from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from semsim_pipeline.plots.base import PLOTS, Picture
from semsim_pipeline.plots.draw import draw_pair
from semsim_pipeline_tests.plots.fakes import MemorySource, blob, compared, pair, side

NAMES = ["scale", "embedding_map", "gallery"]
HOSTILE = ("猫と犬 / ünï $x_2$ \\frac\n\x00 \udcff " * 6, "b" * 300)


def opened(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.png))


def check(pictures: tuple[Picture, ...]) -> None:
    """What holds for every picture."""
    assert [picture.name for picture in pictures] == NAMES
    for picture in pictures:
        image = opened(picture)
        assert image.format == "PNG"
        assert image.size == (picture.width, picture.height)
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert len(picture.png) <= 60_000
        said = f"{picture.title} {picture.caption} {picture.alt}"
        assert not re.search(r"\bnan\b|\binf\b|None", said)
        assert "seed 0" in picture.caption
        assert picture.alt


def test_the_registry_and_the_order() -> None:
    assert PLOTS.names() == sorted([*NAMES, "class_matrix"])
    assert [plot.name for plot in sorted(PLOTS, key=lambda plot: plot.order)] == [*NAMES, "class_matrix"]


def test_pictures_are_pngs_of_the_stated_size_and_the_same_each_time() -> None:
    first, again = draw_pair(pair(), 0), draw_pair(pair(), 0)
    check(first)
    assert [picture.png for picture in first] == [picture.png for picture in again]
    other = draw_pair(pair(), 1)
    assert other[1].png != first[1].png  # the map's draws follow the seed
    assert "n = 40 + 40" in first[0].caption


def test_something_is_drawn_in_both_colours() -> None:
    for picture in draw_pair(pair(), 0)[1:]:
        colours = np.asarray(opened(picture).convert("RGB")).reshape(-1, 3).astype(int)
        for wanted in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):
            assert (np.abs(colours - wanted).max(axis=1) < 24).sum() > 200


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 2), (2, 1), (3, 2), (5, 5), (7, 6)])
def test_tiny_sets_have_pictures_too(n: int, m: int) -> None:
    check(draw_pair(pair(n, m), 0))


def test_equal_embeddings_and_zero_embeddings_have_pictures_too() -> None:
    for rows in (np.ones((4, 12), np.float32), np.zeros((4, 12), np.float32)):
        drawn = replace(pair(4, 4), reference=side(rows, seed=1), candidate=side(rows, seed=2))
        check(draw_pair(drawn, 0))


def test_one_dimension_is_enough() -> None:
    rows = [np.random.default_rng(seed).uniform(1, 2, (30, 1)).astype(np.float32) for seed in (1, 2)]
    drawn = replace(pair(), reference=side(rows[0], seed=1), candidate=side(-rows[1], seed=2))
    check(draw_pair(drawn, 0))


def test_names_of_any_kind_can_be_drawn() -> None:
    pictures = draw_pair(pair(30, 30, names=HOSTILE), 0)
    check(pictures)
    assert {picture.width for picture in pictures} == {720}


def test_each_source_is_opened_once_and_read_in_its_own_order() -> None:
    drawn = pair()
    draw_pair(drawn, 0)
    for each in (drawn.reference, drawn.candidate):
        source = each.selected.source
        assert isinstance(source, MemorySource)
        assert source.opened == 1
        assert source.read_order == sorted(set(source.read_order))


def test_a_source_that_is_gone_leaves_grey_tiles() -> None:
    drawn = pair()
    for each in (drawn.reference, drawn.candidate):
        assert isinstance(each.selected.source, MemorySource)
        each.selected.source.gone = True
    check(draw_pair(drawn, 0))


def test_a_score_without_an_interval_or_a_value_says_so() -> None:
    drawn = pair(30, 30)
    found = drawn.comparison.similarity
    assert found is not None
    endless = replace(found, interval=(-np.inf, np.inf))
    for similarity in (endless, replace(found, raw=float("nan"), value=None, interval=(float("nan"),) * 2)):
        check(draw_pair(replace(drawn, comparison=replace(drawn.comparison, similarity=similarity)), 0))
    alone = compared(blob(1, 1), blob(30, 2), ("a", "b"))
    caption = draw_pair(replace(drawn, comparison=alone), 0)[0].caption
    assert caption.startswith("No score: needs at least 2")
