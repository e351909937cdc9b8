"""Building a network whose weights come from a file: without drawing random ones first, and without touching memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

FILLERS = frozenset({
    "add_", "clamp_", "constant_", "dirac_", "div_", "erfinv_", "eye_", "fill_", "kaiming_normal_", "kaiming_uniform_",
    "mul_", "normal_", "ones_", "orthogonal_", "sub_", "trunc_normal_", "uniform_", "xavier_normal_",
    "xavier_uniform_", "zero_", "zeros_",
})  # fmt: skip
"""Operations that only give a parameter its first values, as `torch.nn.init` and the towers' constructors use them."""


@contextmanager
def bare_parameters() -> Iterator[None]:
    """While inside, what would fill a parameter in place does nothing; everything else, buffers too, is computed.

    For constructors whose every parameter is then read from a file, as `fit` makes certain. A parameter that nobody
    wrote to has no pages, so that a network costs its memory once, when its weights arrive, and drawing 88 million
    random numbers is saved. Not torch's `meta` device: buffers that no checkpoint holds would be lost with it.
    Torch's global generator is left as it was. Holds for the calling thread alone.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Bare(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: Sequence[type],
            args: Sequence[Any] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:  # torch's own signature: whatever `func` returns
            named = kwargs or {}
            # torch.nn.init hands its tensor over by name.
            target = args[0] if args else named.get("tensor")
            if isinstance(target, torch.nn.Parameter) and getattr(func, "__name__", "") in FILLERS:
                return target
            return func(*args, **named)

    # What constructors still draw themselves (`scale * torch.randn`) must not change a user's own draws.
    with torch.random.fork_rng(devices=[]), Bare():
        yield
