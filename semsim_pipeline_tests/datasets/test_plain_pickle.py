"""The reader of CIFAR's batches: as the standard library's for what is plain, one line for anything else."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from semsim_pipeline.datasets import pickle_steps
from semsim_pipeline.datasets.plain_pickle import read_plain
from semsim_pipeline.errors import CorruptSourceError
from semsim_pipeline_tests.published_sets import cifar10_batch, pixels, python2_pickle, tar_gz

BATCH = {
    "data": pixels(50, 1),
    "labels": [0, 1, 255, 256, 65_535, 65_536, -1, 2**31 - 1, -(2**31), 2**40, -(2**62)],
    "filenames": [b"a.png", b"\x00\xff\n'\\", bytes(300), bytes(range(256)) * 400],
    "texts": ["a", "ü€\n\\", "x" * 100_000, "\ud800"],
    "nested": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [[]], {}, {"a": {b"b": 1, 3: None}}],
    "plain": [None, True, False, 0.5, -1e300],
    "again": ["same"] * 3,
}


def read(content: bytes) -> dict[str, object]:
    return read_plain(io.BytesIO(content), len(content), "x")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_it_reads_what_the_standard_library_reads(protocol: int) -> None:
    found = read(pickle.dumps(BATCH, protocol))
    assert np.array_equal(found.pop("data"), BATCH["data"])  # type: ignore[arg-type]
    assert found == {key: value for key, value in BATCH.items() if key != "data"}
    columns = np.asfortranarray(pixels(5, 2))
    assert np.array_equal(read(pickle.dumps({"data": columns}, protocol))["data"], columns)  # type: ignore[arg-type]


def test_it_reads_a_batch_of_python_2() -> None:
    found = read(cifar10_batch(700, 3))
    assert np.array_equal(found["data"], pixels(700, 3))  # type: ignore[arg-type]
    assert found["labels"] == [(row + 3) % 10 for row in range(700)]
    assert found["batch_label"] == b"training batch 1 of 5"


def test_only_its_own_bytes_are_read(tmp_path: Path) -> None:
    content = cifar10_batch(50, 1)
    file = io.BytesIO(content + b"next member" * 100_000)
    assert set(read_plain(file, len(content), "x")) == {"batch_label", "labels", "data", "filenames"}
    assert file.tell() <= len(content)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.9, 0.9999])
def test_what_is_cut_short_is_one_line(part: float) -> None:
    whole = cifar10_batch(700, 3)
    for size in (len(whole), int(len(whole) * part)):  # by its tar's word, or in truth
        with pytest.raises(CorruptSourceError, match=r"no|early|left") as raised:
            read_plain(io.BytesIO(whole[: int(len(whole) * part)]), size, "x")
        assert "\n" not in str(raised.value)


NOTHING = b"\x80\x02}"
DAG = b")" + b"\x86".join([b"2"] * 60) + b"\x86"
"""A tuple that names one twice, which names one twice, …: small, and 2**60 values to hash or to print."""
LIST_DAG = b"]" + b"".join(b"p%d\n]g%d\nag%d\na" % (n, n, n) for n in range(60)) + b"p99\n" + b"0" * 61 + b"g99\n"

LARGE_SHAPE = b"\x8a\x08" + b"\xff" * 7 + b"\x3fK\x02\x86"

HOSTILE = {
    "deep key": (NOTHING + b")" + b"\x85" * 200_000 + b"K\x01s.", "deep"),
    "deep value": (NOTHING + b"K\x01)" + b"\x85" * 200_000 + b"s.", "deep"),
    "tuple as key": (NOTHING + b"K\x01\x85K\x01s.", "neither text nor number"),
    "deep dtype": (b"cnumpy\ndtype\n" + b")" + b"\x85" * 200_000 + b"R.", "deep"),
    "marks": (b"(" * 200_000, "deep"),
    "key named twice": (NOTHING + DAG + b"K\x01s.", "deep"),
    "list as key": (NOTHING + b"]" * 200_000 + b"a" * 199_999 + b"K\x01s.", "neither text nor number"),
    "list as name": (b"]" * 200_000 + b"a" * 199_999 + b"\x8c\x01a\x93.", "a name that is no text"),
    "list as encoding": (b"c_codecs\nencode\n\x8c\x01a" + LIST_DAG + b"\x86R.", "another encoding"),
    "list as dtype": (b"cnumpy\ndtype\n" + LIST_DAG + b"\x85R.", "another kind"),
    "bytes of 2**63": (b"\x80\x04\x8e" + struct.pack("<Q", 2**63 + 5) + b"abc.", "length of 9,223,372,036,854,775,813"),
    "bytes of 2**40": (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.", "where 4 are left"),
    "bytes of 4 GB": (b"\x80\x03B\xff\xff\xff\xffabc.", "where 4 are left"),
    "string of -1": (b"\x80\x02T\xff\xff\xff\xffabc.", "where 4 are left"),
    "text of 2**62": (b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"abc.", "where 4 are left"),
    "frame of 2**62": (b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}.", "where 2 are left"),
    "frame of 2**64": (b"\x80\x04\x95" + b"\xff" * 8 + b"}.", "where 2 are left"),
    "bytearray of 2**40": (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"}.", "nothing plain"),
    "memo at 2**32": (NOTHING + b"r\xff\xff\xff\xff.", "has no images"),
    "memo in text": (NOTHING + b"p4294967295\n.", "has no images"),
    "memo without": (b"\x80\x02h\x07.", "plain arrays"),
    "number": (NOTHING + b"K\x01\x8a\xff" + b"\x7f" * 255 + b"s.", "a number of 255 bytes"),
    "digits": (NOTHING + b"K\x01I" + b"9" * 100_000 + b"\ns.", "line of"),
    "digits without end": (NOTHING + b"K\x01L" + b"9" * 300_000, "line of"),
    "nothing to pop": (b"\x80\x02a.", "plain arrays"),
    "no mark": (b"\x80\x02t.", "plain arrays"),
    "odd": (b"\x80\x02}(K\x01u.", "plain arrays"),
    "list for dictionary": (b"\x80\x02]K\x01K\x02s.", "no dictionary"),
    "state for a list": (b"\x80\x02]}b.", "no array"),
    "call of an array": (b"\x80\x02cnumpy\nndarray\n)R.", "no array"),
    "shape of 2**62": (
        python2_pickle({b"data": pixels(2, 1)}).replace(b"K\x02M\x00\x0c\x86", LARGE_SHAPE),
        "plain arrays",
    ),
    "name of two lines": (b"\x80\x04\x8c\x03a\nb\x8c\x01c\x93.", "a b.c, which is no array"),
    "name without end": (b"\x80\x04X\x40\x42\x0f\x00" + b"a" * 1_000_000 + b"\x8c\x01c\x93.", "aaaa"),
    "names that are lists": (
        python2_pickle({b"data": pixels(2, 1), b"labels": [0, 99]})[:-1]
        + b"\x8c\x09filenames]" + LIST_DAG + b"a" + LIST_DAG + b"as.",
        "number 99, of 10",
    ),
}  # fmt: skip

CHILD = """
import json, resource, sys
from semsim_pipeline.datasets.resolve import open_source
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
from semsim_pipeline.errors import CorruptSourceError
for name, path in json.loads(sys.argv[1]).items():
    print(json.dumps(name), flush=True)
    try:
        list(open_source(f"cifar10:{path}").items())
    except CorruptSourceError as error:
        print(json.dumps(str(error)), flush=True)
    else:
        print(json.dumps(""), flush=True)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each hostile batch is answered with, in another process: it may be one that ends it."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = {}
    for number, (name, (batch, _)) in enumerate(HOSTILE.items()):
        path = folder / f"{number}.tar.gz"
        path.write_bytes(tar_gz({"cifar-10-batches-py/data_batch_1": batch}))
        paths[name] = str(path)
    found: dict[str, str] = {}
    while paths:
        ran = subprocess.run(
            [sys.executable, "-c", CHILD, json.dumps(paths)], capture_output=True, text=True, timeout=120, check=False
        )
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        assert lines, ran.stderr
        answers = dict(
            zip(lines[::2], [*lines[1::2], f"ended with {ran.returncode}: {ran.stderr[-300:]}"], strict=False)
        )
        found |= answers
        paths = {name: path for name, path in paths.items() if name not in answers}
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_batch_is_one_line(said: dict[str, str], name: str) -> None:
    assert HOSTILE[name][1] in said[name]
    assert "\n" not in said[name]
    assert len(said[name]) < 600


def test_steps_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_steps, "MOST_STEPS", 1000)
    with pytest.raises(CorruptSourceError, match="more than 1,000 steps"):
        read(b"\x80\x02" + b"}" * 2000 + b".")


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), OverflowError("large")])
def test_what_a_machine_cannot_do_is_said_of_the_file(error: BaseException) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise error

    with pytest.raises(CorruptSourceError, match="not a batch of plain arrays"):
        read_plain(Failing(), 100, "x")
