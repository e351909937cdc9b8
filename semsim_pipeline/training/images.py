"""The images of a training, decoded once into memory, without those that are held out, their copies and their twins.

The rule can be followed by anybody: of each class, the `held_out` images that `[class=…,limit=N,seed=0]` selects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import Source
from semsim_pipeline.datasets.decode import decode
from semsim_pipeline.datasets.perceptual import HASH_WORDS, perceptual_hash
from semsim_pipeline.datasets.selection import rank
from semsim_pipeline.errors import EmptyDatasetError, TooFewSamplesError, UnreadableImageError
from semsim_pipeline.fingerprint import digest_of, image_id_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from semsim_pipeline.records import ItemRef

SEED = 0
"""Of the rule: the seed that a view's limit has where none is given."""
TWIN_BITS = 24
"""Of a perceptual hash's 256 bits, how many may differ in twins: as `near_duplicates` takes it."""
BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """images: RGB uint8 [n, side, side, 3]. classes: int64 [n]. ids: content ids. paths: in the source."""

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    ids: tuple[str, ...]
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, rows: NDArray[np.intp]) -> Pictures:
        """These rows, in this order."""
        return Pictures(
            images=self.images[rows],
            classes=self.classes[rows],
            ids=tuple(self.ids[row] for row in rows),
            paths=tuple(self.paths[row] for row in rows),
        )

    def without(self, classes: tuple[int, ...]) -> Pictures:
        """The images of the other classes, which are numbered anew from 0 in their order."""
        kept = self.take(np.flatnonzero(~np.isin(self.classes, classes)))
        _, numbers = np.unique(kept.classes, return_inverse=True)
        return replace(kept, classes=numbers.astype(np.int64))

    def digest(self) -> str:
        """SHA-256 in hex of the content ids with their classes, whatever their order."""
        return digest_of([[image, label] for image, label in sorted(zip(self.ids, self.classes.tolist(), strict=True))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """training and held_out share no content; copies and twins tell how many images were left out of the training."""

    training: Pictures
    held_out: Pictures
    copies: int
    twins: int


def divide(source: Source, *, classes: tuple[str, ...], where: Mapping[str, str], held_out: int) -> Divided:
    """Read the labelled images of a source and hold `held_out` of each class out.

    where: label columns and the value that counts. Held out are the rows of lowest `rank` of each class, as a view's
    limit takes them. Left out of the training: further files of a content, images of held-out content, and twins of
    held-out images by perceptual hash.
    Raises EmptyDatasetError (nothing passes), TooFewSamplesError (a class no larger than `held_out`), and what the
    source raises. Memory: every image once, as pixels of the first image's size.
    """
    wanted = set(classes)
    items = [
        item
        for item in source.items()
        if item.labels.get("class") in wanted and all(item.labels.get(key) == value for key, value in where.items())
    ]
    if not items:
        raise EmptyDatasetError(f"No image of {source.location} has {dict(where)}.")
    held = _held_out(items, classes, held_out)
    pictures, hashes = _read(source, items, classes)
    kept_out = np.array([path in held for path in pictures.paths])
    secret = {image for image, out in zip(pictures.ids, kept_out, strict=True) if out}
    seen: set[str] = set(secret)
    training = np.zeros(len(pictures), np.bool_)
    for row, image in enumerate(pictures.ids):
        training[row] = image not in seen
        seen.add(image)
    twin = training & _twins(hashes, hashes[kept_out])
    return Divided(
        training=pictures.take(np.flatnonzero(training & ~twin)),
        held_out=pictures.take(np.flatnonzero(kept_out)),
        copies=int(len(pictures) - kept_out.sum() - training.sum()),
        twins=int(twin.sum()),
    )


def _held_out(items: list[ItemRef], classes: tuple[str, ...], held_out: int) -> set[str]:
    held: set[str] = set()
    for name in classes:
        mine = sorted((item.path for item in items if item.labels["class"] == name), key=lambda path: rank(SEED, path))
        if len(mine) <= held_out:
            raise TooFewSamplesError(f"Class {name!r} has {len(mine)} images; {held_out} are to be held out of it.")
        held.update(mine[:held_out])
    return held


def _read(source: Source, items: list[ItemRef], classes: tuple[str, ...]) -> tuple[Pictures, NDArray[np.uint64]]:
    numbers = {name: number for number, name in enumerate(classes)}
    images: list[NDArray[np.uint8]] = []
    ids: list[str] = []
    hashes = np.zeros((len(items), HASH_WORDS), np.uint64)
    with source.open() as reader:
        for row, item in enumerate(items):
            content = reader.read(item)
            pixels = decode(content)
            if images and pixels.shape != images[0].shape:
                raise UnreadableImageError(
                    f"{item.path} is {pixels.shape[1]}x{pixels.shape[0]}; images of one size are needed."
                )
            images.append(pixels)
            ids.append(image_id_of(content))
            found = perceptual_hash(pixels)
            if found is not None:
                hashes[row] = found
    pictures = Pictures(
        images=np.stack(images),
        classes=np.array([numbers[item.labels["class"]] for item in items], np.int64),
        ids=tuple(ids),
        paths=tuple(item.path for item in items),
    )
    return pictures, hashes


def _twins(hashes: NDArray[np.uint64], held: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """bool [n]: rows within TWIN_BITS of some row of `held`; rows of zeros have no hash and are none.

    Bits as -1 and 1: the product of two rows is then 256 minus twice their distance. Memory: BLOCK · len(held) floats.
    """
    with_hash = np.asarray(hashes.any(axis=1), np.bool_)
    others = _signs(held[held.any(axis=1)])
    twin = np.zeros(len(hashes), np.bool_)
    for start in range(0, len(hashes), BLOCK):
        rows = slice(start, start + BLOCK)
        if len(others):
            nearest = (_signs(hashes[rows]) @ others.T).max(axis=1)
            twin[rows] = with_hash[rows] & (nearest >= 64 * HASH_WORDS - 2 * TWIN_BITS)
    return twin


def _signs(hashes: NDArray[np.uint64]) -> NDArray[np.float32]:
    """uint64 [n, w] to float32 [n, 64·w] of -1 and 1."""
    bits = np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=1)
    return bits.astype(np.float32) * 2.0 - 1.0


def batches(n: int, size: int, order: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Rows of `order` in batches of exactly `size`; what is left over is in another epoch's batches."""
    for start in range(0, n - size + 1, size):
        yield order[start : start + size]
