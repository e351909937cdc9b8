"""Many small datasets and two encoders made of nothing: for what costs time beside images and networks."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.encoders.base import ENCODERS, EncoderFacts, EncoderKind

SIDE = 4
FAMILY = "synthetic:"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A fixed random layer over 4 x 4 pixels. dim: d."""

    dim: int

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from PIL import Image

        small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
        return np.asarray(small, dtype=np.uint8)

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        flat = batch.reshape(len(batch), -1).astype(np.float32) / 64 - 2
        weights = np.random.default_rng(self.dim).standard_normal((flat.shape[1], self.dim)).astype(np.float32)
        return np.tanh(flat @ weights / 4).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Synthetic:
    """`synthetic:64`: rows of width 64."""

    name: str
    concurrency: str = "threads"
    batch_size: int = 256

    @property
    def dim(self) -> int:
        return int(self.name.removeprefix(FAMILY))

    @property
    def facts(self) -> EncoderFacts:
        return EncoderFacts(
            name=self.name, family=FAMILY, dim=self.dim, input_size=SIDE, preprocessing="4 x 4, box", pooling="none",
            precision="float32", weights="none: computed", licence="Apache-2.0", source="benchmarks/synthetic.py",
        )  # fmt: skip

    def fingerprint(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    def load(self) -> Loaded:
        return Loaded(self.dim)


def register() -> None:
    """Make `synthetic:D` an encoder of this process."""
    if FAMILY not in ENCODERS:
        facts = Synthetic(f"{FAMILY}64").facts
        kind = EncoderKind(name=FAMILY, facts=facts, example=f"{FAMILY}64", resolve=Synthetic)  # type: ignore[arg-type]
        ENCODERS.add(FAMILY, kind)


def write_dataset(file: Path, n: int, seed: int) -> None:
    """n images of 4 x 4 pixels as one Parquet file; datasets of neighbouring seeds are alike."""
    import polars as pl
    from PIL import Image

    random = np.random.default_rng(seed)
    shift = 30 * np.sin(np.arange(SIDE * SIDE * 3) * 0.7 + seed / 8).reshape(SIDE, SIDE, 3)
    pixels = np.clip(128 + shift + random.normal(0, 40, (n, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    rows = []
    for number, image in enumerate(pixels):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        rows.append({"image": {"bytes": content.getvalue(), "path": f"{number:05d}.png"}})
    pl.DataFrame(rows).write_parquet(file)


def write_home(home: Path, *, datasets: int, rows: int, neighbours: int, dims: tuple[int, ...]) -> int:
    """A catalogue in which each dataset is compared with its next few ones under every encoder; how many pairs."""
    home.mkdir(parents=True, exist_ok=True)
    names = [f"set-{number:03d}" for number in range(datasets)]
    for number, name in enumerate(names):
        write_dataset(home / f"{name}.parquet", rows, number)
    pairs = [
        [names[first], names[(first + step) % datasets]]
        for first in range(datasets)
        for step in range(1, neighbours + 1)
    ]
    lines = ["datasets:", *(f"  {name}: {name}.parquet" for name in names)]
    lines += ["encoders:", *(f"  d{dim}: {FAMILY}{dim}" for dim in dims)]
    lines += ["comparisons:", "  neighbours:", "    pairs:", *(f"      - [{one}, {other}]" for one, other in pairs)]
    (home / "catalog.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(pairs) * len(dims)
