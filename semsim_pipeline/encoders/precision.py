"""The number format of a network: exact float32, or bfloat16 by a suffix of the encoder's name (`clip-vit-b-32+bf16`).

On CPUs with bfloat16 instructions the suffix is worth two to four times the speed, at half the resident weights. It is
part of the fingerprint: rows of two precisions never share a set.
"""

from __future__ import annotations

from typing import Literal

from semsim_pipeline.encoders.checkpoint import SUFFIXES, names_a_file
from semsim_pipeline.errors import UnknownNameError, did_you_mean

Precision = Literal["float32", "bfloat16"]
PRECISIONS: dict[str, Precision] = {"fp32": "float32", "bf16": "bfloat16"}
"""What may follow the `+`, and what it means."""
MARK = "+"


def split_precision(name: str) -> tuple[str, Precision | None]:
    """An encoder's name without its precision, and the precision; None where none is written.

    A `+` inside a path belongs to the path: where a folder or a checkpoint's own name follows it, or where the whole
    names a file that exists. Raises UnknownNameError.

    >>> split_precision("clip-vit-b-32+bf16")
    ('clip-vit-b-32', 'bfloat16')
    >>> split_precision("open_clip:ViT-B-32//data/a+b/w.safetensors")
    ('open_clip:ViT-B-32//data/a+b/w.safetensors', None)
    """
    plain, mark, written = name.rpartition(MARK)
    if not mark or "/" in written or written.endswith(SUFFIXES) or names_a_file(name):
        return name, None
    if written not in PRECISIONS:
        raise UnknownNameError(
            f"{did_you_mean('precision', written, PRECISIONS)} It is written after the name: {plain + MARK + 'bf16'!r}."
        )
    return plain, PRECISIONS[written]
