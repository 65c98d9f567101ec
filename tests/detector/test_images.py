"""What is read, what is refused, and that each refusal says why."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detector.errors import InvalidImage
from detector.images import Inspected, decode, inspect


def encoded(file_format: str, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, file_format)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT", b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_reads(file_format: str) -> None:
    data = encoded(file_format)
    image = decode(data)
    assert image.shape == (30, 40, 3)
    assert image.dtype == np.uint8
    assert inspect(data, decode=True) == Inspected(f"image/{file_format.lower()}", 40, 30)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert decode(encoded("PNG", mode=mode)).shape == (30, 40, 3)


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(file, "PNG")
    assert decode(file.getvalue())[0, :, 0].tolist() == [0, 128, 255]


def test_pixels_are_those_stored_whatever_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG", exif=exif)
    assert decode(file.getvalue()).shape == (30, 40, 3)
    assert inspect(file.getvalue())[1:] == (40, 30)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not an image; send JPEG, PNG or WebP"),
        (encoded("GIF"), "GIF; send JPEG, PNG or WebP"),
        (encoded("BMP"), "BMP; send"),
        (encoded("TIFF"), "TIFF; send"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC or AVIF; send"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript; send"),
        (png_header(6000, 5000), r"too many pixels: 6000 x 5000 = 30000000, at most 25000000"),
        (png_header(60_000, 50_000), "too many pixels, at most 25000000"),
        (encoded("JPEG")[:20], "damaged|not an image"),
    ],
)
def test_refuses_by_the_header(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidImage, match=reason):
        inspect(data)
    with pytest.raises(InvalidImage, match=reason):
        decode(data)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_refused_once_decoded(file_format: str) -> None:
    data = encoded(file_format, (200, 200))
    data = data[: len(data) // 2]
    with pytest.raises(InvalidImage, match=r"truncated|damaged"):
        decode(data)
    with pytest.raises(InvalidImage, match=r"truncated|damaged"):
        inspect(data, decode=True)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 48), (7, 9), (64, 3)])
def test_an_image_of_few_pixels_is_one(file_format: str, width: int, height: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, file_format)
    assert inspect(buffer.getvalue(), decode=True)[1:] == (width, height)


def test_the_limit_can_be_set() -> None:
    assert decode(encoded("PNG"), max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(InvalidImage, match="at most 1199"):
        decode(encoded("PNG"), max_pixels=1199)


@given(st.data())
def test_damage_anywhere_leaves_an_image_or_invalid_image(draw: st.DataObject) -> None:
    data = bytearray(encoded(draw.draw(st.sampled_from(["JPEG", "PNG", "WEBP"]))))
    for _ in range(draw.draw(st.integers(1, 8))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with suppress(InvalidImage):
        assert decode(bytes(data)).ndim == 3
