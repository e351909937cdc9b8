"""`schedule` and `thresholds` of a comparison: what is taken, what is refused, and that Dagster takes the same."""

from __future__ import annotations

import pytest
from dagster._utils.schedules import is_valid_cron_schedule
from hypothesis import given
from hypothesis import strategies as st

from semsim_pipeline.catalog import Thresholds
from semsim_pipeline.catalog.cron import check_cron
from semsim_pipeline.errors import CatalogError, WrongCallError
from semsim_pipeline_tests.catalog.conftest import Read

TAKEN = ["* * * * *", "30 3 * * 1-5", "*/15 0,12 1-31/2 jan-MAR 7", "0 0 29 2 *", "0 0 30 1,2 *"]
REFUSED = {
    "": "five fields",
    "daily": "five fields",
    "@daily": "five fields",
    "0 0 3 * * *": "five fields",
    "60 * * * *": "the minute of '60",
    "* 24 * * *": "the hour of",
    "* * 0 * *": "the day of the month of",
    "* * * 13 *": "the month of",
    "* * * * 8": "the day of the week of",
    "* * * foo *": "the month of",
    "5/10 * * * *": "is '5/10'",
    "*/0 * * * *": "is '*/0'",
    "20-10 * * * *": "is '20-10'",
    "1,,2 * * * *": "is '1,,2'",
    "- * * * *": "the minute of",
    "٣ * * * *": "the minute of",
    "* * L * *": "the day of the month of",
    "* * * * mon#2": "the day of the week of",
    "0 0 30 2 *": "never comes",
    "0 0 31 2 mon": "none of its months has that day",
    "0 0 31 4,6 *": "never comes",
}


@pytest.mark.parametrize("text", TAKEN)
def test_what_is_taken_dagster_takes(text: str) -> None:
    assert check_cron(text) == text
    assert is_valid_cron_schedule(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_names_the_field(text: str) -> None:
    with pytest.raises(WrongCallError) as caught:
        check_cron(text)
    assert REFUSED[text] in str(caught.value)


part = st.sampled_from(
    ["*", "*/2", "1", "7", "12", "31", "2-5", "1-30/3", "1,2", "mon", "feb-apr", "0", "60", "5/2", "x"]
)


@given(st.lists(part, min_size=4, max_size=6))
def test_nothing_is_taken_that_dagster_refuses(parts: list[str]) -> None:
    text = " ".join(parts)
    try:
        check_cron(text)
    except WrongCallError:
        return
    assert is_valid_cron_schedule(text)


def test_they_are_read(compare: Read) -> None:
    (plain,) = compare("pairs: [[d, g]]").comparisons.values()
    assert (plain.schedule, plain.thresholds) == (None, Thresholds(similarity=None, failed_images=0.05))
    (full,) = compare(
        "pairs: [[d, g]], schedule: '0  3 * * *', thresholds: {similarity: .9, failed_images: 0}"
    ).comparisons.values()
    assert (full.schedule, full.thresholds) == ("0 3 * * *", Thresholds(similarity=0.9, failed_images=0.0))
    (some,) = compare("pairs: [[d, g]], thresholds: {similarity: 1}").comparisons.values()
    assert some.thresholds == Thresholds(similarity=1.0)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("schedule: daily", "x.schedule: expected a cron string of five fields"),
        ("schedule: [0]", "x.schedule: expected a text; found a list"),
        ("schedule: ", "x.schedule: expected a text; found nothing"),
        ("shedule: '* * * * *'", "x: unknown key 'shedule'. Did you mean 'schedule'?"),
        ("thresholds: 0.9", "x.thresholds: expected a mapping"),
        ("thresholds: {similarty: 0.9}", "x.thresholds: unknown key 'similarty'. Did you mean 'similarity'?"),
        ("thresholds: {similarity: 1.1}", "x.thresholds.similarity: expected a number from 0 to 1"),
        ("thresholds: {similarity: -1}", "found '-1'"),
        ("thresholds: {similarity: .nan}", "found '.nan'"),
        ("thresholds: {failed_images: 5%}", "x.thresholds.failed_images: expected a number from 0 to 1"),
        ("thresholds: {failed_images: 1e-3}", "found '1e-3'"),
        ("thresholds: {failed_images: }", "found nothing"),
    ],
)
def test_what_is_wrong_has_its_line(compare: Read, inside: str, message: str) -> None:
    with pytest.raises(CatalogError) as caught:
        compare(f"pairs: [[d, g]], {inside}")
    assert "catalog.yaml:9: comparisons." in str(caught.value)
    assert message in str(caught.value)
