"""Weights and inputs that come again, on any processor that can pack, whether it gains by it or not."""

from __future__ import annotations

import pytest
import torch

from semsim_pipeline.encoders.on_cpu import layers


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(layers, "INSTRUCTIONS", ())
