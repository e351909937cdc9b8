"""Tiles of products, the next one made by another thread while one is used."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from semsim_pipeline.metrics import blocks
from semsim_pipeline.metrics.base import EmbeddedSet
from semsim_pipeline.metrics.blocks import LEAST_AHEAD, Step, Tile, inner_product_tiles, made_ahead
from semsim_pipeline.metrics.clouds import bound_tiles, cloud_of, frame_of

F32 = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "cores", lambda: 2)


def rows(n: int, seed: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(seed).normal(size=(n, 24))).astype(np.float32)


def counting(count: int, seen: list[str] | None = None) -> Iterator[Step[tuple[int, Tile]]]:
    """Steps that fill a tile with their number and say in which thread."""

    def step(number: int) -> Callable[[Tile], tuple[int, Tile]]:
        def fill(buffer: Tile) -> tuple[int, Tile]:
            if seen is not None:
                seen.append(threading.current_thread().name)
            buffer[:10] = number
            return number, buffer[:10]

        return fill

    return (step(number) for number in range(count))


def test_a_tile_stays_as_it_is_while_the_next_is_made() -> None:
    begun = [threading.Event() for _ in range(6)]

    def step(number: int) -> Callable[[Tile], tuple[int, Tile]]:
        def fill(buffer: Tile) -> tuple[int, Tile]:
            buffer[:10] = number
            begun[number].set()
            return number, buffer[:10]

        return fill

    for number, tile in made_ahead((step(number) for number in range(6)), LEAST_AHEAD, F32):
        if number < 5:
            assert begun[number + 1].wait(timeout=20), "nobody works on the next"
        assert (tile == number).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_every_step_once_in_order(count: int) -> None:
    assert [number for number, _ in made_ahead(counting(count), LEAST_AHEAD, F32)] == list(range(count))


def test_one_step_small_tiles_and_one_core_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    list(made_ahead(counting(3, seen), LEAST_AHEAD - 1, F32))
    list(made_ahead(counting(1, seen), LEAST_AHEAD, F32))  # most pairs are one tile: there is nothing to overlap
    monkeypatch.setattr(blocks, "cores", lambda: 1)
    list(made_ahead(counting(3, seen), LEAST_AHEAD, F32))
    assert seen == [threading.current_thread().name] * 7


def test_what_a_step_raises_comes_in_its_turn_and_no_thread_is_left() -> None:
    def broken(_: Tile) -> tuple[int, Tile]:
        raise ArithmeticError("boom")

    found = made_ahead([*counting(2), broken, *counting(1)], LEAST_AHEAD, F32)
    assert [next(found)[0], next(found)[0]] == [0, 1]
    with pytest.raises(ArithmeticError, match="boom"):
        next(found)
    stopped = made_ahead(counting(5), LEAST_AHEAD, F32)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert not [each for each in threading.enumerate() if each.name.startswith("semsim-tile")]


def test_a_program_that_ends_takes_the_steps_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    seen: list[str] = []
    monkeypatch.setattr(blocks.ThreadPoolExecutor, "submit", refused)
    assert [number for number, _ in made_ahead(counting(4, seen), LEAST_AHEAD, F32)] == [0, 1, 2, 3]
    assert seen == [threading.current_thread().name] * 4


def test_products_and_bounds_are_to_the_bit_those_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = rows(900, 0), rows(700, 1)
    left, right = EmbeddedSet("a", a), EmbeddedSet("b", b)
    frame = frame_of(left, right)

    def both() -> list[tuple[int, int, NDArray[np.generic]]]:
        products = [(i, j, tile.copy()) for i, j, tile in inner_product_tiles(a, b, LEAST_AHEAD, upper=False)]
        within = [(i, j, tile.copy()) for i, j, tile in inner_product_tiles(a, a, LEAST_AHEAD, upper=True)]
        tiles = bound_tiles(frame, cloud_of(left), cloud_of(right), tile=LEAST_AHEAD, upper=False)
        return products + within + [(part.row, part.column, part.low.copy()) for part in tiles]

    ahead = both()
    monkeypatch.setattr(blocks, "cores", lambda: 1)
    alone = both()
    assert [each[:2] for each in ahead] == [each[:2] for each in alone]
    for (_, _, one), (_, _, other) in zip(ahead, alone, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({each[:2] for each in ahead[:12]}) == 12
    np.testing.assert_allclose(ahead[0][2], a[:LEAST_AHEAD] @ b[:LEAST_AHEAD].T, rtol=1e-5, atol=1e-5)


def test_what_numpy_may_say_is_as_the_caller_wants() -> None:
    large = rows(600, 2, scale=3e37)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        assert any(np.isinf(tile).any() for _, _, tile in inner_product_tiles(large, large, LEAST_AHEAD, upper=True))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        list(inner_product_tiles(large, large, LEAST_AHEAD, upper=True))
