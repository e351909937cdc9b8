"""A local copy in place of published weights: what the advice about missing ones says is the same encoder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from semsim_pipeline.encoders import mini
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.openclip_source import tables
from semsim_pipeline.encoders.resolve import resolve_encoder, short_names
from semsim_pipeline.encoders.weights import HubWeights
from semsim_pipeline.errors import MissingPathError, MissingWeightsError, UnknownNameError, WrongCallError

TAGS = [
    "open_clip:ViT-B-32/openai",
    "open_clip:ViT-B-32-quickgelu/openai",
    "open_clip:ViT-B-32/laion2b_s34b_b79k",
    "open_clip:ViT-L-14/laion2b_s32b_b82k",
    "open_clip:ViT-L-14/datacomp_xl_s13b_b90k",
    "open_clip:ViT-H-14-quickgelu/dfn5b",
    "open_clip:ViT-B-16-SigLIP2/webli",
    "open_clip:MobileCLIP2-S0/dfndr2b",
    "timm:vit_small_patch14_dinov2.lvd142m",
    "timm:vit_small_patch16_dinov3.lvd1689m",
    "timm:convnext_tiny.fb_in22k",
]
UNSPELLABLE = {
    "open_clip:ViT-B-32/openai",
    "open_clip:ViT-L-14/laion2b_s32b_b82k",
    "open_clip:ViT-H-14-quickgelu/dfn5b",
}
"""No name of a local file means their activation, mean or resize."""
FROM_A_HUB = [name for name in short_names() if isinstance(getattr(resolve_encoder(name), "weights", None), HubWeights)]


def network(name: str) -> NetworkEncoder:
    encoder = resolve_encoder(name)
    assert isinstance(encoder, NetworkEncoder)
    return encoder


def advised(name: str) -> str:
    """The name that the advice about missing weights gives to a local copy, "" where it gives none."""
    with pytest.raises(MissingWeightsError) as raised:
        network(name).fingerprint()
    found = re.search(r"name a local copy as '(.+)'\.$", str(raised.value))
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith(".")
    return found.group(1) if found else ""


def copy_of(spelling: str, tmp_path: Path) -> NetworkEncoder:
    file = tmp_path / "copy.safetensors"
    file.touch()
    assert re.search(r"/(/path/to/\S+\.safetensors)", spelling)
    return network(re.sub(r"/(/path/to/[^+]+)", f"/{file}", spelling))


@pytest.mark.parametrize("suffix", ["", "+bf16", "@v1", "@v1+bf16"])
@pytest.mark.parametrize("name", FROM_A_HUB)
def test_the_advice_is_of_the_same_recipe(name: str, suffix: str, tmp_path: Path) -> None:
    copy, published = copy_of(advised(name + suffix), tmp_path), network(name + suffix)
    assert copy.recipe == published.recipe
    assert copy._identity("weights") == published._identity("weights")
    assert (copy.build, copy.run, copy.batch_size) == (published.build, published.run, published.batch_size)


@pytest.mark.parametrize("suffix", ["", "+bf16"])
@pytest.mark.parametrize("name", TAGS)
def test_also_of_what_is_named_by_family(name: str, suffix: str, tmp_path: Path) -> None:
    spelling = advised(name + suffix)
    assert bool(spelling) == (name not in UNSPELLABLE)
    if spelling:
        assert copy_of(spelling, tmp_path)._identity("weights") == network(name + suffix)._identity("weights")


def test_of_every_tag_of_the_usual_architectures(tmp_path: Path) -> None:
    for arch in ("ViT-B-32", "ViT-B-16", "ViT-L-14", "RN50", "ViT-SO400M-14-SigLIP"):
        for tag in tables().tags(arch):
            name = f"open_clip:{arch}/{tag}"
            if spelling := advised(name):
                assert copy_of(spelling, tmp_path)._identity("weights") == network(name)._identity("weights")


def test_a_copy_is_the_same_encoder_by_either_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = resolve_encoder("mini")
    file = tmp_path / "w" / "own+1.safetensors"
    file.parent.mkdir()
    shutil.copy(mini.WEIGHTS, file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = [f"mini/{file}", "mini/w/own+1.safetensors", "mini/~/w/own+1.safetensors", f"mini:{file}"]
    copies = [network(name) for name in names]
    monkeypatch.chdir("/")
    for name, copy in zip(names, copies, strict=True):
        assert copy.name == copy.facts.name == name
        assert copy.fingerprint() == expected.fingerprint()
        assert str(file) in copy.facts.weights
        assert copy.facts.licence == "that of the checkpoint"
    assert copies[0].load().dim == expected.facts.dim
    assert network(f"mini/{file}+bf16").fingerprint() == resolve_encoder("mini+bf16").fingerprint()


def test_a_plus_or_an_at_in_a_file_without_a_suffix_belongs_to_it(tmp_path: Path) -> None:
    for name in ("a+b", "a@b", "a:b@c"):
        shutil.copy(mini.WEIGHTS, tmp_path / name)
        assert resolve_encoder(f"mini/{tmp_path / name}").name.endswith(name)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("dinov2-s-14/nowhere.pt", MissingPathError, "'dinov2-s-14//path/to/model.safetensors'"),
        ("dinov2-s-14//no/where.pt+bf16", MissingPathError, "No checkpoint at /no/where.pt"),
        ("dinov2-s-14//no/where.pt@main", MissingPathError, "No checkpoint at /no/where.pt@main"),
        ("dinov2-s-14/", WrongCallError, "behind the slash comes a checkpoint's path"),
        ("dinov2-s-14/~nobody-at-all/w.pt", MissingPathError, "no such user's home"),
        ("timm:resnet18/~nobody-at-all/w.pt", MissingPathError, "no such user's home"),
        ("classical/w.pt", WrongCallError, "computed and has no weights; write 'classical'"),
        ("dinov2-s-15/w.pt", UnknownNameError, "Did you mean 'dinov2-s-14'"),
        ("timm:/w.pt", WrongCallError, "write timm:NAME"),
    ],
)
def test_what_cannot_be_a_copy_says_why(name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as raised:
        resolve_encoder(name)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
