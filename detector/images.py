"""Bytes from outside to pixels: JPEG, PNG and WebP, nothing else.

Pixels are those stored in the file. An EXIF orientation is not applied: a circle's coordinates
then mean the same to every reader of the file, whether or not it knows of EXIF.
"""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from detector.errors import InvalidImage
from detector.jpeg import without_picture

MAX_PIXELS = 25_000_000

CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with a second picture behind it, as many phones write it
    "PNG": "image/png",
    "WEBP": "image/webp",
}

SIGNATURES = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"<svg": "SVG",
}
"""First bytes of formats that people send and we do not read, to say so by name."""

DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
"""What Pillow's readers raise on broken files."""


class Inspected(NamedTuple):
    """A file's content type and its size in pixels."""

    content_type: str
    width: int
    height: int


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8 RGB, of an animation the first picture; transparency ignored.

    Raises InvalidImage. The size is checked in the header, before any pixel is decoded: a PNG of
    10 KB can unpack to hundreds of megabytes.
    """
    with open_checked(data, max_pixels) as image:
        return pixels(image)


def inspect(data: bytes, max_pixels: int = MAX_PIXELS, *, decode: bool = False) -> Inspected:
    """What a file is, from its header. With `decode` a truncated or damaged one is refused too.

    Raises InvalidImage.
    """
    if decode and (found := inspect_segments(data, max_pixels)):
        return found
    with open_checked(data, max_pixels) as image:
        if decode:
            # An eighth of a JPEG's resolution: all of the file is read for a fraction of the work.
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            load(image)
        return inspected(image)


def inspect_segments(data: bytes, max_pixels: int = MAX_PIXELS) -> Inspected | None:
    """What a JPEG is where its segments tell that it can be decoded; in a fraction of the time that takes.

    None where only decoding tells. Raises InvalidImage.
    """
    left = without_picture(data)
    if left is None:
        return None
    with open_checked(data, max_pixels) as image, open_checked(left, max_pixels) as pixel:
        load(pixel)
        return inspected(image)


def inspected(image: Image.Image) -> Inspected:
    return Inspected(CONTENT_TYPES[str(image.format)], image.width, image.height)


def open_checked(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise InvalidImage("empty: no bytes were sent")
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"])
    except UnidentifiedImageError:
        raise InvalidImage(f"{name_format(data)}; send JPEG, PNG or WebP") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidImage(f"too many pixels, at most {max_pixels}: {error}") from None
    except DAMAGED as error:
        raise InvalidImage(f"damaged: {error}") from error
    if image.width * image.height > max_pixels:
        raise InvalidImage(
            f"too many pixels: {image.width} x {image.height} = {image.width * image.height},"
            f" at most {max_pixels}"
        )
    return image


def name_format(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "HEIC or AVIF"
    names = (name for start, name in SIGNATURES.items() if data.startswith(start))
    return next(names, "not an image")


def load(image: Image.Image) -> None:
    try:
        image.load()
    except DAMAGED as error:
        raise InvalidImage(f"truncated or damaged: {error}") from error


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    load(image)
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to white
        grey = (np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))
