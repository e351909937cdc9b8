"""Contract: every registered encoder, and what may be written for it."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from semsim_pipeline.encoders.base import ENCODERS
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.resolve import resolve_encoder, short_names
from semsim_pipeline.errors import MissingPathError, UnknownNameError, WrongCallError


@pytest.mark.parametrize("name", ENCODERS.names())
def test_facts_are_complete(name: str) -> None:
    kind = ENCODERS.get(name)
    assert kind.name == kind.facts.name == name
    for field in dataclasses.fields(kind.facts):
        value = getattr(kind.facts, field.name)
        if name.endswith(":") and field.name in {"dim", "input_size"}:
            assert value is None
        else:
            assert value, field.name
    assert kind.example.startswith(name)


@pytest.mark.parametrize("name", ENCODERS.names())
def test_the_example_resolves_to_something_picklable(name: str) -> None:
    encoder = resolve_encoder(ENCODERS.get(name).example)
    assert encoder.name == ENCODERS.get(name).example
    assert encoder.batch_size >= 1
    assert encoder.concurrency in {"processes", "threads"}
    assert pickle.loads(pickle.dumps(encoder)).facts == encoder.facts


@pytest.mark.parametrize("name", [each for each in short_names() if each != "classical"])
def test_a_short_names_recipe_is_the_librarys(name: str) -> None:
    """What is written down so that torch need not be imported agrees with the library that is installed."""
    from semsim_pipeline.encoders import openclip, timm

    encoder = resolve_encoder(name)
    assert isinstance(encoder, NetworkEncoder)
    recipe = encoder.recipe
    if recipe.family == "open_clip":
        from open_clip.pretrained import get_pretrained_cfg

        published = get_pretrained_cfg(recipe.arch, "openai")
        assert openclip._recipe(recipe.arch, published) == recipe
        assert openclip._published_file(name, recipe.arch, published) == (
            encoder.weights.repo,  # type: ignore[union-attr]
            encoder.weights.filenames,  # type: ignore[union-attr]
        )
        return
    published = timm._published(recipe.arch)
    if name.startswith("dinov2"):
        published["input_size"] = (3, 224, 224)
    theirs = timm._recipe(recipe.arch, published)
    for field in ("arch", "resize", "mean", "std"):
        assert getattr(theirs, field) == getattr(recipe, field)
    assert published["hf_hub_id"] == encoder.weights.repo  # type: ignore[union-attr]
    assert published["license"].lower() in encoder.facts.licence.lower()


def test_openai_weights_bring_their_activation_under_either_name() -> None:
    for arch in ("ViT-B-32", "ViT-B-32-quickgelu"):
        encoder = resolve_encoder(f"open_clip:{arch}/openai")
        assert isinstance(encoder, NetworkEncoder)
        assert encoder.recipe.quick_gelu
    other = resolve_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k")
    assert isinstance(other, NetworkEncoder)
    assert not other.recipe.quick_gelu


def test_a_local_siglip_is_prepared_as_its_published_weights_are(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.touch()
    encoder = resolve_encoder(f"open_clip:ViT-B-16-SigLIP/{path}")
    assert isinstance(encoder, NetworkEncoder)
    assert (encoder.recipe.mean, encoder.recipe.resize.fit) == ((0.5, 0.5, 0.5), "squash")


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("clasical", UnknownNameError, "Did you mean 'classical'"),
        ("", UnknownNameError, "open_clip:"),
        ("nope:x", UnknownNameError, "timm:"),
        ("timm:", WrongCallError, "for example"),
        ("open_clip:ViT-B-32", WrongCallError, "ARCH/TAG"),
        ("open_clip:ViT-B-33/openai", UnknownNameError, "Did you mean 'ViT-B-32'"),
        ("open_clip:ViT-B-32/openia", UnknownNameError, "Did you mean 'openai'"),
        ("open_clip:ViT-B-32/nowhere.pt", MissingPathError, "two slashes"),
        ("open_clip:../../x/openai", UnknownNameError, "architecture"),
        ("timm:resnet19", UnknownNameError, "Did you mean 'resnet1"),
        ("timm:resnet18.nope", UnknownNameError, "weights of timm resnet18"),
        ("timm:resnet18/nowhere.pt", MissingPathError, "two slashes"),
    ],
)
def test_what_cannot_be_resolved_says_what_can(name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as raised:
        resolve_encoder(name)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_home_and_a_relative_path_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timm_checkpoint: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(timm_checkpoint.read_bytes())
    expected = resolve_encoder(f"timm:test_vit/{timm_checkpoint}").fingerprint()
    relative, home = resolve_encoder("timm:test_vit/w.safetensors"), resolve_encoder("timm:test_vit/~/w.safetensors")
    monkeypatch.chdir("/")
    assert relative.fingerprint() == home.fingerprint() == expected


def test_names_facts_and_fingerprints_cost_no_heavy_import() -> None:
    code = (
        "import sys\n"
        "from semsim_pipeline.encoders import resolve, background_store, checkpoint, torch_runtime\n"
        "for name in resolve.short_names(): resolve.resolve_encoder(name).facts\n"
        "resolve.resolve_encoder('classical').fingerprint()\n"
        "heavy = {'torch', 'timm', 'open_clip', 'skimage', 'huggingface_hub', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
