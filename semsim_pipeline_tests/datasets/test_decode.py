"""Every format and mode that people have, and every way in which a file can be broken."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semsim_pipeline.datasets.decode import FORMATS, decode, header, scaled_down
from semsim_pipeline.errors import UnreadableImageError
from semsim_pipeline_tests.datasets.conftest import jpeg

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


@pytest.mark.parametrize("file_format", FORMATS)
def test_lossless_and_lossy_formats(file_format: str) -> None:
    pixels = np.full((20, 30, 3), (200, 100, 50), dtype=np.uint8)
    content = saved(Image.fromarray(pixels), file_format)
    assert np.abs(decode(content).astype(int) - pixels).max() <= 8  # JPEG and WebP lose a little
    assert (header(content).width, header(content).height, header(content).format) == (30, 20, file_format)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_palette_and_bits(mode: str) -> None:
    image = Image.fromarray(RAMP).convert(mode)
    expected = np.asarray(image.convert("L"))
    assert np.array_equal(decode(saved(image, "PNG")), np.repeat(expected[:, :, None], 3, axis=2))


def test_transparency_becomes_white() -> None:
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = (0, 128, 255)
    got = decode(saved(Image.fromarray(rgba), "PNG"))[0, :, 0]
    assert got.tolist() == [255, 127, 0]
    la = Image.new("LA", (2, 1))
    la.putpixel((1, 0), (0, 255))
    assert decode(saved(la, "PNG"))[0, :, 1].tolist() == [255, 0]


def test_palette_and_colour_key_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    got = decode(saved(image, "PNG", transparency=0))
    assert got[0].tolist() == [[255, 255, 255], [40, 50, 60]]
    assert decode(saved(image, "GIF", transparency=0))[0, 0].tolist() == [255, 255, 255]
    keyed = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert decode(saved(keyed, "PNG", transparency=(1, 2, 3)))[0].tolist() == [[255, 255, 255], [4, 5, 6]]


def without_adobe_marker(content: bytes) -> bytes:
    at = content.index(b"\xff\xee")
    size = struct.unpack(">H", content[at + 2 : at + 4])[0]
    assert content[at + 4 : at + 9] == b"Adobe"
    return content[:at] + content[at + 2 + size :]


def test_cmyk_with_and_without_adobe() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    adobe = saved(red, "JPEG", quality=95)
    assert np.abs(decode(adobe)[8, 8].astype(int) - (255, 0, 0)).max() <= 3
    # Stored inverted by Pillow as Adobe does; without the marker the same numbers mean the opposite ink.
    plain = without_adobe_marker(adobe)
    assert decode(plain)[8, 8].tolist() == [0, 0, 0]
    assert np.abs(decode(saved(red, "TIFF"))[8, 8].astype(int) - (255, 0, 0)).max() == 0


def test_sixteen_bits_round() -> None:
    deep = np.array([[0, 128, 129, 257, 32767, 65535]], dtype=np.uint16)
    expected = [0, 0, 1, 1, 127, 255]  # x/257 to the nearest: 128/257 = 0.498, 129/257 = 0.502, 32767/257 = 127.498
    for content in (saved(Image.fromarray(deep), "PNG"), saved(Image.fromarray(deep), "TIFF"), big_endian_tiff(deep)):
        assert decode(content)[0, :, 0].tolist() == expected
    assert decode(saved(Image.fromarray(deep.astype(np.int32)), "TIFF"))[0, :, 0].tolist() == expected


def big_endian_tiff(deep: np.ndarray) -> bytes:
    image = Image.frombytes("I;16B", (deep.shape[1], deep.shape[0]), deep.astype(">u2").tobytes())
    content = saved(image, "TIFF")
    assert Image.open(io.BytesIO(content)).mode == "I;16B"
    return content


def test_sixteen_bit_colour() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixel = struct.pack(">3H", 65535, 32768, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(b"\0" + pixel)) + chunk(b"IEND", b"")
    assert decode(content)[0, 0].tolist() == [255, 128, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.4, 255.0], [0, 100, 255]),
        ([-100.0, 0.0, 100.0], [0, 128, 255]),
        ([np.nan, 0.5, 1.0], [0, 128, 255]),
        ([500.0, 500.0, 500.0], [0, 0, 0]),
    ],
)
def test_float_tiff(values: list[float], expected: list[int]) -> None:
    content = saved(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    assert decode(content)[0, :, 0].tolist() == expected


def test_float_tiff_without_a_number() -> None:
    with pytest.raises(UnreadableImageError, match="no finite"):
        decode(saved(Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)), "TIFF"))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(file_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise when shown
    pixels = np.zeros((16, 32, 3), dtype=np.uint8)
    pixels[:8] = 255
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = saved(Image.fromarray(pixels), file_format, exif=exif, **options)
    got = decode(content)
    assert got.shape == (32, 16, 3)
    assert got[:, 12].min() > 200
    assert got[:, 3].max() < 50
    assert (header(content).width, header(content).height) == (16, 32)


def test_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for file_format in ("GIF", "TIFF", "WEBP", "PNG"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        content = saved(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
        assert decode(content)[0, 0].tolist() == [255, 0, 0]


def test_arrays() -> None:
    assert np.array_equal(decode(RAMP), np.repeat(RAMP[:, :, None], 3, axis=2))
    rgb = np.repeat(RAMP[:, :, None], 3, axis=2)
    assert np.array_equal(decode(rgb), rgb)
    assert (header(RAMP).width, header(RAMP).height, header(RAMP).format) == (8, 6, "array")
    for bad in (np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8), np.zeros((2, 2), np.float32)):
        with pytest.raises(UnreadableImageError):
            decode(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "LFS"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (bytes(100), "zero bytes"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"P6 2 2 255 abcdefghijkl", "not an image"),
    ],
)
def test_what_is_no_image(content: bytes, said: str) -> None:
    for read in (decode, header):
        with pytest.raises(UnreadableImageError, match=said) as caught:
            read(content)
        assert "\n" not in str(caught.value)
        assert "BytesIO" not in str(caught.value)


@pytest.mark.parametrize("file_format", FORMATS)
def test_truncated_is_refused(file_format: str) -> None:
    content = jpeg(1, (64, 64), file_format)
    for keep in (4, 20, len(content) // 2):
        with pytest.raises(UnreadableImageError):
            decode(content[:keep])


def bomb(width: int, height: int) -> bytes:
    """A PNG's header alone: nothing to decode, so a refusal can only come from the declared size."""
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + data
        + struct.pack(">I", zlib.crc32(data))
        + struct.pack(">I", 9)
        + b"IDAT"
    )


@pytest.mark.parametrize("side", [13_400, 60_000])
def test_bombs_are_refused_by_their_header(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as another library may have done: the cap is our own
    for read in (decode, header):
        with pytest.raises(UnreadableImageError, match="too large"):
            read(bomb(side, side))


def test_no_warning_whatever_the_filters() -> None:
    large = saved(Image.new("1", (10_000, 9_500)), "PNG")  # 95 Mpx: where Pillow warns of a bomb
    for action in ("error", "always"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)  # type: ignore[arg-type]
            assert header(large).width == 10_000
            assert decode(jpeg(1)).shape == (6, 8, 3)
        assert not caught


def photo(width: int, height: int) -> Image.Image:
    """Smooth shapes, as photos have them."""
    y, x = np.mgrid[:height, :width] / 64.0
    planes = [np.sin(x + k) * np.cos(y * (1 + k / 3)) * 100 + 128 for k in range(3)]
    return Image.fromarray(np.stack(planes, axis=2).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "least", "by"),
    [((640, 480), 120, 4), ((640, 480), 121, 2), ((640, 480), 240, 2), ((640, 480), 241, 1), ((960, 960), 60, 8)],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_large_jpeg_is_decoded_small(size: tuple[int, int], least: int, by: int, mode: str) -> None:
    content = saved(photo(*size).convert(mode), "JPEG", quality=95)
    whole, small = decode(content), decode(content, least_side=least)
    assert small.shape == (size[1] // by, size[0] // by, 3)
    assert min(small.shape[:2]) >= least
    assert scaled_down(content, least) == by
    averaged = whole.reshape(size[1] // by, by, size[0] // by, by, 3).mean(axis=(1, 3))
    assert np.abs(small - averaged).mean() < 1
    assert np.array_equal(whole, decode(content, least_side=10_000))


def test_what_is_never_decoded_small() -> None:
    for content in (
        saved(photo(640, 480), "PNG"),
        saved(photo(640, 480).convert("CMYK"), "JPEG"),
        np.asarray(photo(640, 480)),
    ):
        assert scaled_down(content, 60) == 1
        assert np.array_equal(decode(content, least_side=60), decode(content))


def test_small_and_turned_by_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(photo(640, 320), "JPEG", quality=95, exif=exif)
    small = decode(content, least_side=80)
    assert small.shape == (160, 80, 3)
    assert np.abs(small - decode(content).reshape(160, 4, 80, 4, 3).mean(axis=(1, 3))).mean() < 1


def test_a_cut_jpeg_is_refused_at_any_size() -> None:
    content = saved(photo(640, 480), "JPEG", quality=95)
    with pytest.raises(UnreadableImageError):
        decode(content[: len(content) // 2], least_side=60)


def test_threads_agree() -> None:
    contents = [jpeg(i, (40, 40)) for i in range(8)]
    alone = [decode(c).tobytes() for c in contents]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            wrong.extend(i for i, c in enumerate(contents) if decode(c).tobytes() != alone[i])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(0, 200),
)
def test_damage_is_an_image_or_a_reason(file_format: str, edits: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(jpeg(3, (16, 16), file_format))
    for at, value in edits:
        content[at % len(content)] = value
    try:
        rgb = decode(bytes(content[: len(content) - cut] if cut else content))
    except UnreadableImageError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert rgb.dtype == np.uint8
        assert rgb.shape[2] == 3


@pytest.mark.parametrize("where", ["PIL.Image.open", "PIL.ImageFile.ImageFile.load", "PIL.Image.Image.getexif"])
def test_too_little_memory_is_no_fault_of_the_image(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(Image.new("RGB", (8, 6)), "JPEG", exif=exif)

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(where, full)
    with pytest.raises(MemoryError):
        decode(content)
    if not where.endswith("load"):
        with pytest.raises(MemoryError):
            header(content)
