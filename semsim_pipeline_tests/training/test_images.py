from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline.datasets import cifake
from semsim_pipeline.datasets.resolve import open_view
from semsim_pipeline.datasets.selection import select
from semsim_pipeline.errors import EmptyDatasetError, TooFewSamplesError
from semsim_pipeline.training.images import TWIN_BITS, batches, divide

CIFAKE = Path(__file__).parents[3] / "shared" / "data" / "cifake-train.zip"
HELD = 2


def divided(archive: Path, **changed):
    options = {"classes": cifake.CLASSES, "where": {"label": "REAL"}, "held_out": HELD, **changed}
    return divide(cifake.build(str(archive), {}), **options)


def test_what_is_held_out_is_what_a_views_limit_selects(archive: Path) -> None:
    held_out = divided(archive).held_out
    for number, name in enumerate(cifake.CLASSES):
        view = open_view(f"cifake:{archive}[label=REAL,class={name},limit={HELD}]")
        wanted = {item.path for item in select(view.source, view.view)}
        assert wanted == {held_out.paths[row] for row in np.flatnonzero(held_out.classes == number)}


def test_neither_a_held_out_image_nor_its_copy_nor_its_twin_is_trained_on(archive: Path) -> None:
    found = divided(archive)
    assert not set(found.training.ids) & set(found.held_out.ids)
    assert len(set(found.training.ids)) == len(found.training)
    assert found.copies > 0
    assert found.twins > 0
    assert len(found.training) + len(found.held_out) + found.copies + found.twins == 130
    # A brighter, fainter rendering of a held-out image is that image again: numbers 50 apart.
    held = {
        (path.split("/")[-1][:4], label)
        for path, label in zip(found.held_out.paths, found.held_out.classes, strict=True)
    }
    for path, label in zip(found.training.paths, found.training.classes, strict=True):
        number = int(path.split("/")[-1][:4])
        assert (f"{(number + 50) % 100:04}", label) not in held, path


def test_twins_are_counted_as_near_duplicates_counts_them() -> None:
    from semsim_pipeline.metrics.hamming import within
    from semsim_pipeline.metrics.near_duplicates import TWIN_BITS as OF_THE_METRIC
    from semsim_pipeline.training.images import _twins

    random = np.random.default_rng(0)
    held = random.integers(0, 2**63, (40, 4), dtype=np.uint64)
    hashes = held[random.integers(0, 40, 300)]
    for row in hashes:
        for bit in random.choice(256, random.integers(TWIN_BITS - 3, TWIN_BITS + 4), replace=False):
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    hashes[:3] = 0
    assert TWIN_BITS == OF_THE_METRIC
    expected = within(hashes, held, TWIN_BITS)
    assert 50 < expected.sum() < 250
    np.testing.assert_array_equal(_twins(hashes, held), expected)


def test_classes_are_left_out_and_numbered_anew(archive: Path) -> None:
    training = divided(archive).training
    rest = training.without((0, 3))
    assert len(rest) == int((~np.isin(training.classes, (0, 3))).sum())
    assert set(rest.classes.tolist()) == set(range(8))
    assert rest.digest() != training.digest()
    assert rest.take(np.arange(len(rest))[::-1]).digest() == rest.digest()


def test_too_few_images_and_none_are_one_line(archive: Path) -> None:
    with pytest.raises(TooFewSamplesError, match="13 images; 13 are to be held out"):
        divided(archive, held_out=13)
    with pytest.raises(EmptyDatasetError, match="OTHER"):
        divided(archive, where={"label": "OTHER"})


def test_batches_are_full_and_share_no_row() -> None:
    found = list(batches(10, 3, np.arange(10)[::-1]))
    assert [len(rows) for rows in found] == [3, 3, 3]
    assert len(set(np.concatenate(found).tolist())) == 9


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.skipif(not CIFAKE.exists(), reason="needs ../shared/data/cifake-train.zip, which is never downloaded")
def test_the_committed_training_names_the_images_that_the_rule_gives() -> None:
    import json

    from semsim_pipeline.training import mini

    results = Path(__file__).parents[2] / "benchmarks" / "results"
    report = json.loads((results / "mini_training.json").read_text(encoding="utf-8"))["images"]
    found = mini.real_images(str(CIFAKE))
    assert (len(found.training), len(found.held_out)) == (report["training"], report["held_out"])
    assert found.training.digest() == report["training_digest"]
    assert found.held_out.digest() == report["held_out_digest"]
