from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest

from semsim_pipeline.cli.app import semsim as group
from semsim_pipeline.encoders.base import ENCODERS
from semsim_pipeline.metrics.base import metric_facts
from semsim_pipeline_tests.cli.conftest import N, Semsim, process
from semsim_pipeline_tests.pictures import write_pictures


def test_embed_says_what_it_did_and_does_it_once(semsim: Semsim, stripes: Path, new_home: Path) -> None:
    first = semsim("embed", stripes)
    assert first.code == 0
    assert f"{N} images = {N} embedded + 0 failed" in first.out
    assert f"{N} embedded now" in first.out
    assert str(new_home) in first.out
    again = semsim("embed", stripes)
    assert "0 embedded now" in again.out
    assert "Embedding:" not in again.err


def test_exported_parts_are_the_store_for_any_reader(semsim: Semsim, stripes: Path, tmp_path: Path, home: Path) -> None:
    out = tmp_path / "deep" / "out"
    ran = semsim("embed", stripes, "--out", out)
    assert ran.code == 0
    assert f"Embeddings: {out}" in ran.out
    exported = pl.read_parquet(out / "part-*.parquet")
    assert exported.columns == ["image_id", "path", "group", "embedding"]
    assert exported["path"].to_list() == [f"{i:03d}.png" for i in range(N)]
    stored = pl.concat(pl.read_parquet(path) for path in home.glob("embeddings/mini*/part-*.parquet")).unique(
        "image_id"
    )
    both = exported.join(stored, on="image_id", how="inner", suffix="_stored")
    assert len(both) == N
    np.testing.assert_array_equal(both["embedding"].to_numpy(), both["embedding_stored"].to_numpy())
    assert len(pl.read_parquet(out / "manifest.parquet")) == N


def test_an_export_of_fewer_replaces_an_earlier_one(semsim: Semsim, stripes: Path, tmp_path: Path) -> None:
    for spec, n in ((str(stripes), N), (f"{stripes}[limit=5]", 5)):
        assert semsim("embed", spec, "--out", tmp_path / "out", "-q").code == 0
        assert len(pl.read_parquet(tmp_path / "out" / "part-*.parquet")) == n


def test_unreadable_images_are_counted_and_named(semsim: Semsim, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "some", 4, seed=31)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing")
    ran = semsim("embed", folder, "--quiet")
    assert ran.code == 0
    assert "5 images = 4 embedded + 1 failed" in ran.out


def test_calibrate_and_fetch(semsim: Semsim, panel: Path, stripes: Path, new_home: Path) -> None:
    ran = semsim("encoders", "calibrate", "classical", "--panel", panel)
    assert ran.code == 0
    assert "s² = " in ran.out
    found = semsim("compare", stripes, stripes, "--encoder", "classical", "--metrics", "kid", "--json", "-").json()
    assert found["background"]["source"] == str(panel)  # type: ignore[index]
    fetched = semsim("encoders", "fetch", "classical")
    assert fetched.code == 0
    assert "no weights to fetch" in fetched.out


def test_a_panel_needs_five_categories_and_this_is_said_before_embedding(
    semsim: Semsim, labelled: Path, stripes: Path, new_home: Path
) -> None:
    ran = semsim("encoders", "calibrate", "classical", "--panel", labelled, "--quiet")
    assert ran.code == 1
    assert "at least 5 categories" in ran.one_line()
    assert f"{labelled}' name 2" in ran.err
    assert not (new_home / "embeddings").exists()


def test_list_comes_from_the_registries(semsim: Semsim) -> None:
    for what, names in (
        ("datasets", ["digits", "digits-generated", "folder", "archive", "parquet"]),
        ("encoders", [kind.example if kind.name.endswith(":") else kind.name for kind in ENCODERS]),
        ("metrics", list(metric_facts())),
    ):
        ran = semsim("list", what)
        assert ran.code == 0
        first = [line.split()[0] for line in ran.out.splitlines() if line and not line.startswith(" ")]
        assert set(names) <= set(first)


def test_listing_something_unknown_is_a_wrong_call(semsim: Semsim) -> None:
    ran = semsim("list", "thing")
    assert ran.code == 2
    for word in ("'thing'", "datasets", "encoders", "metrics", "semsim list --help"):
        assert word in ran.one_line()


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [path, *(found for name, each in below for found in _commands(each, (*path, name)))]


@pytest.mark.parametrize("path", _commands(group), ids=" ".join)
def test_every_help_has_an_example(semsim: Semsim, path: tuple[str, ...]) -> None:
    ran = semsim(*path, "--help")
    assert ran.code == 0
    assert "Example: semsim " + " ".join(path) in ran.out.replace("  ", " ")
    assert semsim(*path, "-h").out == ran.out


def test_a_bare_command_shows_the_help(home: Path) -> None:
    ran = process()
    assert ran.returncode == 2
    assert "Example: semsim compare" in ran.stderr


def test_every_metric_is_listed_with_its_meaning_range_direction_and_paper(semsim: Semsim) -> None:
    from semsim_pipeline.metrics.base import metric_facts

    listed = {each["metric"]: each for each in json.loads(semsim("list", "metrics", "--json").out)}
    table = semsim("list", "metrics").out
    assert list(listed) == list(metric_facts())
    for name, facts in metric_facts().items():
        found = listed[name]
        assert (found["meaning"], found["source"], found["higher_is_closer"]) == (
            facts.meaning, facts.source, facts.higher_is_closer,
        )  # fmt: skip
        assert [bound is None for bound in found["range"]] == [abs(bound) == float("inf") for bound in facts.range]
        assert name in table
        assert facts.meaning.split()[0] in table
    for what in ("datasets", "encoders"):
        assert json.loads(semsim("list", what, "--json").out)
