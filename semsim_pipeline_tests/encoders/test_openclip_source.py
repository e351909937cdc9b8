"""open_clip's files run alone give what the whole package gives; where they do not bear it, the package is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from semsim_pipeline.encoders import openclip_source
from semsim_pipeline.encoders.openclip import list_architectures
from semsim_pipeline.encoders.openclip_source import ALLOWED, Files, package_folder

TOWERS = (
    "RN50",  # a convolutional tower
    "ViT-B-32-quickgelu",
    "coca_ViT-B-32",  # an attentional pooler; also gives tokens
    "ViT-B-16-SigLIP",  # one of timm's: the whole package
    "PE-Core-T-16-384",
)


def _files(alias: str, *more: str) -> Files:
    return Files(package_folder(), f"_test_{alias}", ALLOWED | set(more))


def test_every_architecture_and_tag_has_open_clips_own_record() -> None:
    from open_clip import pretrained

    alone = _files("tables").load("pretrained")
    assert alone is not pretrained
    archs = sorted({*list_architectures(), *(arch for arch, _ in pretrained.list_pretrained()), "no such"})
    assert len(archs) > 100
    for arch in archs:
        tags = pretrained.list_pretrained_tags_by_model(arch)
        assert alone.list_pretrained_tags_by_model(arch) == tags
        for tag in (*tags, "no such"):
            assert alone.get_pretrained_cfg(arch, tag) == pretrained.get_pretrained_cfg(arch, tag)
    assert alone.list_pretrained() == pretrained.list_pretrained()


def test_the_constructor_run_alone_builds_the_towers_of_create_model() -> None:
    """Without a checkpoint: the same seed, drawn in the same order, gives the same weights, names and shapes."""
    import torch
    from open_clip import model as whole

    alone = _files("model", "torch").load("model")
    assert alone is not whole
    described = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32}
    for extra in (
        {},
        {"layers": [1, 1, 1, 1]},
        {"attentional_pool": True, "output_tokens": True},
        {"pool_type": "avg"},
    ):
        towers = []
        for module in (alone, whole):
            torch.manual_seed(0)
            config = module.CLIPVisionCfg(**{**described, **extra})
            towers.append(module._build_vision_tower(16, config, True).eval())
        ours, theirs = (tower.state_dict() for tower in towers)
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        images = torch.rand(2, 3, 32, 32)
        with torch.inference_mode():
            mine, peer = (tower(images) for tower in towers)
        for a, b in zip(*(each if isinstance(each, tuple) else (each,) for each in (mine, peer)), strict=True):
            assert torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch",
    [pytest.param(arch, marks=[] if arch == "ViT-B-32-quickgelu" else pytest.mark.nightly) for arch in TOWERS],
)
def test_the_loader_equals_create_model_to_the_bit(arch: str, tmp_path: Path) -> None:
    """In a process where open_clip was not imported before the tower was built, as a user's is."""
    code = f"""
import sys
import numpy as np
from pathlib import Path
from semsim_pipeline.encoders.openclip import build_visual, _common_preprocessing, _recipe
import torch
from safetensors.torch import save_file

def make():
    import open_clip
    torch.manual_seed(6)
    return open_clip.create_model({arch!r}, pretrained=None, load_weights=False).eval()

path = Path({str(tmp_path)!r}) / "w.safetensors"
if sys.argv[1] == "write":
    model = make()
    save_file({{name: value.contiguous() for name, value in model.state_dict().items()}}, path)
    # Buffers that no checkpoint holds are compared through the features.
    side = model.visual.image_size
    side = side if isinstance(side, int) else side[0]
    torch.manual_seed(7)
    images = torch.rand(2, 3, side, side)
    with torch.inference_mode():
        np.savez(path.with_suffix(".npz"), images=images, features=model.encode_image(images, normalize=False))
else:
    recipe = _recipe({arch!r}, _common_preprocessing({arch!r}))
    assert "open_clip" not in sys.modules
    tower = build_visual(recipe, path).eval()
    found = np.load(path.with_suffix(".npz"))
    with torch.inference_mode():
        ours = tower(torch.from_numpy(found["images"]))
    ours = ours[0] if isinstance(ours, tuple) else ours
    assert np.array_equal(ours.numpy(), found["features"]), np.abs(ours.numpy() - found["features"]).max()
    assert ("open_clip" in sys.modules) == ("timm" in sys.modules)
"""
    for step in ("write", "read"):
        subprocess.run([sys.executable, "-c", code, step], check=True, timeout=240)


def test_what_is_not_needed_is_not_imported(open_clip_checkpoint: Path) -> None:
    code = f"""
import sys
from semsim_pipeline.encoders.resolve import resolve_encoder
encoder = resolve_encoder("open_clip:ViT-S-32-alt/{open_clip_checkpoint}")
loaded = encoder.load()
heavy = {{"open_clip", "timm", "torchvision", "sympy", "torch._dynamo"}} & set(sys.modules)
assert not heavy, heavy
import open_clip  # a user's own import still finds the real package
assert open_clip.model.CLIPVisionCfg.__module__ == "open_clip.model"
assert open_clip.timm_model.timm is not None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    "source", ["import torchaudio_of_the_future\n", "def get_pretrained_cfg(a, b): ...\n", "syntax error", None]
)
def test_a_release_that_does_not_bear_it_is_imported_whole(
    source: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip import pretrained

    if source is not None:
        (tmp_path / "pretrained.py").write_text(source)
    monkeypatch.setattr(openclip_source, "_made", {False: Files(tmp_path, "_test_other", ALLOWED)})
    monkeypatch.setattr(openclip_source, "PACKAGE", "open_clip.")  # as if nobody had imported it yet
    assert openclip_source._light("pretrained", openclip_source._tables_of) is None
    monkeypatch.setattr(openclip_source, "PACKAGE", "open_clip")
    assert openclip_source.tables().record is pretrained.get_pretrained_cfg
