"""What a hub, a mirror or a checkpoint may do wrong: one clear line each, and nothing half-written left behind."""

from __future__ import annotations

import io
import logging
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from semsim_pipeline import hub as hub_module
from semsim_pipeline.cli.app import run
from semsim_pipeline.encoders.network import ensure_weights
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.weights import HubWeights
from semsim_pipeline.errors import MissingLibraryError, MissingWeightsError, UnusableWeightsError
from semsim_pipeline.transfer import Patience
from semsim_pipeline_tests.encoders.conftest import one_line, weights_in
from semsim_pipeline_tests.servers import Fault, Hub

SOURCE = HubWeights(repo="org/net", filenames=("a.safetensors",), local_spelling="timm:net//a")
PATH = "/org/net/resolve/main/a.safetensors"
CONTENT = bytes(range(256)) * 1_000
QUICK = Patience(connect_s=1, read_s=0.4, slow_s=0.4, slow_bytes=200_000, tries=3, pause_s=0.01, longest_pause_s=0.02)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(status=404, headers={"X-Error-Code": "RepoNotFound"}), "has no repository org/net"),
        (Fault(status=401, headers={"X-Error-Code": "RepoNotFound"}), "has no repository org/net"),
        (
            Fault(status=401, headers={"X-Error-Code": "GatedRepo"}),
            "accept its licence at https://huggingface.co/org/net",
        ),
        (Fault(status=403, headers={"X-Error-Code": "GatedRepo"}), "`hf auth login`"),
        (Fault(status=403), "gated or private"),
        (Fault(status=401), "gated or private"),
        (Fault(status=404), "has no such file of org/net (404): name another mirror in HF_ENDPOINT)"),
        (Fault(status=500), "answered 500: try again later"),
        (Fault(status=503), "HF_ENDPOINT"),
    ],
)
def test_a_hub_that_refuses(fault: Fault, says: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _impatient(monkeypatch)
    hub.publish("org/net", "a.safetensors", CONTENT)
    hub.always(fault)
    with pytest.raises(MissingWeightsError) as raised:
        SOURCE.fetch("net")
    assert says in one_line(raised.value)
    assert weights_in(tmp_path) == []
    hub.always(None)
    assert SOURCE.fetch("net").read_bytes() == CONTENT


def test_a_hub_that_never_answers(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _impatient(monkeypatch)
    hub.publish("org/net", "a.safetensors", CONTENT)
    hub.always(Fault(wait=60))
    with pytest.raises(MissingWeightsError, match="does not answer in time") as raised:
        SOURCE.fetch("net")
    one_line(raised.value)
    assert weights_in(tmp_path) == []


def test_a_hub_that_breaks_off_is_told_of_once(
    hub: Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _impatient(monkeypatch)
    hub.publish("org/net", "a.safetensors", CONTENT)
    printed = io.StringIO()
    handlers = [each for each in logging.getLogger("huggingface_hub").handlers if type(each) is logging.StreamHandler]
    for handler in handlers:
        monkeypatch.setattr(handler, "stream", printed)
    hub.fail(Fault(drop_after=10_000), times=3)
    assert SOURCE.fetch("net").read_bytes() == CONTENT
    assert handlers
    with hub_module.one_download():
        logging.getLogger("huggingface_hub.utils._http").warning("Set HF_TOKEN for higher limits.")
    assert printed.getvalue() == "Set HF_TOKEN for higher limits.\n"
    assert all(each.filters == [] for each in handlers)
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("semsim_pipeline")]
    assert warnings == [f"{hub.url} answers with errors, or slowly: trying again."]


def test_a_slow_hub_is_waited_for(hub: Hub) -> None:
    hub.publish("org/net", "a.safetensors", CONTENT)
    hub.always(Fault(pause=0.02))
    assert SOURCE.fetch("net").read_bytes() == CONTENT


def test_half_a_file_is_no_file(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _impatient(monkeypatch)
    hub.publish("org/net", "a.safetensors", CONTENT)
    hub.fail(Fault(drop_after=100_000), times=50)
    with pytest.raises(MissingWeightsError) as raised:
        SOURCE.fetch("net")
    one_line(raised.value)
    assert weights_in(tmp_path) == []
    with pytest.raises(MissingWeightsError, match="not on this machine"):
        SOURCE.find("net")


def test_a_wrong_checksum_leaves_nothing(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of bytes, other ones: what the hub's library does not notice."""
    hub.publish("org/net", "a.safetensors", CONTENT)
    monkeypatch.setattr(Hub, "content", _swapped(Hub.content))
    with pytest.raises(UnusableWeightsError, match=r"damaged: .* Nothing was kept") as raised:
        SOURCE.fetch("net")
    one_line(raised.value)
    assert weights_in(tmp_path) == []
    monkeypatch.undo()


def _swapped(real: object) -> object:
    def content(self: Hub, handler: object, asked: object, body: bytes, headers: object, fault: Fault) -> None:
        real(self, handler, asked, body[::-1], headers, fault)  # type: ignore[operator]

    return content


def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tries and waits of the hub's library, in a hundredth of the time."""
    monkeypatch.setattr(hub_module, "HUB_TIMEOUT_S", 0.3)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    monkeypatch.setattr("huggingface_hub.file_download._ETAG_RETRY_TIMEOUT", 0.3, raising=False)
    monkeypatch.setattr("time.sleep", lambda _: None)


class _Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.mark), "w")


def test_a_pickle_from_the_hub_is_not_run(hub: Hub, tmp_path: Path) -> None:
    import io

    import torch

    mark, content = tmp_path / "mark", io.BytesIO()
    torch.save({"weight": torch.zeros(1), "trap": _Trap(mark)}, content)
    hub.publish("timm/test_vit.r160_in1k", "pytorch_model.bin", content.getvalue())
    with pytest.raises(UnusableWeightsError, match="would run Python code") as raised:
        resolve_encoder("timm:test_vit.r160_in1k").load()
    one_line(raised.value)
    assert not mark.exists()
    hub.publish("timm/test_vit2.r160_in1k", "pytorch_model.bin", pickle.dumps({"trap": _Trap(mark)}))
    with pytest.raises(UnusableWeightsError):
        resolve_encoder("timm:test_vit2.r160_in1k").load()
    assert not mark.exists()


def test_another_architecture_from_the_hub_is_refused(hub: Hub, open_clip_checkpoint: Path) -> None:
    hub.publish("timm/test_vit.r160_in1k", "model.safetensors", open_clip_checkpoint.read_bytes())
    with pytest.raises(UnusableWeightsError, match="does not hold the weights of timm test_vit") as raised:
        resolve_encoder("timm:test_vit.r160_in1k").load()
    one_line(raised.value)


@pytest.mark.parametrize("step", ["fingerprint", "load", "ensure", "command"])
def test_a_missing_extra_is_named_with_its_install_line(
    step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.metadata

    from semsim_pipeline.encoders import network

    def absent(name: str) -> str:
        if name == "torch-fidelity":
            raise importlib.metadata.PackageNotFoundError(name)
        return importlib.metadata.version(name)

    monkeypatch.setattr(network, "version", absent)
    encoder = resolve_encoder("inception-fid")
    if step == "command":
        assert run(["encoders", "fetch", "inception-fid"]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1
    else:
        steps = {"fingerprint": encoder.fingerprint, "load": encoder.load, "ensure": lambda: ensure_weights(encoder)}
        with pytest.raises(MissingLibraryError) as raised:
            steps[step]()
        said = one_line(raised.value)
    assert "pip install 'semsim-pipeline[fid]'" in said


def test_an_extra_that_is_broken_is_named_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    from semsim_pipeline.encoders.inception_fid import ENCODER
    from semsim_pipeline.encoders.weights import LocalWeights

    (tmp_path / "w.pth").write_bytes(b"")
    monkeypatch.setattr("semsim_pipeline.encoders.inception_fid.read_state_dict", lambda path: {})
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(MissingLibraryError, match=r"semsim-pipeline\[fid\]"):
        replace(ENCODER, weights=LocalWeights(path=tmp_path / "w.pth")).load()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["encoders", "fetch", "clip-vit-b32"], "Did you mean 'clip-vit-b-32'?"),
        (["encoders", "fetch", "inception-fdi"], "Did you mean 'inception-fid'?"),
        (["embed", "digits", "--encoder", "siglip2-b16"], "Did you mean 'siglip2-b-16'?"),
    ],
)
def test_a_typo_is_a_wrong_call(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
