from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semsim_pipeline.comparison.run import CompareOptions, score_views
from semsim_pipeline.comparison.thumbnails import TILE_GREY, PictureSide, boxed, picture_sides, thumbnails
from semsim_pipeline_tests.pictures import write_pictures
from semsim_pipeline_tests.plots.fakes import MemorySource, pixels, view


def is_tile(image: object) -> bool:
    return bool((np.asarray(image) == TILE_GREY).all())


def test_tiny_images_keep_their_pixels() -> None:
    source = MemorySource(pixels(3, 0))
    found = thumbnails(view(source), [2, 0, 2], 96)
    assert found.shape == (3, 96, 96, 3)
    for place, row in enumerate((2, 0, 2)):
        content = source.contents[row]
        assert isinstance(content, np.ndarray)
        blocks = found[place].reshape(8, 12, 8, 12, 3)
        assert (blocks == content[:, None, :, None, None]).all()
    assert source.read_order == [0, 2]
    assert source.opened == 1


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((28, 28), (84, 84)), ((40, 40), (80, 80)), ((60, 60), (96, 96)), ((20, 400), (5, 96)), ((600, 300), (96, 48))],
)
def test_an_image_fits_its_box_with_its_proportions(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    box = boxed(np.zeros((*size, 3), np.uint8), 96)
    rows, columns = np.nonzero((box < 128).all(axis=2))
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == fitted
    assert (box[0, 0] == (0 if fitted == (96, 96) else 255)).all()


def test_large_images_are_antialiased() -> None:
    fine = np.zeros((960, 960, 3), np.uint8)
    fine[:, ::2] = 255
    # Every other column dropped would be 0 or 255; a filter cut off at the edge is a few levels off.
    assert np.abs(boxed(fine, 96).astype(int) - 128).max() <= 8


def test_what_cannot_be_read_or_has_changed_is_a_tile() -> None:
    source = MemorySource(pixels(4, 0), broken=frozenset({1}))
    selected = view(source)
    source.contents[2] = pixels(1, 9)[0]
    source.contents[3] = b"not an image"
    found = thumbnails(selected, [0, 1, 2, 3], 32)
    assert [is_tile(each) for each in found] == [False, True, True, True]
    source.gone = True
    assert all(is_tile(each) for each in thumbnails(selected, [0, 1], 32))
    assert thumbnails(selected, [], 32).shape == (0, 32, 32, 3)


def test_rows_that_do_not_belong_to_the_view_are_refused() -> None:
    with pytest.raises(ValueError, match="3 selected rows"):
        PictureSide(selected=view(MemorySource(pixels(3, 0))), rows=np.zeros((2, 5), np.float32))


def test_a_real_folder_gives_its_own_images_and_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("SEMSIM_HOME", str(home))
    folder = write_pictures(tmp_path / "a", 6, seed=1)
    other = write_pictures(tmp_path / "b", 4, seed=2, kind="blobs")
    (other / "copy.png").write_bytes((folder / "003.png").read_bytes())
    options = CompareOptions(metrics=["mean_cosine"])
    (scored,) = score_views(str(folder), str(other), ("classical",), options)
    reference, candidate = picture_sides(home, scored.reference, scored.candidate)
    assert (reference.n, candidate.n) == (6, 5)
    assert reference.rows.dtype == np.float32
    paths = scored.candidate.rows["path"].to_list()
    np.testing.assert_array_equal(candidate.rows[paths.index("copy.png")], reference.rows[3])
    found = thumbnails(scored.reference, [3], 16)
    np.testing.assert_array_equal(found[0], np.asarray(Image.open(folder / "003.png").convert("RGB")))
    (folder / "003.png").unlink()
    assert is_tile(thumbnails(scored.reference, [3], 16))
