from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from semsim_pipeline.datasets.base import fetch, is_here
from semsim_pipeline.datasets.hub_shards import shards_of_card
from semsim_pipeline.datasets.huggingface import HubDataset
from semsim_pipeline.datasets.resolve import open_view
from semsim_pipeline.errors import (
    MissingFilesError,
    SemsimError,
    UnknownNameError,
    UnreachableError,
    WrongCallError,
    WrongChecksumError,
)
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests.datasets.conftest import jpeg
from semsim_pipeline_tests.heard import Heard
from semsim_pipeline_tests.published_sets import hub_parquet
from semsim_pipeline_tests.servers import Fault, Hub, served_hub

NAMES = ("cat", "dog")
TRAIN_A = hub_parquet([jpeg(n) for n in range(6)], [0, 1] * 3, NAMES)
TRAIN_B = hub_parquet([jpeg(n) for n in range(6, 10)], [0] * 4, NAMES)
TEST = hub_parquet([jpeg(n) for n in range(20, 23)], [1] * 3, NAMES)
FILES = {
    "README.md": b"# Pets",
    "data/train-00000-of-00002.parquet": TRAIN_A,
    "data/train-00001-of-00002.parquet": TRAIN_B,
    "data/test-00000-of-00001.parquet": TEST,
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    with served_hub(monkeypatch) as served:
        served.commit("org/pets", FILES, kind="datasets")
        yield served


def opened(spec: str) -> HubDataset:
    source = open_view(spec).source
    assert isinstance(source, HubDataset)
    return source


def test_a_split_is_fetched_shard_by_shard_and_read_with_its_class_names(hub: Hub) -> None:
    view = open_view("huggingface:org/pets[split=train,label=cat]")
    assert hub.requests == []
    fetch(view.source, Silent())
    items = list(view.select())
    assert Counter(item.labels["label"] for item in items) == {"cat": 7}
    assert items[-1].path.startswith("data/train-00001-of-00002.parquet/3")
    with view.source.open() as reader:
        assert reader.read(items[0]) == jpeg(0)
        assert reader.read(items[-1]) == jpeg(9)
    got = [asked.path for asked in hub.asked("GET") if asked.path.endswith(".parquet")]
    assert [path.rsplit("/", 1)[-1] for path in got] == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert len(list(view.source.items())) == 10
    assert pickle.loads(pickle.dumps(view.source)) == view.source


def test_the_commit_is_written_down_and_used_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.repositories["datasets", "org/pets"].names["main"]
    source = opened("huggingface:org/pets")
    fetch(source, Silent())
    assert len(list(source.items())) == 13
    written = json.loads(source.note.read_text(encoding="utf-8"))
    assert (written["asked"], written["commit"]) == ("main", commit)
    assert source.stamp_here() == source.stamp().digest == commit
    asked = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again, said = opened("huggingface:org/pets[label=dog]"), Heard()
    fetch(again, said)
    assert said.lines == [f"org/pets: commit {commit[:8]}, which is here, is used (HF_HUB_OFFLINE is set)."]
    assert len(list(open_view("huggingface:org/pets[label=dog]").select())) == 6
    assert len(hub.requests) == asked


def test_another_commit_brings_only_what_is_new(hub: Hub) -> None:
    source = opened("huggingface:org/pets[split=train]")
    fetch(source, Silent())
    before = {item.path: item.stamp for item in source.items()}
    fetch(source, Silent())
    first = len([r for r in hub.asked("GET") if r.path.endswith(".parquet")])
    new = hub.commit("org/pets", {"data/train-00002-of-00002.parquet": TEST}, kind="datasets")
    assert source.stamp().digest == new != source.stamp_here()
    fetch(source, Silent())
    assert source.stamp_here() == new
    after = {item.path: item.stamp for item in source.items()}
    assert {path: after[path] for path in before} == before  # unchanged shards are not even hashed again
    assert len(after) == len(before) + 3
    assert len([r for r in hub.asked("GET") if r.path.endswith(".parquet")]) == first + 1


def test_a_pinned_commit_never_asks_again(hub: Hub) -> None:
    commit = hub.repositories["datasets", "org/pets"].names["main"]
    hub.commit("org/pets", {"data/test-00000-of-00001.parquet": None}, kind="datasets")
    source = opened(f"huggingface:org/pets@{commit}[split=test]")
    fetch(source, Silent())
    asked = len(hub.requests)
    fetch(source, Silent())
    assert source.stamp().digest == commit
    assert len(list(source.items())) == 3
    assert len(hub.requests) == asked


def test_a_broken_shard_goes_on(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    path = f"/datasets/org/pets/resolve/{hub.repositories['datasets', 'org/pets'].names['main']}/"
    hub.fail(Fault(drop_after=2000), path=f"{path}data/train-00000-of-00002.parquet")
    source = opened("huggingface:org/pets[split=train]")
    fetch(source, Silent())
    assert len(list(source.items())) == 10
    assert any(asked.span and not asked.span.startswith("bytes=0") for asked in hub.requests)


def test_other_bytes_of_the_same_length_are_refused_and_removed(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hub's library does not notice: it compares sizes."""
    right = Hub.content

    def damaged(self: Hub, handler: object, asked: object, body: bytes, headers: object, fault: Fault) -> None:
        right(self, handler, asked, body[:-1] + b"x" if body == TRAIN_B else body, headers, fault)  # type: ignore[arg-type]

    monkeypatch.setattr(Hub, "content", damaged)
    source = opened("huggingface:org/pets[split=train]")
    with pytest.raises(WrongChecksumError) as raised:
        fetch(source, Silent())
    text = str(raised.value)
    for content in (TRAIN_B, TRAIN_B[:-1] + b"x"):
        assert hashlib.sha256(content).hexdigest() in text
    assert "data/train-00001-of-00002.parquet" in text
    assert "\n" not in text
    assert not is_here(source)
    kept = [path.name for path in (tmp_path / "hub").rglob("*.parquet")]
    assert kept == ["train-00000-of-00002.parquet"]
    monkeypatch.setattr(Hub, "content", right)
    fetch(source, Silent())
    assert len(list(source.items())) == 10


def test_shards_that_were_checked_are_not_read_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from semsim_pipeline.datasets import huggingface

    read: list[str] = []
    digest_of_file = huggingface.digest_of_file
    monkeypatch.setattr(huggingface, "digest_of_file", lambda path: (read.append(path.name), digest_of_file(path))[1])
    source = opened("huggingface:org/pets[split=train]")
    fetch(source, Silent())
    hub.commit("org/pets", {"data/train-00002-of-00002.parquet": TEST}, kind="datasets")
    fetch(source, Silent())
    assert read == [f"train-0000{n}-of-00002.parquet" for n in range(3)]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("huggingface:org/none", "the hub has no data set org/none"),
        ("huggingface:org/pets@v9", "no revision 'v9'"),
        ("huggingface:org/pets[split=trian]", "Did you mean 'train'"),
        ("huggingface:org/pets[config=big]", "Unknown configuration"),
        ("huggingface:org/empty", "no Parquet file"),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(hub: Hub, spec: str, says: str) -> None:
    hub.publish("org/empty", "images.zip", b"zip", kind="datasets")
    with pytest.raises(SemsimError, match=says) as raised:
        fetch(open_view(spec).source, Silent())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("away", ["offline", "our offline", "gone", "broken"])
def test_a_hub_that_is_away_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch, away: str) -> None:
    if away in {"offline", "our offline"}:
        monkeypatch.setenv("HF_HUB_OFFLINE" if away == "offline" else "SEMSIM_OFFLINE", "1")
    elif away == "gone":
        hub.close()
    else:
        hub.always(Fault(status=500))
    source = opened("huggingface:org/pets")
    with pytest.raises(UnreachableError) as raised:
        source.stamp()
    assert "\n" not in str(raised.value)
    with pytest.raises(MissingFilesError) as raised:
        fetch(source, Silent())
    assert "\n" not in str(raised.value)
    with pytest.raises(MissingFilesError) as missing:
        list(source.items())
    text = str(missing.value)
    assert "semsim datasets fetch 'huggingface:org/pets'" in text
    assert os.environ["HF_HUB_CACHE"] in text
    assert not is_here(source)


@pytest.mark.parametrize("spec", ["huggingface:pets", "huggingface:", "huggingface", "huggingface:a/b/c"])
def test_what_is_no_name_is_refused(spec: str) -> None:
    with pytest.raises(WrongCallError):
        open_view(spec)


def test_the_card_s_configurations_win_over_names() -> None:
    files = ["big/a.parquet", "big/b.parquet", "small/x-test.parquet", "small/train.parquet", "README.md"]
    card = {
        "configs": [
            {"config_name": "large", "data_files": [{"split": "all", "path": "big/*.parquet"}]},
            {"config_name": "small", "data_files": "small/**"},
        ]
    }
    assert shards_of_card("o/n", files, card, "large", None).files == ("big/a.parquet", "big/b.parquet")
    assert shards_of_card("o/n", files, card, "small", "train").splits == ("train",)
    with pytest.raises(WrongCallError, match="large, small"):
        shards_of_card("o/n", files, card, None, None)
    by_name = shards_of_card("o/n", files, {}, "small", None)
    assert by_name.files == ("small/train.parquet", "small/x-test.parquet")
    with pytest.raises(UnknownNameError, match="split"):
        shards_of_card("o/n", files, {}, "small", "validation")


def test_the_hub_s_own_conversion_is_read_by_its_folders() -> None:
    files = [f"{config}/{split}/000{n}.parquet" for config in ("a", "b") for split in ("train", "val") for n in (0, 1)]
    found = shards_of_card("o/n", files, {}, "b", "validation")
    assert found.files == ("b/val/0000.parquet", "b/val/0001.parquet")
