"""From rows of a view back to its images: small RGB pictures of a few of them, for whoever draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.comparison.selected import SelectedView
from semsim_pipeline.comparison.sets import open_sets
from semsim_pipeline.datasets.base import Reader
from semsim_pipeline.datasets.decode import decode
from semsim_pipeline.errors import SemsimError, UnreadableImageError
from semsim_pipeline.fingerprint import image_id_of
from semsim_pipeline.records import ItemRef
from semsim_pipeline.store.schema import LABEL_PREFIX

THUMBNAIL_SIDE = 96
TILE_GREY = 190
BLANK = 255
LEAST_FILL = 0.75
"""An enlarged image that whole multiples of its pixels would leave smaller than this share of the box is resampled."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureSide:
    """One side of a pair to draw: the selected rows and their embeddings, float32 [n, d], row by row the same."""

    selected: SelectedView
    rows: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.rows) != self.selected.n:
            raise ValueError(f"{self.selected.name}: {self.selected.n} selected rows, embeddings {self.rows.shape}")

    @property
    def n(self) -> int:
        """Images of this side."""
        return self.selected.n


def picture_sides(home: Path, reference: SelectedView, candidate: SelectedView) -> tuple[PictureSide, PictureSide]:
    """Both sides with their embeddings, in a single pass over the store.

    Raises StoreError. Memory: (n + m)·d·4 bytes.
    """
    sets = open_sets(home, {"reference": reference, "candidate": candidate})
    first, second = (
        PictureSide(selected=view, rows=sets[name].rows.astype(np.float32, copy=False))
        for name, view in (("reference", reference), ("candidate", candidate))
    )
    return first, second


def thumbnails(view: SelectedView, rows: Sequence[int], side: int = THUMBNAIL_SIDE) -> NDArray[np.uint8]:
    """The images of some rows of a view, in the order asked for: RGB uint8 [len(rows), side, side, 3].

    The source is opened once and read in its own order. An image fits into the box, centred on white: tiny ones by
    whole multiples of their pixels, large ones antialiased. What cannot be read any more, or is no longer the image
    that was embedded, is a grey tile, never an error.
    Memory: the thumbnails and one decoded image.
    """
    return thumbnails_and_lost(view, rows, side)[0]


def thumbnails_and_lost(
    view: SelectedView, rows: Sequence[int], side: int = THUMBNAIL_SIDE
) -> tuple[NDArray[np.uint8], int]:
    """As `thumbnails`, and how many of the distinct rows became grey tiles."""
    out = np.full((len(rows), side, side, 3), TILE_GREY, dtype=np.uint8)
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(int(row), []).append(place)
    found = 0
    for row, pixels in _images(view, sorted(places)):
        out[places[row]] = boxed(pixels, side)
        found += 1
    return out, len(places) - found


def _images(view: SelectedView, rows: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(row, pixels) of those rows that can be read and are what was embedded."""
    items = view.rows[list(rows)].to_dicts() if rows else []
    try:
        with view.source.open() as reader:
            for row, item in zip(rows, items, strict=True):
                pixels = _read(reader, item)
                if pixels is not None:
                    yield row, pixels
    except (SemsimError, OSError):
        return  # the source itself is gone or damaged: what is left stays tiles


def _read(reader: Reader, item: dict[str, object]) -> NDArray[np.uint8] | None:
    try:
        content = reader.read(_reference_to(item))
        return decode(content) if image_id_of(content) == item["image_id"] else None
    except (UnreadableImageError, OSError, MemoryError):
        return None


def _reference_to(item: dict[str, object]) -> ItemRef:
    """The item as its source listed it, from a row of `SelectedView.rows`."""
    size, locator, stamp = item["size"], item["locator"], item["stamp"]
    labels = {name[len(LABEL_PREFIX) :]: str(value) for name, value in item.items() if name.startswith(LABEL_PREFIX)}
    return ItemRef(
        path=str(item["path"]),
        labels=labels,
        size=size if isinstance(size, int) else None,
        stamp=None if stamp is None else str(stamp),
        locator=locator if isinstance(locator, int) else 0,
    )


def boxed(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An RGB image [h, w, 3] within a white box, uint8 [side, side, 3]; its proportions are kept."""
    from PIL import Image

    height, width = pixels.shape[:2]
    longest = max(height, width)
    times = side // longest
    if times * longest >= LEAST_FILL * side:
        fitted = np.repeat(np.repeat(pixels, times, axis=0), times, axis=1)
    else:
        size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
        image = Image.fromarray(pixels)
        # A huge photo is first averaged over whole blocks: three times as fast, and at this size the same picture.
        resized = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        fitted = np.asarray(resized, dtype=np.uint8)
    box = np.full((side, side, 3), BLANK, dtype=np.uint8)
    top, left = (side - fitted.shape[0]) // 2, (side - fitted.shape[1]) // 2
    box[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return box
