from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline.encoders import torch_runtime
from semsim_pipeline.encoders.base import Parallel
from semsim_pipeline.encoders.exact_float32 import ExactFloat32
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.resolve import resolve_encoder
from semsim_pipeline.encoders.torch_runtime import drift, one_thread_each


class WithoutSettings(ExactFloat32):
    """Sets nothing: on a processor with AMX the real `medium` would leave convolutions in bfloat16 in this process."""

    def _multiply(self) -> None:
        pass


def test_the_fast_way_is_left_where_it_drifts(timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = resolve_encoder(f"timm:test_vit/{timm_checkpoint}")
    assert isinstance(encoder, NetworkEncoder)
    before = encoder.fingerprint()
    monkeypatch.setattr(torch_runtime, "has_exact_medium", lambda: True)
    monkeypatch.setattr(torch_runtime, "exact_float32", WithoutSettings())
    monkeypatch.setattr(torch_runtime, "drift", lambda plain, fast: 1e-5)
    assert not encoder.load().uses_fast_matmul
    monkeypatch.setattr(torch_runtime, "drift", lambda plain, fast: 0.0)
    assert encoder.load().uses_fast_matmul
    assert encoder.fingerprint() == before


@pytest.mark.parametrize(
    ("found", "exact"),
    [
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": True}, False),
        ({"architecture": "aarch64", "bf16": True}, False),
        (None, False),
    ],
)
def test_the_fast_way_is_not_tried_where_it_is_bfloat16(
    found: dict[str, object] | None, exact: bool, timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if found is None:  # torch before 2.10
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert torch_runtime.has_exact_medium() == exact
    monkeypatch.setattr(torch_runtime, "drift", lambda plain, fast: 0.0)
    monkeypatch.setattr(torch_runtime, "exact_float32", WithoutSettings())
    assert resolve_encoder(f"timm:test_vit/{timm_checkpoint}").load().uses_fast_matmul == exact  # type: ignore[attr-defined]


def test_loading_leaves_torchs_random_state_alone(timm_checkpoint: Path) -> None:
    import torch

    encoder = resolve_encoder(f"timm:test_vit/{timm_checkpoint}")
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    encoder.load()
    assert torch.equal(torch.rand(3), expected)


def test_encode_may_be_called_from_several_threads(timm_checkpoint: Path) -> None:
    loaded = resolve_encoder(f"timm:test_vit/{timm_checkpoint}").load()
    batches = np.random.default_rng(0).integers(0, 256, (6, 2, 160, 160, 3), dtype=np.uint8)
    expected = [loaded.encode(batch) for batch in batches]
    with ThreadPoolExecutor(3) as pool:
        for ours, alone in zip(pool.map(loaded.encode, batches), expected, strict=True):
            np.testing.assert_allclose(ours, alone, rtol=0, atol=1e-5 * np.abs(alone).max())


def test_drift() -> None:
    rows = np.array([[3.0, 4.0], [1.0, 0.0]], np.float32)
    assert drift(rows, rows) == pytest.approx(0, abs=1e-15)
    assert drift(rows, np.array([[3.0, 4.0], [0.0, 1.0]], np.float32)) == pytest.approx(1)
    assert drift(rows, rows * np.float32("nan")) == float("inf")
    assert drift(rows * 0, rows) == float("inf")


def test_a_full_device_halves_the_batch_of_a_network(timm_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    loaded = resolve_encoder(f"timm:test_vit/{timm_checkpoint}").load()
    batch = np.random.default_rng(0).integers(0, 256, (7, 160, 160, 3), dtype=np.uint8)
    expected = loaded.encode(batch)
    module, sizes = loaded._module, []  # type: ignore[attr-defined]

    def small(planes: torch.Tensor) -> torch.Tensor:
        if len(planes) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(planes))
        found: torch.Tensor = module(planes)
        return found

    monkeypatch.setattr(loaded, "_module", small)
    np.testing.assert_allclose(loaded.encode(batch), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert sizes == [1] * 7  # 7, then 3, then 1


def test_lanes_compute_alone_and_torchs_threads_are_put_back() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread_each() as begin, one_thread_each():
            with ThreadPoolExecutor(4, initializer=begin) as lanes:
                assert set(lanes.map(lambda _: torch.get_num_threads(), range(50))) == {1}
            assert torch.get_num_threads() == 3, "only the lanes' own threads"
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_several_lanes_give_the_rows_of_one(timm_checkpoint: Path) -> None:
    loaded = resolve_encoder(f"timm:test_vit/{timm_checkpoint}").load()
    assert isinstance(loaded, Parallel)
    batches = np.random.default_rng(0).integers(0, 256, (6, 2, 160, 160, 3), dtype=np.uint8)
    expected = [loaded.encode(batch) for batch in batches]
    with loaded.lanes() as begin, ThreadPoolExecutor(3, initializer=begin) as lanes:
        for ours, alone in zip(lanes.map(loaded.encode, batches), expected, strict=True):
            np.testing.assert_allclose(ours, alone, rtol=0, atol=1e-5 * np.abs(alone).max())
