"""Rows at float32 do not depend on what a program has told torch about float32, and it finds its settings again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.encoders import exact_float32 as settings
from semsim_pipeline.encoders import torch_runtime
from semsim_pipeline.encoders.exact_float32 import OPERATIONS, ExactFloat32, exact_float32
from semsim_pipeline.encoders.inception_fid import RECIPE, InceptionRuntime
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.torch_runtime import NetworkRuntime


def asked(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except (RuntimeError, AttributeError):
        return "cannot be asked"


def everything() -> dict[str, object]:
    """All that torch says about float32 in this process."""
    import torch

    names = ("enabled", "benchmark", "deterministic", "allow_tf32")
    return {
        "matmul": asked(torch.get_float32_matmul_precision),
        "all": asked(lambda: torch.backends.fp32_precision),
        **{name: asked(lambda name=name: getattr(torch.backends.cudnn, name)) for name in names},  # type: ignore[misc]
        **{
            name: asked(lambda name=name: attrgetter(name)(torch.backends).fp32_precision)  # type: ignore[misc]
            for name in OPERATIONS
        },
    }


def precision() -> str:
    import torch

    return torch.get_float32_matmul_precision()


def new_settings() -> bool:
    import torch

    return hasattr(torch.backends, "fp32_precision")


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """What a test sets for itself is undone here; what it leaves besides is an error."""
    import torch

    first = everything()
    yield
    if new_settings():
        torch.backends.fp32_precision = "none"
        torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")
    if new_settings():
        for name in ("cuda.matmul", "mkldnn.matmul", "mkldnn.conv"):
            attrgetter(name)(torch.backends).fp32_precision = "none"
    assert everything() == first


def medium() -> None:
    import torch

    torch.set_float32_matmul_precision("medium")


def high() -> None:
    import torch

    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = False


def one_for_all() -> None:
    import torch

    torch.backends.fp32_precision = "tf32"


def one_by_one() -> None:
    import torch

    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    torch.backends.mkldnn.conv.fp32_precision = "bf16"
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "ieee"


def nothing() -> None: ...


SET = [nothing, medium, high, one_for_all, one_by_one]


@pytest.fixture(params=SET, ids=lambda each: each.__name__)
def set_by_somebody(request: pytest.FixtureRequest) -> None:
    if request.param in {one_for_all, one_by_one} and not new_settings():
        pytest.skip("torch before 2.9")
    request.param()


@pytest.mark.usefixtures("set_by_somebody")
def test_inside_it_is_exact_and_then_as_it_was() -> None:
    before = everything()
    with exact_float32():
        inside = everything()
        assert inside["matmul"] == "highest"
        assert inside["allow_tf32"] is False
        assert inside["deterministic"] is True
        assert {inside[name] for name in OPERATIONS} <= {"ieee", "none", "cannot be asked"}
        with pytest.raises(RuntimeError, match="boom"), exact_float32(fast=True):
            raise RuntimeError("boom")
        assert everything() == inside
    assert everything() == before


def test_medium_only_while_all_bear_it() -> None:
    with exact_float32(fast=True):
        assert precision() == "medium"
        with exact_float32(fast=True):
            assert precision() == "medium"
            with exact_float32():
                assert precision() == "highest"
            assert precision() == "medium"
    assert precision() == "highest"


@pytest.mark.usefixtures("set_by_somebody")
def test_two_threads_that_overlap() -> None:
    """The one that came first leaves first; what stood before either is put back by the second."""
    before = everything()
    came, may_leave, left = threading.Event(), threading.Event(), threading.Event()

    def first() -> str:
        with exact_float32(fast=True):
            came.set()
            assert may_leave.wait(10)
        left.set()
        return "done"

    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(first)
        assert came.wait(10)
        assert precision() == "medium"
        with exact_float32():
            assert precision() == "highest"
            may_leave.set()
            assert left.wait(10)
            assert precision() == "highest"
            assert everything()["allow_tf32"] is False
        assert told.result() == "done"
    assert everything() == before


@pytest.mark.usefixtures("set_by_somebody")
def test_many_threads_never_meet_less_than_they_bear() -> None:
    before = everything()

    def inside(number: int) -> tuple[bool, str]:
        fast = number % 3 > 0
        with exact_float32(fast=fast):
            return fast, precision()

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(inside, range(400)))
    assert (False, "medium") not in found
    assert {each for _, each in found} <= {"highest", "medium"}
    assert everything() == before


def test_who_tries_alone_is_alone() -> None:
    came, may_leave, tries, tried = (threading.Event() for _ in range(4))

    def strict() -> None:
        with exact_float32():
            came.set()
            assert may_leave.wait(10)

    def trial() -> list[str]:
        tries.set()
        with exact_float32.alone(), exact_float32(fast=True):
            first = precision()
            tried.set()
            assert not left_waiting.wait(0.05)
            return [first, precision()]

    left_waiting = threading.Event()

    def newcomer() -> str:
        assert tried.wait(10)
        with exact_float32():
            left_waiting.set()
            return precision()

    with ThreadPoolExecutor(3) as pool:
        one = pool.submit(strict)
        assert came.wait(10)
        two, three = pool.submit(trial), pool.submit(newcomer)
        assert tries.wait(10)
        assert not tried.wait(0.05)
        may_leave.set()
        one.result(10)
        assert two.result(10) == ["medium", "medium"]
        assert three.result(10) == "highest"
    assert precision() == "highest"


class Recorded:
    """A network that notes torch's settings while it computes."""

    def __init__(self, module: Any) -> None:
        self.module, self.found = module, list[dict[str, object]]()
        module.register_forward_pre_hook(lambda *_: self.found.append(everything()))


def built(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, *, drift: float = 0.0) -> tuple[NetworkRuntime, Recorded]:
    """A runtime on the CPU that may try the fast way, and all that its network met from the first trial on."""
    monkeypatch.setattr(torch_runtime, "has_exact_medium", lambda: True)
    monkeypatch.setattr(torch_runtime, "drift", lambda plain, fast: drift)
    encoder: Any = resolve_encoder(f"timm:test_vit/{checkpoint}")
    recorded = Recorded(encoder.build(encoder.recipe, checkpoint))
    return NetworkRuntime(recorded.module, encoder.recipe, name=encoder.name), recorded


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="the fast way is of CPUs")
@pytest.mark.parametrize(("drift", "rows"), [(0.0, "medium"), (1.0, "highest")])
def test_the_plain_trial_and_all_rows_are_exact(
    drift: float, rows: str, timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from semsim_pipeline.encoders.on_cpu.layers import can_pack

    medium()
    before = everything()
    # On a processor with AMX the real `medium` would leave convolutions in bfloat16 behind: it is only recorded.
    met = list[str]()
    monkeypatch.setattr(ExactFloat32, "_multiply", lambda self: met.append("highest" if self._strict else "medium"))
    runtime, recorded = built(timm_checkpoint, monkeypatch, drift=drift)
    runtime.encode(np.zeros((1, 160, 160, 3), np.uint8))
    # A processor on which networks are rearranged tries that too, where the fast trial passed.
    rearranged = [rows] if rows == "medium" and can_pack(torch.float32) else []
    assert met == ["highest", "medium", *rearranged, rows]
    assert len(recorded.found) == len(met)
    assert all(found["allow_tf32"] is False for found in recorded.found)
    assert everything() == before


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="the fast way is of CPUs")
def test_rows_do_not_depend_on_what_the_program_has_set(timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_runtime, "has_exact_medium", lambda: False)
    batch: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8)
    encoder: Any = resolve_encoder(f"timm:test_vit/{timm_checkpoint}")
    expected = encoder.load().encode(batch)
    medium()
    recorded = Recorded(encoder.build(encoder.recipe, timm_checkpoint))
    runtime = NetworkRuntime(recorded.module, encoder.recipe, name=encoder.name)
    np.testing.assert_array_equal(runtime.encode(batch), expected)
    assert [found["matmul"] for found in recorded.found] == ["highest"] * 2
    assert precision() == "medium"


def test_bfloat16_compares_itself_with_exact_float32(timm_checkpoint: Path) -> None:
    import torch

    medium()
    encoder: Any = resolve_encoder(f"timm:test_vit/{timm_checkpoint}+bf16")
    recorded = Recorded(encoder.build(encoder.recipe, timm_checkpoint))
    NetworkRuntime(recorded.module, encoder.recipe, name=encoder.name)
    assert recorded.found[0]["matmul"] == "highest"
    assert torch.get_float32_matmul_precision() == "medium"


def test_fids_inception_is_exact_too() -> None:
    import torch

    recorded = Recorded(
        torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2048))
    )
    medium()
    InceptionRuntime(recorded.module, RECIPE).encode(np.zeros((1, 299, 299, 12), np.uint8))
    assert [found["matmul"] for found in recorded.found] == ["highest"]
    assert precision() == "medium"


def test_a_torch_without_the_newer_settings_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_operations", dict)
    with exact_float32(fast=True):
        assert precision() == "medium"
    assert precision() == "highest"
