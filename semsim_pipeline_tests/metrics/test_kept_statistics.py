"""What a set keeps for its other pairs: the one-pass metrics of a pair whose sides were used before read no row."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.metrics import frechet_infinity, noise_floor
from semsim_pipeline.metrics.base import EmbeddedSet, Pair
from semsim_pipeline.metrics.score_card import score_card
from semsim_pipeline.records import Background, MetricValue

FAMILIES = ["cosine", "frechet", "frechet_infinity", "shape", "vendi"]
D = 24


class Unread:
    """Knows its shape, as rows do; raises where one is looked at."""

    def __init__(self, rows: NDArray[np.generic]) -> None:
        self.shape, self.dtype, self.ndim, self.nbytes = rows.shape, rows.dtype, rows.ndim, rows.nbytes

    def __len__(self) -> int:
        return int(self.shape[0])

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("a row was read")

    __getitem__ = __iter__ = __array__ = astype = _refuse


def rows(seed: int, n: int = 200, d: int = D) -> NDArray[np.float32]:
    drawn = 0.4 + 0.1 * seed + np.random.default_rng(seed).normal(size=(n, d))
    return drawn.astype(np.float32)


def make(seed: int, *, d: int = D, grouped: bool = False) -> EmbeddedSet:
    names: list[str | None] | None = [f"{seed} {i // 4}" for i in range(200)] if grouped else None
    return EmbeddedSet(str(seed), rows(seed, d=d), groups=names)


def card(reference: EmbeddedSet, candidate: EmbeddedSet) -> dict[str, MetricValue]:
    background = Background(id="t", bandwidth=0.5, source="test", kappa=0.1, mean=np.full(reference.dim, 0.1))
    return score_card(Pair(reference=reference, candidate=candidate, background=background), FAMILIES)


def hide_rows(side: EmbeddedSet) -> None:
    side.rows = Unread(side.rows)  # type: ignore[assignment]
    side.__dict__.pop("unit", None)


@pytest.mark.parametrize("grouped", [False, True])
def test_one_pass_metrics_of_two_known_sides_read_no_row_and_say_the_same(grouped: bool) -> None:
    cold = card(make(1, grouped=grouped), make(2, grouped=grouped))
    reference, candidate = make(1, grouped=grouped), make(2, grouped=grouped)
    for pair in ((reference, make(3, grouped=grouped)), (make(4, grouped=grouped), candidate)):
        card(*pair)
    hide_rows(reference)
    hide_rows(candidate)
    warm = card(reference, candidate)
    assert warm == cold
    assert all(row.value is not None for row in warm.values())
    assert warm["mean_cosine"].interval is not None
    assert warm["frechet_distance"].null is not None


def test_where_halves_are_too_many_bytes_quarters_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cold = card(make(1), make(2))["frechet_infinity"]
    monkeypatch.setattr(frechet_infinity, "MOST_KEPT", 4 * D * D * 8)
    reference, candidate = make(1), make(2)
    for pair in ((reference, make(3)), (make(4), candidate)):
        card(*pair)
    hide_rows(reference)
    hide_rows(candidate)
    assert card(reference, candidate)["frechet_infinity"] == cold


def test_no_more_is_kept_than_said_and_values_do_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cold = card(make(1), make(2))
    monkeypatch.setattr(noise_floor, "MOST_KEPT", 3 * D * D * 8)
    monkeypatch.setattr(frechet_infinity, "MOST_KEPT", 0)
    reference, candidate = make(1), make(2)
    for other in (3, 5, 2):
        card(reference, make(other))
        kept = reference.memo["noise_floor", "moments"]
        assert isinstance(kept, dict)
        assert len(kept) <= 3
    assert card(reference, candidate) == cold


def test_sides_that_share_images_are_scored_from_their_rows() -> None:
    shared = np.concatenate([rows(1)[:20], rows(2)[20:]])
    cold = card(make(1), EmbeddedSet("2", shared))
    reference, candidate = make(1), EmbeddedSet("2", shared)
    card(reference, make(3))
    card(make(4), candidate)
    assert card(reference, candidate) == cold


def test_more_dimensions_than_images_are_the_same_warm_and_cold() -> None:
    cold = card(make(1, d=300), make(2, d=300))
    reference, candidate = make(1, d=300), make(2, d=300)
    card(reference, make(3, d=300))
    card(make(4, d=300), candidate)
    assert card(reference, candidate) == cold
