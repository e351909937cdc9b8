"""A home of two small datasets at rest: what the live tests of changes start from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from semsim_pipeline.defs.inprocess import rescore_in_process
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests.pictures import write_pictures

N = 12
CATALOG = """
datasets:
  left: {spec: left, values: {label: [blobs, stripes]}}
  right: {spec: right, values: {label: [blobs, stripes]}}
encoders: {classical: classical}
comparisons:
  inside: {across: left, by: label}
  sides: {reference: left, candidate: right, match: label}
"""
BLOBS, STRIPES = "left.blobs~right.blobs@classical", "left.stripes~right.stripes@classical"
INSIDE = "left.blobs~left.stripes@classical"
PARTITIONS = {
    "dataset_manifest": ["left", "right"],
    "embeddings": ["left@classical", "right@classical"],
    "pair_metrics": [INSIDE, BLOBS, STRIPES],
    "pair_plots": [INSIDE, BLOBS, STRIPES],
    "similarity_matrix": ["inside", "sides"],
    "report": ["inside", "sides"],
}


@contextmanager
def scored_home(folder: Path) -> Iterator[Path]:
    """The folder as SEMSIM_HOME, its catalogue scored."""
    for number, dataset in enumerate(("left", "right")):
        for kind in ("stripes", "blobs"):
            write_pictures(folder / dataset / kind, N, seed=10 * number, kind=kind)
    (folder / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    time.sleep(2.1)  # younger files are looked at once more, which is right and not the matter here
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMSIM_HOME", str(folder))
        assert rescore_in_process(folder, Silent()).computed == 14
        yield folder
