"""The catalogue: which datasets, encoders and comparisons there are, and so every pair's key, known without an image.

    catalog = load_catalog()
    catalog.pairs["digits.3~digits.8@classical"].reference.text    # digits[label=3]

Loading is a function of the file's text: no dataset is opened, and a folder that vanished fails where it is used, not
here. The one look at the disk is for a path with brackets in it, which wins over a view, as on the command line.
"""

from __future__ import annotations

from semsim_pipeline.catalog.check import Problem, check
from semsim_pipeline.catalog.dataset import Dataset
from semsim_pipeline.catalog.find import find_view, open_named
from semsim_pipeline.catalog.load import catalog_path, load_catalog, parse, read_catalog
from semsim_pipeline.catalog.published import Published
from semsim_pipeline.catalog.records import (
    Catalog,
    Comparison,
    ComparisonKind,
    Pair,
    Side,
    Thresholds,
    embedding_key,
    pair_key,
)
from semsim_pipeline.catalog.standing import KeyKind, Removed, Standing, forget_removed, removed_keys, standing

__all__ = [
    "Catalog",
    "Comparison",
    "ComparisonKind",
    "Dataset",
    "KeyKind",
    "Pair",
    "Problem",
    "Published",
    "Removed",
    "Side",
    "Standing",
    "Thresholds",
    "catalog_path",
    "check",
    "embedding_key",
    "find_view",
    "forget_removed",
    "load_catalog",
    "open_named",
    "pair_key",
    "parse",
    "read_catalog",
    "removed_keys",
    "standing",
]
