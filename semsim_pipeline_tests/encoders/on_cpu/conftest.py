"""Weights and inputs that come again."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)
