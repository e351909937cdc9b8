"""CIFAKE and digits as arrays in memory, and shifts of graded strength. Everything is seeded."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from semsim_pipeline.datasets.cifake import CLASSES, LAYOUT
from semsim_pipeline.seeding import generator

Pixels = NDArray[np.uint8]
SIDE = 32


@dataclass(frozen=True, slots=True)
class Labelled:
    """images: RGB uint8 [n, 32, 32, 3]. classes: int64 [n]."""

    images: Pixels
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, rows: NDArray[np.intp] | slice) -> Labelled:
        return Labelled(self.images[rows], self.classes[rows])

    def of(self, classes: tuple[int, ...]) -> Labelled:
        """Only these classes, with their own numbers."""
        return self.take(np.flatnonzero(np.isin(self.classes, classes)))

    def each(self, start: int, count: int) -> Labelled:
        """From every class its images `start` to `start + count`; classes must be large enough."""
        rows = []
        for number in np.unique(self.classes):
            mine = np.flatnonzero(self.classes == number)[start : start + count]
            if len(mine) < count:
                raise ValueError(f"class {number} has {len(mine)} images after {start}; {count} asked for")
            rows.append(mine)
        return self.take(np.sort(np.concatenate(rows)))


def joined(*parts: Labelled) -> Labelled:
    return Labelled(np.concatenate([p.images for p in parts]), np.concatenate([p.classes for p in parts]))


def cifake(archive: str | Path, label: str, start: int, count: int) -> Labelled:
    """`count` images of each class of REAL or FAKE, from the `start`-th in a seeded order of names."""

    def some(names: list[str], number: int) -> list[str]:
        order = generator(0, "evidence", label, number).permutation(len(names))[start : start + count]
        return [names[row] for row in order]

    return cifake_named(archive, label, some)


def cifake_named(archive: str | Path, label: str, choose: Callable[[list[str], int], list[str]]) -> Labelled:
    """The images of REAL or FAKE that `choose` takes, in its order, of a class's sorted names and its number."""
    with zipfile.ZipFile(archive) as file:
        names: dict[int, list[str]] = {number: [] for number in range(len(CLASSES))}
        for name in sorted(file.namelist()):
            parts = LAYOUT.fullmatch(name)
            if parts and parts[2].upper() == label:
                names[int(parts[3] or 1) - 1].append(name)
        images, classes = [], []
        for number, mine in names.items():
            for name in choose(mine, number):
                images.append(np.asarray(Image.open(io.BytesIO(file.read(name))).convert("RGB")))
                classes.append(number)
    return Labelled(np.stack(images), np.array(classes, np.int64))


def digits(name: str) -> Labelled:
    """`digits` or `digits-generated`, enlarged to 32 × 32 (bicubic), in the source's own order."""
    from semsim_pipeline.datasets import digits as real
    from semsim_pipeline.datasets import digits_generated

    found = (real if name == "digits" else digits_generated).load()
    images = [Image.fromarray(image).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
              for image in found.images]  # fmt: skip
    return Labelled(np.stack([np.asarray(x) for x in images]), np.array([int(x) for x in found.labels], np.int64))


def noise_images(n: int, name: str) -> Pixels:
    return generator(0, "evidence", "noise", name).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Shift:
    """levels: weakest first; `apply(image, level, rng)` gives an image of the same size."""

    name: str
    levels: tuple[float, ...]
    apply: Callable[[Image.Image, float, np.random.Generator], Image.Image]

    def __call__(self, images: Pixels, level: float) -> Pixels:
        out = np.empty_like(images)
        for number, image in enumerate(images):
            rng = generator(0, "shift", self.name, number)
            out[number] = np.asarray(self.apply(Image.fromarray(image), level, rng))
        return out


def _jpeg(image: Image.Image, quality: float, _: np.random.Generator) -> Image.Image:
    held = io.BytesIO()
    image.save(held, "JPEG", quality=int(quality))
    return Image.open(held)


def _noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    noisy = np.asarray(image) + rng.normal(0, deviation, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _rotate(image: Image.Image, degrees: float, rng: np.random.Generator) -> Image.Image:
    """Mirrored borders, so that no black corner gives the angle away; either direction."""
    wide = Image.fromarray(np.pad(np.asarray(image), ((SIDE // 2,) * 2, (SIDE // 2,) * 2, (0, 0)), mode="reflect"))
    turned = wide.rotate(degrees * float(rng.choice([-1, 1])), Image.Resampling.BICUBIC)
    return turned.crop((SIDE // 2, SIDE // 2, SIDE // 2 + SIDE, SIDE // 2 + SIDE))


def _downscale(image: Image.Image, side: float, _: np.random.Generator) -> Image.Image:
    small = image.resize((int(side), int(side)), Image.Resampling.BICUBIC)
    return small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _hue(image: Image.Image, turn: float, _: np.random.Generator) -> Image.Image:
    channels = np.asarray(image.convert("HSV")).copy()
    channels[..., 0] = (channels[..., 0].astype(np.int64) + round(turn * 256)) % 256
    return Image.fromarray(channels, "HSV").convert("RGB")


def _occlude(image: Image.Image, side: float, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image).copy()
    top, left = rng.integers(0, SIDE - int(side) + 1, 2)
    pixels[top : top + int(side), left : left + int(side)] = 128
    return Image.fromarray(pixels)


SHIFTS: dict[str, Shift] = {
    shift.name: shift
    for shift in (
        Shift("jpeg", (80, 50, 25, 12, 5), _jpeg),
        Shift("blur", (0.4, 0.7, 1.0, 1.6, 2.5), lambda i, x, _: i.filter(ImageFilter.GaussianBlur(x))),
        Shift("noise", (5, 10, 20, 40, 80), _noise),
        Shift("rotation", (5, 12, 25, 45, 80), _rotate),
        Shift("brightness", (0.9, 0.75, 0.6, 0.45, 0.3), lambda i, x, _: ImageEnhance.Brightness(i).enhance(x)),
        Shift("contrast", (0.85, 0.65, 0.45, 0.3, 0.15), lambda i, x, _: ImageEnhance.Contrast(i).enhance(x)),
        Shift("saturation", (0.8, 0.6, 0.4, 0.2, 0.0), lambda i, x, _: ImageEnhance.Color(i).enhance(x)),
        Shift("hue", (0.04, 0.08, 0.16, 0.3, 0.5), _hue),
        Shift("downscale", (24, 16, 12, 8, 5), _downscale),
        Shift("occlusion", (6, 10, 14, 19, 26), _occlude),
    )
}
"""Ten shifts of pixels; the three of sets (mixture, dropped classes, spread of rows) are made by their scripts."""
