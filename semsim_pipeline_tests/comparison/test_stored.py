from __future__ import annotations

import json

import numpy as np
import pytest

from semsim_pipeline.comparison.assess import EncoderIdentity, assess
from semsim_pipeline.comparison.results import Comparison
from semsim_pipeline.comparison.stored import from_record, to_record
from semsim_pipeline.errors import StoreError
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.records import Background


def scored(n: int, *, mean: bool = False) -> Comparison:
    rng = np.random.default_rng(n)
    background = Background(id="b", bandwidth=0.5, source="panel-1", kappa=0.2, mean=np.ones(8) if mean else None)
    sets = [EmbeddedSet(name, rng.normal(size=(n, 8)) + 1) for name in ("a", "b")]
    return assess(sets[0], sets[1], EncoderIdentity(name="e", fingerprint="f", background=background))


@pytest.mark.parametrize("n", [1, 2, 3, 12, 60])
def test_a_comparison_reads_back_exactly(n: int) -> None:
    written = scored(n)
    text = json.dumps(to_record(written), allow_nan=False)
    assert from_record(json.loads(text)) == written


def test_the_mean_of_the_background_is_left_out_and_nothing_else() -> None:
    with_mean, without = to_record(scored(12, mean=True)), to_record(scored(12))
    assert with_mean.keys() == without.keys()
    assert "mean" not in str(with_mean["background"])


def test_infinite_ends_of_an_interval_survive() -> None:
    record = to_record(scored(12))
    metrics = record["metrics"]
    assert isinstance(metrics, dict)
    metrics["kid"] = {
        "value": 0.5,
        "interval": ["-inf", 2.0],
        "null": None,
        "status": "ok",
        "reason": None,
        "detail": {},
    }
    found = from_record(record).metrics["kid"]
    assert found.interval == (-np.inf, 2.0)


@pytest.mark.parametrize(
    "change", [{"encoder": 3}, {"reference": None}, {"other": 1}, {"metrics": [1]}, {"similarity": {"raw": "much"}}]
)
def test_a_damaged_record_is_one_clear_error(change: dict[str, object]) -> None:
    with pytest.raises(StoreError, match="score the pair again"):
        from_record({**to_record(scored(12)), **change})
