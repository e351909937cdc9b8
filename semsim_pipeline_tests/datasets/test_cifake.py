from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from semsim_pipeline.datasets.cifake import CLASSES, build
from semsim_pipeline.errors import EmptyDatasetError, UnknownNameError, WrongCallError
from semsim_pipeline_tests.datasets.conftest import CIFAKE, make_cifake, make_zip, needs_cifake


def test_labels_from_names(tmp_path: Path) -> None:
    items = {item.path: item.labels for item in build(str(make_cifake(tmp_path / "c.zip")), {}).items()}
    assert len(items) == 40  # the one with (11) is not of the layout
    assert items["train/REAL/0001.jpg"] == {"label": "REAL", "class": "airplane"}
    assert items["test/FAKE/0001 (10).jpg"] == {"label": "FAKE", "class": "truck"}
    assert items["train/FAKE/0001 (4).jpg"]["class"] == "cat"


def test_split_and_folder(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(make_cifake(tmp_path / "c.zip")) as archive:
        archive.extractall(tmp_path / "cifake")
    source = build(str(tmp_path / "cifake"), {"split": "test"})
    items = list(source.items())
    assert len(items) == 20
    assert all(item.path.startswith("test/") for item in items)
    with pytest.raises(UnknownNameError, match="train"):
        build(str(tmp_path / "cifake"), {"split": "trian"})


def test_another_layout_is_named(tmp_path: Path) -> None:
    source = build(str(make_zip(tmp_path / "x.zip")), {})
    with pytest.raises(WrongCallError, match=r"expected train/REAL.*found cat/a/1.jpg"):
        list(source.items())


@needs_cifake
def test_the_real_training_split() -> None:
    counts = Counter((i.labels["label"], i.labels["class"]) for i in build(str(CIFAKE), {}).items())
    assert counts == {(label, name): 5000 for label in ("REAL", "FAKE") for name in CLASSES}
    with pytest.raises(EmptyDatasetError, match="it has: train"):
        list(build(str(CIFAKE), {"split": "test"}).items())
