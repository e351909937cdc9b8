from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from semsim_pipeline.plots.embedding_map import BOX, choose, on_field
from semsim_pipeline.plots.layout import MOST_A_SIDE, Layout, layout_of
from semsim_pipeline.plots.placing import place_beside
from semsim_pipeline.plots.sheet import WIDTH
from semsim_pipeline_tests.plots.fakes import blob


def same_side_share(layout: Layout, k: int = 5) -> float:
    """Share of each point's k nearest on the map that are of its own side."""
    points = layout.points
    own = np.arange(len(points)) < len(layout.reference)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :k]
    return float((own[nearest] == own[:, None]).mean())


def laid(reference: NDArray[np.float32], candidate: NDArray[np.float32], seed: int = 0) -> Layout:
    with threadpool_limits(limits=1):
        return layout_of(reference, candidate, seed)


def test_two_blobs_lie_apart_and_two_halves_of_one_mix() -> None:
    apart = laid(blob(60, 1, 0), blob(60, 2, 5))
    assert apart.method == "t-SNE, perplexity 20"
    assert same_side_share(apart) > 0.98
    mixed = laid(blob(60, 1, 0), blob(60, 2, 0))
    assert 0.3 < same_side_share(mixed) < 0.7  # 0.5 by chance


def test_the_scale_of_the_rows_does_not_matter_and_the_seed_decides() -> None:
    reference, candidate = blob(30, 1), blob(30, 2)
    first = laid(reference, candidate)
    np.testing.assert_array_equal(laid(reference, candidate).points, first.points)
    np.testing.assert_array_equal(laid(reference * np.float32(4), candidate).points, first.points)
    assert np.linalg.norm(first.points, axis=1).max() == 1.0


def test_few_images_lie_along_their_principal_components() -> None:
    rows = np.zeros((4, 6), np.float32)
    rows[:, 0] = 1
    rows[:, 1] = [0.0, 0.1, 0.5, 0.6]
    found = laid(rows[:2], rows[2:])
    assert found.method.startswith("principal components")
    order = np.argsort(found.points[:, 0])
    assert order.tolist() in ([0, 1, 2, 3], [3, 2, 1, 0])
    assert np.abs(found.points[:, 1]).max() < 0.2


def test_a_large_side_is_sampled_fairly_by_the_seed() -> None:
    reference = np.ones((3 * MOST_A_SIDE, 2), np.float32)  # equal rows: no t-SNE, so quick
    found = laid(reference, reference[:10])
    assert len(found.reference) == MOST_A_SIDE
    assert len(found.candidate) == 10
    assert (np.diff(found.reference) > 0).all()
    assert abs(found.reference.mean() - 1.5 * MOST_A_SIDE) < 100
    assert found.reference.tolist() != laid(reference, reference[:10], seed=1).reference.tolist()
    assert found.method == "all embeddings are equal"


def test_images_on_the_map_cover_neither_each_other_nor_the_edge() -> None:
    found = laid(blob(150, 1, 0), blob(150, 2, 3))
    points, field = on_field(found.points)
    assert (points >= 0).all()
    assert (points <= [WIDTH, field]).all()
    shown = choose(found, points, field, 0)
    assert len(shown) >= 12
    assert {each.side for each in shown} == {"reference", "candidate"}
    for number, one in enumerate(shown):
        x, y = one.corner
        assert 0 <= x <= WIDTH - BOX
        assert 0 <= y <= field - BOX
        rows = found.reference if one.side == "reference" else found.candidate
        assert rows[one.point - (0 if one.side == "reference" else len(found.reference))] == one.row
        assert np.abs(points[one.point] - np.array(one.corner) - BOX / 2).max() < 120
        for other in shown[:number]:
            assert max(abs(x - other.corner[0]), abs(y - other.corner[1])) >= BOX


def test_a_box_goes_where_it_covers_fewest_points() -> None:
    crowd = np.stack([np.linspace(150, 290, 200), np.full(200, 200.0)], axis=1)
    points = np.concatenate([[[220.0, 200.0]], crowd])
    (placed,) = place_beside(points, [0], 40, (400, 400), 1)
    top = placed.corner[1]
    assert top + 40 + 6 < 200 or top - 6 > 200
