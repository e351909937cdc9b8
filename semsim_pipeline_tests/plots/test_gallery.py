from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semsim_pipeline.plots import gallery
from semsim_pipeline.plots.base import Album
from semsim_pipeline.plots.nearest import COPIES_SHOWN, extremes
from semsim_pipeline_tests.plots.fakes import blob, pair, pixels, side

Ids = tuple[list[str], list[str]]


def ids_of(n: int, m: int) -> Ids:
    return [f"r{i}" for i in range(n)], [f"c{i}" for i in range(m)]


def nearest_by_loops(rows: NDArray[np.float32], others: NDArray[np.float32]) -> list[tuple[int, float]]:
    """(nearest other row, cosine) of each row, one product at a time, in float64."""
    out = []
    for row in rows.astype(np.float64):
        best = (-1, -2.0)
        for place, other in enumerate(others.astype(np.float64)):
            cosine = float(row @ other / np.linalg.norm(row) / np.linalg.norm(other))
            if cosine > best[1]:
                best = (place, cosine)
        out.append(best)
    return out


def test_nearest_and_farthest_agree_with_plain_loops() -> None:
    reference, candidate = blob(37, 1), blob(29, 2, 3)
    found = extremes(reference, candidate, ids_of(37, 29), 6)
    there, back = nearest_by_loops(candidate, reference), nearest_by_loops(reference, candidate)

    def checked(matches: object, oracle: list[tuple[int, float]], rows: list[int]) -> None:
        assert [each.row for each in matches] == rows  # type: ignore[attr-defined]
        for each in matches:  # type: ignore[attr-defined]
            assert each.other == oracle[each.row][0]
            assert each.cosine == pytest.approx(oracle[each.row][1], abs=1e-6)
            assert not each.copy

    by_cosine = sorted(range(29), key=lambda row: -there[row][1])
    pairs: list[int] = []
    for row in by_cosine:
        if len(pairs) < 6 and there[row][0] not in [there[other][0] for other in pairs]:
            pairs.append(row)
    checked(found.pairs, there, pairs)
    checked(found.far_candidate, there, by_cosine[::-1][:6])
    checked(found.far_reference, back, sorted(range(37), key=lambda row: back[row][1])[:6])


def test_planted_images_are_found() -> None:
    reference, candidate = blob(50, 1), blob(50, 2)
    candidate[7] = reference[31] + 0.001
    candidate[9] = -reference[0]
    reference[12] = 0
    reference[12, 8] = 1
    found = extremes(reference, candidate, ids_of(50, 50), 6)
    assert (found.pairs[0].row, found.pairs[0].other) == (7, 31)
    assert found.far_candidate[0].row == 9
    assert found.far_reference[0].row == 12
    assert found.copies == 0


@pytest.mark.parametrize("copied", [1, 2, 20])
def test_planted_copies_are_marked_and_do_not_fill_the_gallery(copied: int) -> None:
    reference, candidate = blob(30, 1), blob(30, 2)
    ids = ids_of(30, 30)
    for place in range(copied):
        candidate[place] = reference[29 - place]
        ids[1][place] = ids[0][29 - place]
    found = extremes(reference, candidate, ids, 6)
    assert found.copies == copied
    marked = [each for each in found.pairs if each.copy]
    assert len(marked) == min(copied, COPIES_SHOWN)
    assert len(found.pairs) == 6
    assert all(each.other == 29 - each.row and each.cosine == 1.0 for each in marked)
    assert not any(each.copy for each in (*found.far_candidate, *found.far_reference))


def test_a_copy_is_paired_with_itself_even_among_equal_embeddings() -> None:
    rows = np.ones((5, 4), np.float32)
    found = extremes(rows, rows, (list("abcde"), list("vwxyd")), 6)
    (marked,) = [each for each in found.pairs if each.copy]
    assert (marked.row, marked.other) == (4, 3)


def test_one_content_is_shown_once_and_a_set_against_itself_is_all_copies() -> None:
    rows = blob(20, 1)
    ids = [f"x{i // 2}" for i in range(20)]
    rows[1::2] = rows[::2]
    found = extremes(rows, rows, (ids, ids), 6)
    assert len(found.pairs) == len({ids[each.row] for each in found.pairs}) == 6
    assert all(each.copy for each in found.pairs)
    assert found.far_candidate == found.far_reference == ()
    assert found.copies == 20


def test_rows_without_a_direction_are_left_out() -> None:
    reference, candidate = blob(4, 1), blob(4, 2)
    candidate[2] = 0
    found = extremes(reference, candidate, ids_of(4, 4), 6)
    assert {each.row for each in found.far_candidate} == {0, 1, 3}
    nothing = extremes(reference, np.zeros_like(candidate), ids_of(4, 4), 6)
    assert nothing.pairs == nothing.far_reference == ()


def test_the_picture_marks_the_copy_and_shows_the_images_asked_for() -> None:
    drawn = pair(30, 30)
    contents = pixels(30, 3)
    rows = drawn.candidate.rows.copy()
    rows[5] = drawn.reference.rows[8]
    copied = pixels(30, 4)
    copied[5] = contents[8]
    drawn = replace(drawn, candidate=side(rows, name="b", contents=copied))
    plan = gallery.plan(drawn, 0)
    assert 5 in plan.wanted.candidate
    assert 8 in plan.wanted.reference
    red, green = (np.full((96, 96, 3), 0, np.uint8) for _ in range(2))
    red[..., 0], green[..., 1] = 250, 250
    album = Album(
        reference=dict.fromkeys(plan.wanted.reference, green), candidate=dict.fromkeys(plan.wanted.candidate, red)
    )
    picture = plan.draw(album)
    seen = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")).reshape(-1, 3).astype(int)
    for colour, count in (((250, 0, 0), 12), ((0, 250, 0), 12)):
        assert (np.abs(seen - colour).max(axis=1) < 12).sum() == count * 96 * 96
    assert (np.abs(seen - (0, 0x9E, 0x73)).max(axis=1) < 12).sum() > 500  # the rim of the copy
    assert picture.caption.startswith("1 candidate image is in the reference too")
