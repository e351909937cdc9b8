"""What every kind of source must do, run over the whole registry."""

from __future__ import annotations

import pickle
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from semsim_pipeline.datasets.base import SOURCES
from semsim_pipeline.datasets.decode import decode, header
from semsim_pipeline.datasets.resolve import open_source, source_key
from semsim_pipeline.errors import UnknownNameError, WrongCallError
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline_tests.datasets.conftest import (
    MAKERS,
    content_bytes,
    example_of,
    make_folder,
    make_parquet,
    make_tar,
    replaced_unseen,
)

# Enough to cross row groups, labels and photographs without decoding a thousand crops twice.
SOME = 120


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is fetched is kept."""
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("kind", SOURCES.names())
class TestContract:
    def test_has_an_example_and_facts(self, kind: str) -> None:
        assert kind in MAKERS
        entry = SOURCES.get(kind)
        assert entry.name == kind
        assert entry.summary
        assert entry.example.startswith("semsim ")
        assert entry.licence

    def test_file_is_named_as_registered(self, kind: str) -> None:
        module = SOURCES.get(kind).build.__module__
        assert module == f"semsim_pipeline.datasets.{kind.replace('-', '_')}"

    def test_items_are_stable_and_unique_and_labelled(self, kind: str, tmp_path: Path) -> None:
        source = example_of(kind, tmp_path)
        items = list(source.items())
        assert items
        assert items == list(source.items())
        assert len({item.path for item in items}) == len(items)
        for item in items:
            assert set(item.labels) == set(source.label_columns)
            assert item.path.encode()
            assert not item.path.startswith("/")

    def test_reads_the_same_forwards_and_backwards(self, kind: str, tmp_path: Path) -> None:
        source = example_of(kind, tmp_path)
        items = list(islice(source.items(), SOME))
        with source.open() as reader:
            forwards = [image_id_of(reader.read(item)) for item in items]
        with source.open() as reader:
            backwards = [image_id_of(reader.read(item)) for item in reversed(items)]
        assert forwards == backwards[::-1]
        assert len(set(forwards)) > 1

    def test_a_copy_in_a_worker_reads_the_same(self, kind: str, tmp_path: Path) -> None:
        source = example_of(kind, tmp_path)
        copy = pickle.loads(pickle.dumps(source))
        assert copy == source
        assert source_key(copy) == source_key(source)
        item = next(source.items())
        assert next(copy.items()) == item
        with source.open() as mine, copy.open() as theirs:
            assert content_bytes(mine.read(item)) == content_bytes(theirs.read(item))

    def test_images_decode(self, kind: str, tmp_path: Path) -> None:
        source = example_of(kind, tmp_path)
        with source.open() as reader:
            for item in islice(source.items(), 5):
                content = reader.read(item)
                rgb, facts = decode(content), header(content)
                assert rgb.shape == (facts.height, facts.width, 3)
                assert item.size is None or item.size == len(content)

    def test_identity_is_a_place(self, kind: str, tmp_path: Path) -> None:
        source = example_of(kind, tmp_path)
        assert source.kind == kind
        assert SOURCES.get(kind).embedded == (source.location == kind)
        on_the_net = kind in {"url", "huggingface"}
        assert SOURCES.get(kind).embedded or on_the_net or Path(source.location).is_absolute()

    def test_refuses_an_unknown_option(self, kind: str, tmp_path: Path) -> None:
        location = example_of(kind, tmp_path).location
        with pytest.raises(UnknownNameError, match="gruop_by"):
            SOURCES.get(kind).build(location, {"gruop_by": "subfolder"})

    def test_embedded_sets_take_no_place(self, kind: str, tmp_path: Path) -> None:
        if SOURCES.get(kind).embedded:
            with pytest.raises(WrongCallError, match="takes no location"):
                SOURCES.get(kind).build("/somewhere", {})


def test_importing_all_sources_is_light() -> None:
    code = (
        "import sys; from semsim_pipeline.datasets.base import SOURCES; SOURCES.names();"
        "import semsim_pipeline.datasets.resolve;"
        "print([m for m in ('torch','sklearn','skimage','PIL','pyarrow','polars','scipy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_a_file_replaced_with_its_old_size_and_time_gets_another_stamp(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    path = {
        "folder": lambda: make_folder(root),
        "tar": lambda: make_tar(root / "a.tar"),
        "parquet": lambda: make_parquet(root / "a.parquet"),
    }[kind]()
    source = open_source(str(path))
    before = [item.stamp for item in source.items()]
    changed = path / next(source.items()).path if path.is_dir() else path
    replaced_unseen(changed, changed.read_bytes())
    after = [item.stamp for item in source.items()]
    assert after[0] != before[0]
    assert (after[1:] == before[1:]) == (kind == "folder")
