from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from semsim_pipeline.encoders import digests
from semsim_pipeline.encoders.digests import weights_digest
from semsim_pipeline.encoders.network import ensure_weights
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.weights import HubWeights
from semsim_pipeline.errors import MissingWeightsError
from semsim_pipeline.fingerprint import digest_of_file
from semsim_pipeline_tests.servers import Fault, Hub

SOURCE = HubWeights(repo="org/net", filenames=("a.safetensors", "a.bin"), local_spelling="timm:net//a")


@pytest.mark.parametrize("name", ["clip-vit-b-32", "dinov2-s-14", "swin-t", "inception-v3"])
@pytest.mark.parametrize("step", ["fingerprint", "load", "ensure"])
def test_offline_one_line_says_what_where_and_how(name: str, step: str) -> None:
    encoder = resolve_encoder(name)
    steps = {"fingerprint": encoder.fingerprint, "load": encoder.load, "ensure": lambda: ensure_weights(encoder)}
    with pytest.raises(MissingWeightsError) as raised:
        steps[step]()
    text = str(raised.value)
    assert "\n" not in text
    assert "model.safetensors" in text
    assert f"`semsim encoders fetch {name}`" in text
    assert os.environ["HF_HUB_CACHE"] in text
    assert "//path/to/" in text


def test_a_computed_encoder_has_no_weights_to_ensure() -> None:
    assert ensure_weights(resolve_encoder("classical")) is None


def test_fetched_once_then_found_without_the_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.publish("org/net", "a.safetensors", b"weights" * 1000)
    path = SOURCE.fetch("net")
    assert path.read_bytes() == b"weights" * 1000
    assert commit in str(path)
    asked = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert SOURCE.find("net") == SOURCE.fetch("net") == path
    assert len(hub.requests) == asked


def test_what_another_machine_fetched_is_found_where_the_instruction_puts_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("org/net", "a.safetensors", b"weights")
    SOURCE.fetch("net")
    there = Path(os.environ["HF_HUB_CACHE"])
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingWeightsError) as raised:
        SOURCE.find("net")
    told = re.search(r"copy (\S+) of its cache \(with its links\) into (\S+?)[,.]", str(raised.value))
    assert told is not None
    shutil.copytree(there / told[1], Path(told[2]) / told[1], symlinks=True)
    assert SOURCE.fetch("net").read_bytes() == b"weights"


def test_a_path_that_is_no_utf_8_is_remembered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "home"))
    path = tmp_path / os.fsdecode(b"w\xff.pt")
    path.write_bytes(b"weights")
    assert weights_digest(path) == digest_of_file(path)
    monkeypatch.setattr(digests, "digest_of_file", lambda _: "read again")
    assert weights_digest(path) == digest_of_file(path)


def test_the_second_format_is_taken_where_there_is_no_first(hub: Hub) -> None:
    hub.publish("org/net", "a.bin", b"x")
    assert SOURCE.fetch("net").name == "a.bin"


def test_an_interrupted_download_is_resumed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(300_000)
    hub.publish("org/net", "a.safetensors", content)
    hub.fail(Fault(drop_after=200_000))
    # What has been written survives, in pieces of this size (10 MB by default).
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    assert SOURCE.fetch("net").read_bytes() == content
    # Some request asked for the rest only.
    assert any(asked.span and not asked.span.startswith("bytes=0") for asked in hub.requests)


@pytest.mark.parametrize("step", ["nothing published", "nobody answers"])
def test_a_failed_fetch_is_one_clear_line(hub: Hub, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if step == "nobody answers":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingWeightsError) as raised:
        SOURCE.fetch("net")
    assert "\n" not in str(raised.value)
    assert "semsim encoders fetch net" in str(raised.value)
    assert ("cannot be reached" in str(raised.value)) == (step == "nobody answers")


def test_a_fingerprint_never_asks_the_hub(hub: Hub) -> None:
    with pytest.raises(MissingWeightsError):
        resolve_encoder("swin-t").fingerprint()
    assert hub.requests == []


def test_load_fetches_through_the_hub(hub: Hub, timm_checkpoint: Path) -> None:
    hub.publish("timm/test_vit.r160_in1k", "model.safetensors", timm_checkpoint.read_bytes())
    encoder = resolve_encoder("timm:test_vit.r160_in1k")
    assert encoder.load().dim == 64
    assert encoder.fingerprint() == resolve_encoder(f"timm:test_vit.r160_in1k/{timm_checkpoint}").fingerprint()


def test_a_digest_is_computed_once_and_again_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"one")
    computed: list[Path] = []

    def counted(file: Path) -> str:
        computed.append(file)
        return digest_of_file(file)

    monkeypatch.setattr(digests, "digest_of_file", counted)
    first = weights_digest(path)
    assert first == weights_digest(path) == digest_of_file(path)
    assert len(computed) == 1
    times = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same modification time
    assert weights_digest(path) == digest_of_file(path) != first


def test_a_damaged_memory_of_digests_is_no_obstacle(tmp_path: Path) -> None:
    path, memory = tmp_path / "w.bin", tmp_path / "home" / "cache" / "weights-digests.json"
    path.write_bytes(b"one")
    for damaged in ("{", "[1]", json.dumps({str(path): 5})):
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(damaged)
        assert weights_digest(path) == digest_of_file(path)
