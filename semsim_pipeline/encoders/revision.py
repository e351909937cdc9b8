"""A pinned revision behind an encoder's name: `clip-vit-b-32@COMMIT`, `timm:NAME@TAG`; `+bf16` comes after it."""

from __future__ import annotations

import re
from dataclasses import replace

from semsim_pipeline.encoders.base import Encoder
from semsim_pipeline.encoders.checkpoint import SUFFIXES, names_a_file
from semsim_pipeline.encoders.network import NetworkEncoder
from semsim_pipeline.encoders.weights import HubWeights
from semsim_pipeline.errors import WrongCallError

MARK = "@"
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A commit, or a branch or tag that is one word."""


def split_revision(name: str) -> tuple[str, str | None]:
    """An encoder's name without its revision, and the revision; None where none is written.

    An `@` in the path of a local checkpoint belongs to the path. Raises WrongCallError.

    >>> split_revision("clip-vit-b-32@0a1b2c3")
    ('clip-vit-b-32', '0a1b2c3')
    >>> split_revision("timm:resnet18//data/me@work/w.safetensors")
    ('timm:resnet18//data/me@work/w.safetensors', None)
    """
    plain, mark, revision = name.rpartition(MARK)
    if not mark or name.endswith(SUFFIXES) or names_a_file(name):
        return name, None
    if not plain or not REVISION.fullmatch(revision):
        raise WrongCallError(
            f"Cannot read encoder {name!r}: behind the {MARK} comes a commit, tag or branch of its repository, such as "
            f"{(plain or 'clip-vit-b-32') + MARK + 'main'!r}."
        )
    return plain, revision


def at_revision(encoder: Encoder, revision: str, *, name: str) -> NetworkEncoder:
    """The same encoder with the weights of one revision of its repository. Raises WrongCallError without one."""
    if not isinstance(encoder, NetworkEncoder) or not isinstance(encoder.weights, HubWeights):
        raise WrongCallError(
            f"Encoder {name!r}: {encoder.name!r} comes from no repository and has no revisions; write {encoder.name!r}."
        )
    weights = replace(encoder.weights, revision=revision)
    return replace(
        encoder, name=name, weights=weights, facts=replace(encoder.facts, name=name, weights=weights.in_words())
    )
