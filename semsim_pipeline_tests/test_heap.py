"""Memory that goes back to the system: what was freed, and blocks in pages of their own."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline.heap import ARROW_POOL, keep_arrow_in_the_heap, own_pages, return_freed_memory

MIB = 1 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.parametrize(("shape", "kind"), [((3, 5), np.float32), ((2, 4, 4, 3), np.uint8), ((7,), np.float64)])
def test_own_pages_are_zeros_that_can_be_written(shape: tuple[int, ...], kind: type[np.generic]) -> None:
    array = own_pages(shape, kind)
    assert array.shape == shape
    assert array.dtype == kind
    assert not array.any()
    array[...] = 3
    assert (array == 3).all()
    assert array.flags.c_contiguous


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0,)])
def test_own_pages_of_nothing(shape: tuple[int, ...]) -> None:
    assert own_pages(shape, np.float32).shape == shape


def test_a_view_keeps_the_pages() -> None:
    row = own_pages((4, 8), np.float32)[2]
    gc.collect()
    row[:] = 1.5
    assert row.sum() == 12.0


@linux
def test_own_pages_go_back_with_the_array_whatever_lies_behind_them() -> None:
    arrays = []
    holders = []
    for _ in range(8):
        arrays.append(own_pages((4 * MIB,), np.uint8))
        arrays[-1][:] = 1
        holders.append(bytearray(64 * 1024))  # a block of the C library after each
    full = resident()
    arrays.clear()
    assert full - resident() > 24 * MIB
    assert len(holders) == 8


@linux
def test_arrows_pool_gives_back_what_was_freed() -> None:
    import pyarrow as pa

    buffers = [pa.allocate_buffer(MIB) for _ in range(64)]
    for buffer in buffers:
        memoryview(buffer).cast("B")[:] = bytes(MIB)
    full = resident()
    del buffer
    buffers.clear()
    return_freed_memory()
    assert full - resident() > 32 * MIB


@linux
def test_threads_and_arrow_share_one_heap(tmp_path: Path) -> None:
    """In a process of its own: the setting is the process's, and arenas that are there stay."""
    script = tmp_path / "heaps.py"
    script.write_text(HEAPS, encoding="utf-8")
    counts = [
        int(subprocess.run([sys.executable, str(script), *args], capture_output=True, text=True, check=True).stdout)
        for args in ([], ["small"])
    ]
    assert counts[0] == 5, "glibc gives each thread a heap of its own"
    assert counts[1] <= 2, "the common one, and one that a library's thread had at import"


@linux
@pytest.mark.parametrize("ours", [True, False])
def test_arrows_own_readers_allocate_from_the_heap_too(ours: bool, tmp_path: Path) -> None:
    """What is read lies where `return_freed_memory` reaches it; a program around this package keeps its environment."""
    script = tmp_path / "pools.py"
    script.write_text(POOLS, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != ARROW_POOL}
    command = [sys.executable, str(script), *(["ours"] if ours else [])]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()
    assert said == (["0", "system", "None"] if ours else ["0", "system", "system"])


@linux
def test_a_chosen_pool_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ARROW_POOL, "mimalloc")
    keep_arrow_in_the_heap()
    assert os.environ[ARROW_POOL] == "mimalloc"
    monkeypatch.delenv(ARROW_POOL)
    keep_arrow_in_the_heap()
    assert os.environ[ARROW_POOL] == "system"


POOLS = """
import os, pathlib, sys, tempfile

from semsim_pipeline.heap import ARROW_POOL, keep_arrow_in_the_heap, keep_heap_small

keep_heap_small() if sys.argv[1:] else keep_arrow_in_the_heap()

import pyarrow as pa
import pyarrow.parquet as pq

with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "rows.parquet"
    pq.write_table(pa.table({"a": [str(i) for i in range(100_000)]}), file)
    read = pq.read_table(file)
reserved = 0  # mimalloc takes a GiB of addresses at once
for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
    first, last = line.split()[0].split("-")
    reserved += int(last, 16) - int(first, 16) >= 1 << 30
print(reserved, pa.default_memory_pool().backend_name, os.environ.get(ARROW_POOL))
"""
HEAPS = """
import ctypes, pathlib, sys, tempfile, threading

if sys.argv[1:]:
    import pyarrow
    from semsim_pipeline.heap import keep_heap_small
    keep_heap_small()
    assert pyarrow.default_memory_pool().backend_name == "system"

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
both = threading.Barrier(4)


def allocate():
    both.wait()
    for _ in range(1000):
        libc.malloc(ctypes.c_size_t(2000))
    both.wait()


threads = [threading.Thread(target=allocate) for _ in range(4)]
for each in threads:
    each.start()
for each in threads:
    each.join()
with tempfile.NamedTemporaryFile() as said:
    file = ctypes.c_void_p(libc.fopen(said.name.encode(), b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    print(pathlib.Path(said.name).read_text().count("<heap nr="))
"""
