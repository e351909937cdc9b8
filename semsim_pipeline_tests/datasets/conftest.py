"""Small real images and sources made of them."""

from __future__ import annotations

import io
import os
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semsim_pipeline.datasets.base import Source, fetch
from semsim_pipeline.datasets.resolve import open_source
from semsim_pipeline.progress import Silent
from semsim_pipeline_tests import published_sets
from semsim_pipeline_tests.published_sets import hub_parquet
from semsim_pipeline_tests.servers import FileServer, served_hub

CIFAKE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "cifake-train.zip"
needs_cifake = pytest.mark.skipif(not CIFAKE.is_file(), reason=f"needs the real data at {CIFAKE}")

MEMBERS = ("cat/a/1.jpg", "cat/a/2.JPG", "cat/b/1.png", "dog/1.jpg", "root.png")
LITTER = (".DS_Store", "__MACOSX/cat/._1.jpg", "cat/Thumbs.db", "notes.txt", "cat/.hidden.jpg")


def jpeg(seed: int, size: tuple[int, int] = (8, 6), file_format: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, file_format)
    return out.getvalue()


def contents() -> dict[str, bytes]:
    images = {name: jpeg(i, file_format="PNG" if name.endswith("png") else "JPEG") for i, name in enumerate(MEMBERS)}
    return images | dict.fromkeys(LITTER, b"litter")


def make_folder(root: Path) -> Path:
    for name, content in contents().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def make_zip(path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents().items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in contents().items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_parquet(path: Path, rows: int = 40, row_group_size: int = 7) -> Path:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "image": [{"bytes": jpeg(i), "path": f"x/{i % 3}.jpg"} for i in range(rows)],
            "label": [i % 2 for i in range(rows)],
            "source": [f"s{i % 4}" for i in range(rows)],
            "score": [0.5] * rows,
        }
    )
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    meta = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(meta), path, row_group_size=row_group_size)
    return path


def make_cifake(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "test"):
            for label in ("REAL", "FAKE"):
                for k in range(1, 11):
                    suffix = "" if k == 1 else f" ({k})"
                    archive.writestr(f"{split}/{label}/0001{suffix}.jpg", jpeg(k))
        archive.writestr("train/REAL/0001 (11).jpg", b"no class")
    return path


def make_cifar(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def fetched_url(tmp: Path) -> str:
    """An archive behind an address, fetched; its server has gone since."""
    with FileServer() as server:
        url = server.publish("images.zip", make_zip(tmp / "published.zip").read_bytes())
        fetch(open_source(url), Silent())
    return url


def fetched_from_hub(_: Path) -> str:
    """A data set of the hub, fetched; the hub has gone since."""
    shard = hub_parquet([jpeg(n) for n in range(6)], [0, 1] * 3, ("cat", "dog"))
    with pytest.MonkeyPatch.context() as patch, served_hub(patch) as hub:
        hub.commit("org/pets", {"data/train-00000-of-00001.parquet": shard}, kind="datasets")
        fetch(open_source("huggingface:org/pets"), Silent())
    return "huggingface:org/pets"


MAKERS: dict[str, Callable[[Path], str]] = {
    "folder": lambda tmp: str(make_folder(tmp / "images")),
    "archive": lambda tmp: str(make_zip(tmp / "images.zip")),
    "parquet": lambda tmp: str(make_parquet(tmp / "rows.parquet")),
    "cifake": lambda tmp: f"cifake:{make_cifake(tmp / 'cifake.zip')}",
    "cifar10": lambda tmp: f"cifar10:{make_cifar(tmp / 'ten.tar.gz', published_sets.cifar10())}",
    "cifar100": lambda tmp: f"cifar100:{make_cifar(tmp / 'hundred.tar.gz', published_sets.cifar100())}",
    "url": fetched_url,
    "huggingface": fetched_from_hub,
    "digits": lambda tmp: "digits",
    "digits-generated": lambda tmp: "digits-generated",
    "panel-1": lambda tmp: "panel-1",
}
"""How a small example of each kind is made; a kind without one fails the contract test."""


def example_of(kind: str, tmp: Path) -> Source:
    return open_source(MAKERS[kind](tmp))


def content_bytes(content: object) -> bytes:
    return content.tobytes() if isinstance(content, np.ndarray) else bytes(content)  # type: ignore[call-overload]


def replaced_unseen(path: Path, content: bytes) -> None:
    """Put another file of the same size and modification time in a file's place, as `cp -p` and `rsync -t` can."""
    facts = path.stat()
    assert len(content) == facts.st_size
    time.sleep(0.02)  # a tick of the file system's clock
    other = path.with_name("other.part")
    other.write_bytes(content)
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_mtime_ns == facts.st_mtime_ns


def later(path: Path) -> None:
    """Move a file's modification time by one second, as a later edit would."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))
