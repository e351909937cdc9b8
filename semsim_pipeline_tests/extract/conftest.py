from __future__ import annotations

import pytest

from semsim_pipeline.extract import shard


@pytest.fixture(autouse=True)
def _fresh_encoder() -> None:
    """Encoders of one fingerprint are one encoder to the shard task; these tests give one fingerprint to several."""
    shard._loaded.clear()
