"""Contract: every registered encoder, and what may be written for it."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from semsim_pipeline.encoders import mini, openclip, openclip_names, timm, timm_records
from semsim_pipeline.encoders.base import ENCODERS
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.timm_records import ask
from semsim_pipeline.encoders.weights import HubWeights
from semsim_pipeline.errors import MissingPathError, UnknownNameError, WrongCallError
from semsim_pipeline_tests.encoders.conftest import OPEN_CLIP_ARCH, TIMM_ARCH


@pytest.mark.parametrize("name", ENCODERS.names())
def test_facts_are_complete(name: str) -> None:
    kind = ENCODERS.get(name)
    assert kind.name == kind.facts.name == name
    for field in dataclasses.fields(kind.facts):
        value = getattr(kind.facts, field.name)
        if name in {"open_clip:", "timm:"} and field.name in {"dim", "input_size"}:  # of any architecture
            assert value is None
        else:
            assert value, field.name
    assert kind.example.startswith(name)


@pytest.mark.parametrize("name", ENCODERS.names())
def test_the_example_resolves_to_something_picklable(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == mini.PREFIX:
        copy = tmp_path / mini.EXAMPLE.removeprefix(mini.PREFIX)
        copy.parent.mkdir(parents=True)
        shutil.copy(mini.WEIGHTS, copy)
    encoder = resolve_encoder(ENCODERS.get(name).example)
    assert encoder.name == ENCODERS.get(name).example
    assert encoder.batch_size >= 1
    assert encoder.concurrency in {"processes", "threads"}
    assert pickle.loads(pickle.dumps(encoder)).facts == encoder.facts


@pytest.mark.parametrize("name", [*openclip.SHORT_NAMES, *timm.SHORT_NAMES])
def test_a_short_names_recipe_is_the_librarys(name: str) -> None:
    """What is written down so that torch need not be imported agrees with the library that is installed."""
    encoder = resolve_encoder(name)
    assert isinstance(encoder, NetworkEncoder)
    recipe, weights = encoder.recipe, encoder.weights
    assert isinstance(weights, HubWeights)
    if recipe.family == "open_clip":
        from open_clip.pretrained import get_pretrained_cfg

        (row,) = [each for each in openclip_names.TABLE if each.name == name]
        published = get_pretrained_cfg(row.arch, row.tag)
        assert published
        assert openclip._recipe(row.arch, published) == recipe
        assert openclip._published_file(name, row.arch, published) == (weights.repo, weights.filenames)
        return
    record = ask(recipe.arch)
    assert weights.filenames == ((record.filename,) if record.filename else timm.FILENAMES)
    at_our_size = dataclasses.replace(record, input_size=(3, 224, 224)) if name.startswith("dinov2") else record
    theirs = timm._recipe(recipe.arch, at_our_size)
    for field in ("arch", "resize", "mean", "std"):
        assert getattr(theirs, field) == getattr(recipe, field)
    assert record.repo == weights.repo
    assert record.licence.lower() in encoder.facts.licence.lower()


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
        ("classical+bf16", WrongCallError, "'classical' is computed, not a network"),
        ("clip-vit-b-32+bf61", UnknownNameError, "Did you mean 'bf16'? Known: bf16, fp32."),
        ("clip-vit-b-33+bf16", UnknownNameError, "Did you mean 'clip-vit-b-32'"),
        ("open_clip:ViT-B-32/openia+bf16", UnknownNameError, "Did you mean 'openai'"),
        ("timm:+bf16", WrongCallError, "for example"),
        ("clip-vit-b16", UnknownNameError, "Did you mean 'clip-vit-b-16'"),
        ("dinov3-s-14", UnknownNameError, "Did you mean 'dinov3-s-16'"),
        ("classical@main", WrongCallError, "has no revisions"),
        ("inception-fid@main", WrongCallError, "has no revisions"),
        ("inception-fid+bf16", WrongCallError, "FID is defined in float32"),
        ("clip-vit-b-32@", WrongCallError, "'clip-vit-b-32@main'"),
        ("clip-vit-b-32@a b", WrongCallError, "a commit, tag or branch"),
        ("clip-vit-b-33@main", UnknownNameError, "Did you mean 'clip-vit-b-32'"),
        ("clip-vit-b-32+bf16@main", UnknownNameError, "bf16"),
        ("open_clip:hf-hub:", WrongCallError, "behind hf-hub: comes a repository"),
        ("open_clip:hf-hub:name", WrongCallError, "'open_clip:hf-hub:laion/"),
        ("open_clip:hf-hub:../..", WrongCallError, "behind hf-hub: comes a repository"),
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


def test_resolving_and_fingerprinting_a_network_imports_no_torch(
    open_clip_checkpoint: Path, timm_checkpoint: Path, tmp_path: Path
) -> None:
    local, timms = f"open_clip:{OPEN_CLIP_ARCH}/{open_clip_checkpoint}", f"timm:{TIMM_ARCH}/{timm_checkpoint}"
    # timm itself is asked once; its answers are remembered in the home that the second process shares.
    first = [resolve_encoder(name) for name in (timms, "timm:resnet18.a1_in1k")]
    names = [local, f"{local}+bf16", timms, "timm:resnet18.a1_in1k+bf16", "open_clip:ViT-B-32/laion2b_s34b_b79k"]
    code = (
        "import sys\n"
        "from semsim_pipeline.encoders.resolve import resolve_encoder\n"
        "from semsim_pipeline.errors import MissingWeightsError\n"
        "for name in sys.argv[1:]:\n"
        "    encoder = resolve_encoder(name)\n"
        "    print(encoder.facts.preprocessing)\n"
        "    try: print(encoder.fingerprint())\n"
        "    except MissingWeightsError: assert encoder.weights.__class__.__name__ == 'HubWeights'\n"
        "heavy = {'torch', 'timm', 'open_clip', 'torchvision', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    said = subprocess.run([sys.executable, "-c", code, *names], check=True, timeout=60, capture_output=True, text=True)
    assert first[0].fingerprint() in said.stdout
    assert first[1].facts.preprocessing in said.stdout


def test_timms_answers_are_remembered_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask_and_note(arch: str) -> timm_records.TimmRecord:
        asked.append(arch)
        return ask(arch)

    monkeypatch.setattr(timm_records, "ask", ask_and_note)
    names = ["resnet18.a1_in1k", "vit_small_patch14_dinov2.lvd142m", "resnet18.a1_in1k"]
    records = [timm_records.record_of(name) for name in names]
    assert asked == names[:2]
    assert records == [ask(name) for name in names]
    memory = tmp_path / "home" / "cache" / "timm-records.json"
    whole = memory.read_text()
    wrong = whole.replace('"bicubic"', '"nearest"')
    assert wrong != whole
    other_release = wrong.replace(version("timm"), "0.0.0")
    for damage in ("{", other_release, whole.replace("mean", "m"), "[]"):
        memory.write_text(damage)
        asked.clear()
        assert timm_records.record_of(names[0]) == records[0]
        assert asked == names[:1]
    with pytest.raises(UnknownNameError):
        timm_records.record_of("resnet19")


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
