"""Views listed together are the views listed alone, and the source is listed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from semsim_pipeline.datasets.digits import SOURCES
from semsim_pipeline.datasets.listing import ListedView, list_together
from semsim_pipeline.datasets.resolve import open_view
from semsim_pipeline.errors import UnknownNameError
from semsim_pipeline.records import ItemRef

SPECS = [
    "digits",
    "digits[label=3]",
    "digits[limit=50]",
    "digits[label=4|7,limit=9,seed=5]",
    "digits-generated[limit=5]",
]


def test_together_as_alone(tmp_path: Path) -> None:
    assert "digits" in SOURCES
    views = {spec: open_view(spec) for spec in SPECS}
    together = list_together(views, tmp_path)
    assert list(together) == SPECS
    for spec, view in views.items():
        assert list(together[spec].select()) == list(view.select())
    assert isinstance(together["digits[label=3]"], ListedView)
    assert together["digits-generated[limit=5]"] is views["digits-generated[limit=5]"]


def test_the_source_is_listed_once_and_once_more_for_limits(tmp_path: Path) -> None:
    real = open_view("digits")
    listings = []

    class Counting:
        kind, location, options, label_columns = "digits", "digits", real.source.options, real.source.label_columns

        def items(self) -> Iterator[ItemRef]:
            listings.append(1)
            return real.source.items()

    views = {spec: replace(open_view(spec), source=Counting()) for spec in SPECS[:4]}
    for folder, names, expected in (("a", SPECS[:2], 1), ("b", SPECS[:4], 2)):
        listings.clear()
        (tmp_path / folder).mkdir()
        list_together({name: views[name] for name in names}, tmp_path / folder)
        assert len(listings) == expected


def test_a_value_that_is_not_there_is_an_error_before_anything_is_returned(tmp_path: Path) -> None:
    views = {spec: open_view(spec) for spec in ("digits[label=3]", "digits[label=33]")}
    with pytest.raises(UnknownNameError, match="33"):
        list_together(views, tmp_path)
