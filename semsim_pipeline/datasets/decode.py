"""From what people have as image files to RGB uint8 [h, w, 3]; a file that cannot be read says why in one line."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semsim_pipeline.datasets.base import Content
from semsim_pipeline.errors import UnreadableImageError
from semsim_pipeline.records import ImageHeader

if TYPE_CHECKING:
    from PIL import Image

DECODE_VERSION = 2
"""Raised with every change that alters a pixel of any image: part of the identity of every embedding."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
"""All that Pillow may try. Its other readers run far more code on strangers' bytes (EPS starts Ghostscript)."""

JPEG_START = b"\xff\xd8\xff"

FACTORS = (8, 4, 2)
"""By which libjpeg can divide a picture's sides while it decodes, the most first."""

MOST_PIXELS = 178_000_000
"""Width × height beyond which an image is refused from its header: 0.5 GB as RGB; just below where Pillow refuses."""

OTHER_CONTENT = (
    (b"version https://git-lfs", "a Git LFS pointer, not the image itself: run 'git lfs pull'"),
    (b"<!doctype html", "an HTML page, not an image"),
    (b"<html", "an HTML page, not an image"),
    (b"<svg", "an SVG drawing; only pixel images are read"),
    (b"%pdf", "a PDF document, not an image"),
    (b"\xff\xd8\xff", "a broken or truncated JPEG"),
    (b"\x89png", "a broken or truncated PNG"),
    (b"gif8", "a broken or truncated GIF"),
    (b"riff", "a broken or truncated WebP"),
)
"""First bytes in lower case and what they tell, for a file that no reader accepts."""


def header(content: Content) -> ImageHeader:
    """Size and format from an image's first bytes, without decoding its pixels.

    The size is as shown: after the rotation that EXIF asks for, where EXIF precedes the pixels (a PNG may put it
    behind them). Raises UnreadableImageError.
    """
    if isinstance(content, np.ndarray):
        rgb = _from_array(content)
        return ImageHeader(width=rgb.shape[1], height=rgb.shape[0], format="array")
    with _opened(content) as image:
        # A phone's JPEG with a second picture behind the first is called MPO; its first picture is a JPEG.
        name = "JPEG" if image.format == "MPO" else str(image.format)
        # Pillow turns a TIFF's size itself; PNG's `getexif` would decode the pixels where EXIF is not in front.
        turned = name != "TIFF" and "exif" in image.info and _orientation(image) >= FIRST_TURNED
        width, height = image.size[::-1] if turned else image.size
        return ImageHeader(width=width, height=height, format=name)


def decode(content: Content, *, least_side: int | None = None) -> NDArray[np.uint8]:
    """An image as RGB uint8 [h, w, 3]: rotated as EXIF asks, transparency on white, the first frame of several.

    least_side: give a JPEG (RGB or grey) at 1/2, 1/4 or 1/8 of its size, the smallest whose short side still has so
    many pixels; libjpeg then leaves out what would only be averaged away: a 12-megapixel photo takes a third of the
    time. Only a fraction that divides both sides, so that what is made of the picture lies where it would lie if the
    whole had been decoded. Other images, and those that have less than twice as many pixels, come as they are.

    Deep images are scaled to 0..255: 16-bit grey by 1/257 with rounding; other integers and floats as `_scaled` says.
    Safe from several threads. Raises UnreadableImageError: one line, without the file's name; MemoryError as it is.
    Memory: the decoded image and at most three copies of it.
    """
    if isinstance(content, np.ndarray):
        return _from_array(content)
    with _opened(content) as image:
        if least_side is not None:
            _draft(image, least_side)
        image.load()
        return _to_rgb(_upright(image), invert=_is_plain_cmyk(image))


def scaled_down(content: Content, least_side: int) -> int:
    """By how much `decode` would divide the sides: 1, 2, 4 or 8. From the header alone. Raises UnreadableImageError."""
    if isinstance(content, np.ndarray) or not content.startswith(JPEG_START):
        return 1
    with _opened(content) as image:
        return _factor(image, least_side)


def _draft(image: Image.Image, least_side: int) -> None:
    """Have a JPEG decoded small."""
    factor = _factor(image, least_side)
    if factor > 1:
        image.draft(None, (image.width // factor, image.height // factor))


def _factor(image: Image.Image, least_side: int) -> int:
    """By how much the sides can be divided: 1, 2, 4 or 8.

    libjpeg rounds a fraction of a pixel up: a resize of the small picture would stretch it, by what it cannot know.
    Not CMYK: what its marker says about the ink is read from the whole.
    """
    if image.format not in {"JPEG", "MPO"} or image.mode not in {"RGB", "L"}:
        return 1
    width, height = image.size
    fine = (by for by in FACTORS if width % by == height % by == 0 and min(width, height) // by >= least_side)
    return next(fine, 1)


def _from_array(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise UnreadableImageError(
            f"pixels must be uint8 [h, w] or [h, w, 3]; found {pixels.dtype} {list(pixels.shape)}"
        )
    if pixels.size == 0:
        raise UnreadableImageError(f"an image without pixels, {list(pixels.shape)}")
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """Pillow's lazy image over the bytes; whatever goes wrong inside becomes UnreadableImageError."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise UnreadableImageError("an empty file (0 bytes)")
    _silence_pillow()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width < 1 or height < 1:
                raise UnreadableImageError(f"an image without pixels ({width}×{height})")  # noqa: TRY301
            if width * height > MOST_PIXELS:
                raise UnreadableImageError(_too_large(f"{width}×{height} pixels"))  # noqa: TRY301
            yield image
    except (UnreadableImageError, MemoryError):
        raise  # too little memory is the machine's trouble of the moment; the image may be fine
    except UnidentifiedImageError as error:
        raise UnreadableImageError(_what_it_is(content)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(_too_large("it")) from error
    except Exception as error:
        # Pillow's readers raise nearly anything on corrupt bytes: OSError, SyntaxError, struct.error, zlib.error,
        # IndexError, … A bad image must become a row, so here, and only here, everything is caught.
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(f"cannot be decoded: {said[:200]}") from error


def _too_large(found: str) -> str:
    return f"too large: {found} is beyond the {MOST_PIXELS // 1_000_000} million pixels that are read"


def _what_it_is(content: bytes) -> str:
    start = content[:64].lstrip().lower()
    for first, said in OTHER_CONTENT:
        if start.startswith(first):
            return said
    if start[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file; convert it to JPEG or PNG"
    if not content.strip(b"\0"):
        return f"only zero bytes ({len(content)} of them)"
    return f"not an image in a known format ({', '.join(FORMATS)})"


def _silence_pillow() -> None:
    """Keep Pillow's warnings (odd metadata, large pictures) from a person who can do nothing about them.

    `warnings.catch_warnings` swaps a list that all threads share, so one filter for Pillow's modules is put in front
    once instead, and again only where something else was put before it.
    """
    first = warnings.filters[0] if warnings.filters else None
    pattern = None if first is None else first[3]
    if getattr(pattern, "pattern", pattern) != PILLOW_MODULES or (first is not None and first[0] != "ignore"):
        warnings.filterwarnings("ignore", module=PILLOW_MODULES)


PILLOW_MODULES = r"PIL\."
ORIENTATION_TAG = 0x0112
FIRST_TURNED = 5


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation asks; as it is where its EXIF data cannot be read."""
    from PIL import ImageOps

    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 (upright) to 8; from 5 on width and height are exchanged."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - metadata that Pillow chokes on must not cost the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_plain_cmyk(image: Image.Image) -> bool:
    """A CMYK JPEG that is not inverted. Adobe's are, and Pillow takes every one for Adobe's; the marker tells."""
    return image.mode == "CMYK" and image.format in {"JPEG", "MPO"} and "adobe" not in image.info


def _to_rgb(image: Image.Image, *, invert: bool) -> NDArray[np.uint8]:
    from PIL import Image, ImageChops

    if image.mode.startswith("I;16"):
        return _from_array(_from_16_bit(np.asarray(image)))
    if image.mode in {"I", "F"}:
        return _from_array(_scaled(np.asarray(image)))
    if image.has_transparency_data:
        above = image.convert("RGBA")
        white = Image.new("RGBA", above.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, above)
    elif invert:
        image = ImageChops.invert(image)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _from_16_bit(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """0..65535 to 0..255 by 1/257, rounded: 65535 becomes 255, where a shift of 8 bits would be off by up to one."""
    return ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _scaled(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """32-bit integers or floats [h, w] to uint8.

    Integers within 0..65535 count as 16 bits deep. Floats within 0..1 are multiplied by 255, within 0..255 rounded.
    Anything else (heights, temperatures) is stretched from its least to its greatest value; NaN and infinity become
    0 first. These files do not say their range; the rule looks at the values alone, so a picture's result depends on
    no other picture.
    """
    values = grey.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        raise UnreadableImageError("no finite pixel value")
    values[~finite] = 0.0
    low, high = float(values.min()), float(values.max())
    if np.issubdtype(grey.dtype, np.integer) and low >= 0 and high <= 65535:
        return _from_16_bit(grey)
    if low >= 0 and high <= 1:
        values *= 255.0
    elif not (low >= 0 and high <= 255):
        values = (values - low) / (high - low) * 255.0 if high > low else np.zeros_like(values)
    return np.floor(values + 0.5).astype(np.uint8)
