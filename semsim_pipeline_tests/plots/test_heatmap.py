from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from semsim_pipeline.comparison.matrix import Cell, MatrixKind, SimilarityMatrix
from semsim_pipeline.plots.base import Picture
from semsim_pipeline.plots.heatmap import draw_heatmap, shade


def matrix(labels: tuple[str, ...], kind: MatrixKind = "across", missing: int = 0) -> SimilarityMatrix:
    random = np.random.default_rng(0)
    cells: dict[tuple[str, str], Cell] = {}
    left = missing
    for i, row in enumerate(labels):
        for j, column in enumerate(labels):
            if j < i or (kind == "match" and i != j):
                continue
            value: float | None = float(random.uniform(0.3, 0.99))
            if left and i != j:
                value, left = None, left - 1
            cell = Cell(
                value=1.0 if i == j and kind == "across" else value,
                interval=None if value is None else (value - 0.05, value + 0.05),
                floor=0.2,
                verdict="related",
                n=(40, 50),
                status="ok",
                key=None if i == j and kind == "across" else f"{row}~{column}",
            )
            cells[row, column] = cell
            if kind == "across":
                cells[column, row] = cell
    return SimilarityMatrix(
        name="classes", encoder="fake", kind=kind, rows=labels, columns=labels, cells=cells, background="b", seed=0
    )


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.png))
    assert image.size == (picture.width, picture.height)
    assert len(picture.png) <= 150_000
    assert "nan" not in f"{picture.caption} {picture.alt}".lower().split()
    return image.convert("RGB")


@pytest.mark.parametrize("kind", ["across", "match", "pairs"])
@pytest.mark.parametrize("n", [0, 1, 3, 20])
def test_any_number_of_labels_has_a_picture(kind: MatrixKind, n: int) -> None:
    drawn = matrix(tuple(f"class {i}" for i in range(n)), kind)
    picture = draw_heatmap(drawn)
    assert opened(picture).getpixel((0, 0)) == (255, 255, 255)
    assert draw_heatmap(drawn).png == picture.png
    if drawn.scored():
        assert "seed 0" in picture.caption
        assert "n = 40 to 50" in picture.caption
    else:
        assert "No pair has a score." in picture.caption


def test_names_of_any_kind_fit() -> None:
    names = ("猫" * 50, "$\\alpha$" * 20, "a\nb", "x" * 500)
    for kind in ("across", "match"):
        assert opened(draw_heatmap(matrix(names, kind))).size[0] == 720


def test_cells_are_coloured_by_value_and_missing_ones_hatched() -> None:
    labels = ("a", "b", "c")
    full = draw_heatmap(matrix(labels))
    gap = draw_heatmap(matrix(labels, missing=1))
    assert "hatched" not in full.caption
    assert "1 without a score (hatched)" in gap.caption
    difference = np.abs(np.asarray(opened(full)).astype(int) - np.asarray(opened(gap)))[: full.height - 170]
    rows, columns = np.nonzero(difference.max(axis=2) > 60)
    assert len(rows) > 4000  # two cells
    assert {len(set(rows // 90)), len(set(columns // 90))} <= {2, 3, 4}


def test_better_is_lighter_and_ink_can_be_read() -> None:
    def light(colour: str) -> float:
        return sum(weight * int(colour[i : i + 2], 16) for weight, i in ((0.299, 1), (0.587, 3), (0.114, 5)))

    values = np.linspace(0, 1, 21)
    shades = [shade(float(value), 0.3) for value in values]
    lightness = [light(colour) for colour, _ in shades]
    assert lightness == sorted(lightness)
    assert all(abs(light(colour) - light(ink)) > 90 for colour, ink in shades)


def test_a_list_leaves_out_the_middle_of_very_many() -> None:
    labels = tuple(f"class {i}" for i in range(300))
    picture = draw_heatmap(matrix(labels, "match"))
    assert opened(picture).height < 4000
    assert "300 pairs" in picture.caption


def test_one_pair_is_one_pair() -> None:
    assert "1 pair, n" in draw_heatmap(matrix(("a",), "match")).caption
    assert "1 pair, n" in draw_heatmap(matrix(("a", "b"))).caption


def test_nothing_scored_says_so() -> None:
    drawn = matrix(("a", "b"), "match")
    cells = {
        place: replace(cell, value=None, interval=None, verdict="unreliable") for place, cell in drawn.cells.items()
    }
    picture = draw_heatmap(replace(drawn, cells=cells))
    opened(picture)
    assert "2 without a score" in picture.caption
