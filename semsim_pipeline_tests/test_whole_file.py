from __future__ import annotations

import os
from pathlib import Path

import pytest

from semsim_pipeline.whole_file import TEMPORARY, whole_file


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with whole_file(tmp_path, lambda: "a") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "a").read_text() == "old"
        [temporary] = [path.name for path in tmp_path.iterdir() if path.name != "a"]
        assert temporary.startswith(f"{TEMPORARY}{os.getpid()}-")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("ours")])
def test_what_breaks_the_block_off_is_raised_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a").write_text("old")

    def broken_off() -> None:
        with whole_file(tmp_path, lambda: "a") as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)) as raised:
        broken_off()
    assert raised.value is error
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_a_name_may_follow_from_what_was_written(tmp_path: Path) -> None:
    written: list[str] = []
    with whole_file(tmp_path, lambda: f"of-{len(written)}") as file:
        written.append("x")
        file.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["of-1"]
