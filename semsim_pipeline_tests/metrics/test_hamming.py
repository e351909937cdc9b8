from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from semsim_pipeline.metrics import hamming
from semsim_pipeline.metrics.hamming import within


def plain_loop(hashes: np.ndarray, others: np.ndarray, bits: int) -> list[bool]:
    def distance(a: np.ndarray, b: np.ndarray) -> int:
        return sum(bin(int(x) ^ int(y)).count("1") for x, y in zip(a, b, strict=True))

    return [bool(a.any()) and any(b.any() and distance(a, b) <= bits for b in others) for a in hashes]


def flipped(row: np.ndarray, bits: int, seed: int) -> np.ndarray:
    out = row.copy()
    for bit in np.random.default_rng(seed).choice(256, bits, replace=False):
        out[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return out


def random_hashes(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 1 << 63, (n, 4), dtype=np.uint64)


@pytest.mark.parametrize("tile", [512, 7])
@pytest.mark.parametrize("bits", [0, 24, 110])
def test_equals_the_plain_loop(bits: int, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "TILE", tile)
    others, rows = random_hashes(60, 1), random_hashes(50, 2)
    rows[:4] = [others[9], flipped(others[3], 24, 0), flipped(others[4], 25, 1), others[9]]
    rows[4] = others[5] = 0
    found = within(rows, others, bits)
    assert found.tolist() == plain_loop(rows, others, bits)
    assert found[[0, 3]].all()
    assert not found[4]
    assert found[1] == (bits >= 24)


def test_all_bits_of_difference_may_be_in_one_word() -> None:
    one = random_hashes(1, 3)
    for word in range(4):
        other = one.copy()
        other[0, word] ^= np.uint64((1 << 24) - 1)
        assert within(one, other, 24).all()
        assert not within(one, other, 23).any()


def test_nothing_to_compare_with_is_no_twin() -> None:
    rows = random_hashes(3, 4)
    assert not within(rows, np.zeros((5, 4), np.uint64), 256).any()
    assert not within(np.zeros((5, 4), np.uint64), rows, 256).any()
    assert within(rows[:0], rows, 24).shape == (0,)


def test_memory_does_not_grow_with_pairs() -> None:
    peaks = []
    for n in (2000, 8000):
        a, b = random_hashes(n, 5), random_hashes(n, 6)
        tracemalloc.start()
        within(a, b, 24)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Sixteen times the pairs; what grows is the rows themselves, some hundred bytes each.
    assert peaks[1] - peaks[0] < 6000 * 400
