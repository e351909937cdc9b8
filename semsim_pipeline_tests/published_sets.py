"""Data sets in their published formats, made small: CIFAR's archives of Python 2 pickles, the hub's Parquet."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Bytes as Python 2's strings, and numpy by its old module: what the published batches hold."""

    dispatch: ClassVar[dict[type, object]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, content: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<I", len(content)) + content)
        self.memoize(content)

    dispatch[bytes] = save_bytes

    def save_global(self, obj: object, name: str | None = None) -> None:
        module = getattr(obj, "__module__", "").replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name or obj.__qualname__}\n".encode())  # type: ignore[attr-defined]
        self.memoize(obj)

    dispatch[type(len)] = save_global
    dispatch[type(pickle.loads)] = save_global
    dispatch[type] = save_global
    dispatch[type(lambda: None)] = save_global


def python2_pickle(value: object) -> bytes:
    out = io.BytesIO()
    _Python2Pickler(out, 2).dump(value)
    return out.getvalue()


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def tar_gz(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def cifar10_batch(count: int, seed: int, name: bytes = b"training batch 1 of 5") -> bytes:
    labels = [(row + seed) % 10 for row in range(count)]
    return python2_pickle(
        {
            b"batch_label": name,
            b"labels": labels,
            b"data": pixels(count, seed),
            b"filenames": [b"thing_s_%06d.png" % row for row in range(count)],
        }
    )


def cifar10(per_batch: int = 20, extra: Mapping[str, bytes] | None = None) -> bytes:
    """As published: the batches in no particular order, with the page and the names beside them."""
    folder = "cifar-10-batches-py"
    batches = {f"{folder}/data_batch_{n}": cifar10_batch(per_batch, n) for n in (4, 3, 2, 5, 1)}
    return tar_gz(
        {
            f"{folder}/readme.html": b"<html></html>",
            f"{folder}/test_batch": cifar10_batch(per_batch, 9, b"testing batch 1 of 1"),
            **batches,
            f"{folder}/batches.meta": python2_pickle({b"num_vis": 3072}),
            **(extra or {}),
        }
    )


def cifar100(train: int = 30, test: int = 10) -> bytes:
    def batch(count: int, seed: int) -> bytes:
        return python2_pickle(
            {
                b"filenames": [b"t_%d.png" % row for row in range(count)],
                b"batch_label": b"training batch 1 of 1",
                b"fine_labels": [(row * 7 + seed) % 100 for row in range(count)],
                b"coarse_labels": [(row + seed) % 20 for row in range(count)],
                b"data": pixels(count, seed),
            }
        )

    return tar_gz({"cifar-100-python/train": batch(train, 1), "cifar-100-python/test": batch(test, 2)})


def hub_parquet(images: Sequence[bytes], labels: Sequence[int], names: Sequence[str]) -> bytes:
    """A shard as the hub's own library writes it: image structs, and ClassLabel names in the schema's metadata."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    schema = pa.schema(
        [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    rows = [{"bytes": content, "path": f"{row}.png"} for row, content in enumerate(images)]
    out = io.BytesIO()
    pq.write_table(pa.table({"image": rows, "label": list(labels)}, schema=schema), out)
    return out.getvalue()
