"""Small pictures of two kinds, made with Pillow, for everything that needs real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 16


def write_pictures(folder: Path, n: int, *, seed: int = 0, kind: str = "stripes", name: str = "{:03d}.png") -> Path:
    """n pictures in `folder` (made where missing): noisy `stripes`, or bright `blobs` on a dark ground."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for i in range(n):
        if kind == "stripes":
            wave = 127 + 100 * np.sin(x * random.uniform(0.4, 1.5) + random.uniform(0, 6))
            pixels = np.stack([wave, wave * random.uniform(0.4, 1), 255 - wave], axis=-1)
        else:
            cx, cy, r = random.uniform(4, 12), random.uniform(4, 12), random.uniform(3, 6)
            disc = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / r**2)
            pixels = np.stack([40 + 200 * disc, 30 + 90 * disc, 20 + 30 * disc], axis=-1)
        noisy = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / name.format(i))
    return folder
