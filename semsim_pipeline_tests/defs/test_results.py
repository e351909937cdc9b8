from __future__ import annotations

import pytest

from semsim_pipeline.defs.results import table
from semsim_pipeline.stages.outcome import Row


@pytest.mark.parametrize(
    ("rows", "kinds", "records"),
    [
        ([{"n": 1, "x": 1.5, "a": "b"}], ["int", "float", "string"], [{"n": 1, "x": 1.5, "a": "b"}]),
        ([{"n": 1}, {"n": 2.5}], ["float"], [{"n": 1}, {"n": 2.5}]),
        ([{"why": None}, {"why": "gone"}], ["string"], [{"why": ""}, {"why": "gone"}]),
        ([{"x": None}, {"x": 0.123456}, {"x": 3}], ["string"], [{"x": ""}, {"x": "0.1235"}, {"x": "3"}]),
        ([{"x": None}], ["string"], [{"x": ""}]),
    ],
)
def test_a_table_has_a_cell_for_every_column_of_every_row(
    rows: list[Row], kinds: list[str], records: list[dict[str, object]]
) -> None:
    """Dagster refuses a table whose rows differ in their columns, and with it the whole run."""
    found = table(rows)
    assert [column.type for column in found.schema.columns] == kinds  # type: ignore[attr-defined]
    assert [record.data for record in found.records] == records  # type: ignore[attr-defined]
