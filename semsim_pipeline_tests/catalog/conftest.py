"""Catalogues for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from semsim_pipeline.catalog import Catalog, parse

Read = Callable[..., Catalog]

HEAD = """\
datasets:
  d: digits
  g: digits-generated
  c: "cifake:c.zip"
  p: photos
encoders:
  e: classical
"""
"""Seven lines, so that what follows begins on line 8."""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Parse a text as `catalog.yaml` of an empty folder."""

    def parsed(text: str) -> Catalog:
        return parse(text, tmp_path / "catalog.yaml")

    return parsed


@pytest.fixture
def compare(read: Read) -> Read:
    """Parse one comparison `x` (a flow mapping's inside) over the datasets d, g, c, p and the encoder e."""

    def parsed(inside: str) -> Catalog:
        return read(f"{HEAD}comparisons:\n  x: {{{inside}}}\n")

    return parsed
