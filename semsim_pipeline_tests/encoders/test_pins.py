"""What was fetched stays what a name means: revisions, records, and what a change of either does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from semsim_pipeline.cli.app import run
from semsim_pipeline.encoders import pins
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.revision import split_revision
from semsim_pipeline.encoders.weights import HubWeights
from semsim_pipeline.errors import MissingWeightsError, StoreError, UnusableWeightsError, WrongCallError
from semsim_pipeline.fingerprint import digest_of_file
from semsim_pipeline_tests.servers import Hub

SOURCE = HubWeights(repo="org/net", filenames=("a.safetensors", "a.bin"), local_spelling="timm:net//a")
FILE = "a.safetensors"


def _record(tmp_path: Path) -> dict[str, dict[str, object]]:
    return json.loads((tmp_path / "home" / "weights.json").read_text())


def test_the_commit_and_the_digest_are_recorded(hub: Hub, tmp_path: Path) -> None:
    commit = hub.publish("org/net", FILE, b"one")
    path = SOURCE.fetch("net")
    (entry,) = _record(tmp_path).values()
    assert (entry["revision"], entry["sha256"]) == (commit, digest_of_file(path))
    assert (entry["filename"], entry["size"]) == (FILE, 3)


def test_a_newer_commit_is_not_taken_by_itself(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hub.publish("org/net", FILE, b"one")
    SOURCE.fetch("net")
    second = hub.publish("org/net", FILE, b"two")
    # Another program brings the newer one into the same cache, where `main` now means it.
    other = replace(SOURCE, revision=second)
    other.fetch("net")
    from huggingface_hub import hf_hub_download

    hf_hub_download("org/net", FILE, cache_dir=tmp_path / "hub")
    assert SOURCE.find("net").read_bytes() == SOURCE.fetch("net").read_bytes() == b"one"
    # And where the cache was emptied, the recorded commit is fetched again, not the newest.
    for path in sorted((tmp_path / "hub").rglob("*"), reverse=True):
        path.unlink() if path.is_file() or path.is_symlink() else path.rmdir()
    assert SOURCE.fetch("net").read_bytes() == b"one"
    assert first in str(SOURCE.find("net"))
    assert SOURCE.renew("net").read_bytes() == b"two"
    assert second in str(SOURCE.find("net"))


@pytest.mark.parametrize("step", [SOURCE.find, SOURCE.fetch])
def test_other_bytes_in_its_place_are_refused(step: Callable[[str], Path], hub: Hub) -> None:
    hub.publish("org/net", FILE, b"one")
    path = SOURCE.fetch("net")
    path.resolve().chmod(0o644)
    path.resolve().write_bytes(b"other")
    with pytest.raises(UnusableWeightsError, match=r"weights of 'net' changed.*fetch net --update") as raised:
        step("net")
    assert "\n" not in str(raised.value)
    assert SOURCE.renew("net").read_bytes() == b"one"
    assert step("net").read_bytes() == b"one"


def test_a_repository_that_rewrote_a_commit_is_refused(hub: Hub, tmp_path: Path) -> None:
    commit = hub.publish("org/net", FILE, b"one")
    SOURCE.fetch("net")
    hub.repositories["models", "org/net"].commits[commit] = {FILE: b"forged"}
    for path in sorted((tmp_path / "hub").rglob("*"), reverse=True):
        path.unlink() if path.is_file() or path.is_symlink() else path.rmdir()
    with pytest.raises(UnusableWeightsError, match="changed"):
        SOURCE.fetch("net")
    assert not [path for path in (tmp_path / "hub").rglob("*") if path.is_file() and path.read_bytes() == b"forged"]


def test_a_revision_in_the_name_is_what_is_fetched(hub: Hub, timm_checkpoint: Path, tmp_path: Path) -> None:
    name, repo = "timm:test_vit.r160_in1k", "timm/test_vit.r160_in1k"
    old = hub.publish(repo, "model.safetensors", timm_checkpoint.read_bytes())
    hub.publish(repo, "model.safetensors", b"broken since")
    encoder = resolve_encoder(f"{name}@{old}")
    assert encoder.name == encoder.facts.name == f"{name}@{old}"
    assert f"at {old}" in encoder.facts.weights
    assert encoder.load().dim == 64
    half = resolve_encoder(f"{name}@{old}+bf16")
    assert isinstance(half, NetworkEncoder)
    assert (half.weights, half.recipe.precision) == (encoder.weights, "bfloat16")  # type: ignore[attr-defined]
    # The revision is how the bytes were chosen; what they are is what counts.
    assert encoder.fingerprint() == resolve_encoder(f"timm:test_vit.r160_in1k/{timm_checkpoint}").fingerprint()
    with pytest.raises(UnusableWeightsError):
        resolve_encoder(name).load()
    with pytest.raises(MissingWeightsError, match="has no revision 'v9'"):
        resolve_encoder(f"{name}@v9").load()


@pytest.mark.parametrize(
    ("name", "plain", "revision"),
    [
        ("clip-vit-b-32", "clip-vit-b-32", None),
        ("clip-vit-b-32@v1.0", "clip-vit-b-32", "v1.0"),
        ("open_clip:hf-hub:a/b@0123abc", "open_clip:hf-hub:a/b", "0123abc"),
        ("open_clip:ViT-B-32//data/me@work/w.pt", "open_clip:ViT-B-32//data/me@work/w.pt", None),
    ],
)
def test_a_name_is_split(name: str, plain: str, revision: str | None) -> None:
    assert split_revision(name) == (plain, revision)
    with pytest.raises(WrongCallError):
        split_revision("timm:x@a/b")


def test_a_file_with_the_mark_in_its_name_wins(tmp_path: Path) -> None:
    (tmp_path / "weights@home").touch()
    name = f"timm:resnet18/{tmp_path}/weights@home"
    assert split_revision(name) == (name, None)


def test_a_damaged_record_is_said_and_not_overlooked(hub: Hub, tmp_path: Path) -> None:
    hub.publish("org/net", FILE, b"one")
    SOURCE.fetch("net")
    for damage in ("{", "[1]", '{"x": {"sha256": 1}}'):
        (tmp_path / "home" / "weights.json").write_text(damage)
        with pytest.raises(StoreError, match=r"weights\.json, cannot be read"):
            SOURCE.find("net")


def test_a_home_that_cannot_be_written_only_forgets(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEMSIM_HOME", str(tmp_path / "file" / "home"))
    hub.publish("org/net", FILE, b"one")
    assert SOURCE.fetch("net").read_bytes() == b"one"
    assert pins.pinned(SOURCE.place) is None


def test_fetch_says_what_was_fetched(
    hub: Hub, timm_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = "timm/test_vit.r160_in1k"
    content = timm_checkpoint.read_bytes()
    commit = hub.publish(repo, "model.safetensors", content)
    assert run(["encoders", "fetch", "timm:test_vit.r160_in1k"]) == 0
    said = capsys.readouterr().out
    assert f"revision: {commit}\n" in said
    assert f"sha256: {digest_of_file(timm_checkpoint)}\n" in said
    assert f"size: {len(content) / 1e6:,.1f} MB\n" in said
    assert "licence: apache-2.0\n" in said
    newer = hub.publish(repo, "model.safetensors", content + b"")
    assert run(["encoders", "fetch", "timm:test_vit.r160_in1k"]) == 0
    assert commit in capsys.readouterr().out
    assert run(["encoders", "fetch", "timm:test_vit.r160_in1k", "--update"]) == 0
    assert newer in capsys.readouterr().out
