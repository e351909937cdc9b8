"""What this machine's processor can do, as torch tells it."""

from __future__ import annotations

from typing import Any


def capabilities() -> dict[str, Any]:
    """By name (`avx512_bf16`, `architecture`, …); empty where torch is too old (before 2.10) to tell."""
    import torch

    ask = getattr(torch.cpu, "get_capabilities", None)
    return ask() if ask is not None else {}
