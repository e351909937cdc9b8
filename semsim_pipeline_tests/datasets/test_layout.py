from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from semsim_pipeline.datasets.layout import archive_path, is_skipped, spelled, unspelled, what_is_there

FILE_NAMES = st.binary(min_size=1, max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(FILE_NAMES)
def test_any_file_name_can_be_stored_and_read_back(name: str) -> None:
    assert spelled(name).encode()
    assert unspelled(spelled(name)) == name


@given(FILE_NAMES, FILE_NAMES)
def test_two_names_never_share_a_spelling(one: str, other: str) -> None:
    assert (spelled(one) == spelled(other)) == (one == other)


def test_a_literal_escape_is_not_an_undecodable_byte() -> None:
    assert spelled("a\\xff.jpg") != spelled("a\udcff.jpg")


def test_skipped_names() -> None:
    assert [is_skipped(n) for n in (".git", "__MACOSX", "Thumbs.db", "cat")] == [True, True, True, False]


def test_member_names() -> None:
    assert archive_path("train\\cat\\1.JPG") == "train/cat/1.JPG"
    assert archive_path("/abs/1.png") == "abs/1.png"
    assert archive_path("../up/1.png") == "../up/1.png"
    assert archive_path("a/.hidden/1.png") is None
    assert archive_path("a/readme.md") is None


def test_what_is_there_counts() -> None:
    assert what_is_there([]) == "nothing"
    assert what_is_there(f"{i}.e{i}" for i in range(7)).endswith(", …)")
    assert what_is_there(["x.txt"] * 20_000).startswith("10000 or more")
