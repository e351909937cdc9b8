"""torch's arithmetic of float32, which belongs to the process: held exact while a network computes, then put back.

A program that calls `torch.set_float32_matmul_precision("medium")` for its own training gets bfloat16 on a CPU with
matrix units and TF32 on CUDA; cuDNN's convolutions are TF32 unless somebody says otherwise. Neither may reach rows
whose fingerprint says float32.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, TypeVar

from semsim_pipeline.encoders.processor import capabilities

OPERATIONS = ("cuda.matmul", "mkldnn.matmul", "mkldnn.conv", "cudnn.conv", "cudnn.rnn")
"""Below torch.backends, of torch 2.9 and later: each has a precision of its own beside the two older switches."""
CONVOLUTIONS = OPERATIONS[2:]
EXACT = frozenset({"ieee", "none"})
INHERITED = "none"
"""What an operation says that has no precision of its own, where nothing above it has one either."""
CUDNN = {"enabled": True, "benchmark": False, "deterministic": True}

T = TypeVar("T")


class ExactFloat32:
    """While any thread is inside, matrices multiply at `highest`, or at `medium` if all who are inside bear it; what
    stood before comes back when the last one leaves.

    On AMD, torch's default float32 goes through MKL at half speed; `medium` lets oneDNN do it (measured here: 1.5x on
    ViT-S/16 at 1 - cos = 1e-12). Who bears it is found out by a trial, and only where `has_exact_medium` says so. The
    settings belong to the process: hence the count of users. What other code sets meanwhile is lost.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._strict = 0
        self._alone: int | None = None
        self._put_back: Callable[[], None] = lambda: None

    @contextmanager
    def __call__(self, *, fast: bool = False) -> Iterator[None]:
        """fast: whether this user bears `medium`."""
        with self._changed:
            self._changed.wait_for(lambda: self._alone in {None, threading.get_ident()})
            if self._inside == 0:
                self._put_back = _remembered()
                _hold_convolutions()
            self._inside += 1
            self._strict += not fast
            self._multiply()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._strict -= not fast
                if self._inside:
                    self._multiply()
                else:
                    self._put_back()
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it other threads wait to come inside: a trial of `medium` beside one of `highest` would be none.

        Waits for those who are inside; not to be called by one of them.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._alone is None)
            self._alone = threading.get_ident()
            self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._changed:
                self._alone = None
                self._changed.notify_all()

    def _multiply(self) -> None:
        import torch

        # Always said: where operations were set one by one, asking raises, and they need not do what the answer was.
        torch.set_float32_matmul_precision("highest" if self._strict else "medium")


exact_float32 = ExactFloat32()


def has_exact_medium() -> bool:
    """Whether oneDNN computes `medium` in float32 on this processor: x86 without matrix units for bfloat16 (AMX).

    With them it computes in bfloat16, and keeps a convolution that it has made so for a size of batch, whatever the
    setting is when that size comes again: a trial of one size says nothing about the next, and spoils its own. So the
    processor is asked. Where torch is too old to tell, False.
    """
    found = capabilities()
    return found.get("architecture") == "x86_64" and found.get("amx_bf16") is False


def _hold_convolutions() -> None:
    import torch

    for name, value in CUDNN.items():
        setattr(torch.backends.cudnn, name, value)
    torch.backends.cudnn.allow_tf32 = False
    for name, operation in _operations().items():
        if name in CONVOLUTIONS and operation.fp32_precision not in EXACT:
            operation.fp32_precision = "ieee"


def _remembered() -> Callable[[], None]:
    """Puts back what stands now."""
    import torch

    cudnn = torch.backends.cudnn
    flags = {name: getattr(cudnn, name) for name in CUDNN}
    matmul = _or_none(torch.get_float32_matmul_precision)
    tf32 = _or_none(lambda: cudnn.allow_tf32)
    own = {name: _own_precision(name, operation) for name, operation in _operations().items()}

    def put_back() -> None:
        for name, value in flags.items():
            setattr(cudnn, name, value)
        # The older switches first: each also sets the operations below it.
        torch.set_float32_matmul_precision(matmul or "highest")
        if tf32 is not None:
            cudnn.allow_tf32 = tf32
        for name, operation in _operations().items():
            if _own_precision(name, operation) != own[name]:
                operation.fp32_precision = own[name]

    return put_back


def _operations() -> dict[str, Any]:
    """Those of this torch that have a precision of their own."""
    import torch

    found = {}
    for name in OPERATIONS:
        try:
            operation = attrgetter(name)(torch.backends)
            _ = operation.fp32_precision
        except (AttributeError, RuntimeError):  # torch before 2.9
            continue
        found[name] = operation
    return found


def _own_precision(name: str, operation: Any) -> str:
    """An operation tells what counts for it, also where that comes from above it (`torch.backends.fp32_precision`)."""
    import torch

    own, above = str(operation.fp32_precision), str(attrgetter("fp32_precision")(torch.backends))
    # cuDNN's operations have one from the start.
    return INHERITED if own == above and not name.startswith("cudnn.") else own


def _or_none(ask: Callable[[], T]) -> T | None:
    """An older switch; None where it cannot answer, because operations were set one by one (and count alone)."""
    try:
        return ask()
    except RuntimeError:
        return None
