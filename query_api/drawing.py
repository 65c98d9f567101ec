"""Pictures made smaller, and their circles drawn over them: bytes in, bytes out, nothing else."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from detector.images import open_checked, pixels
from query_api.view.newest import Circle

FORMATS = {"image/webp": "WEBP", "image/jpeg": "JPEG"}
QUALITY = 85
DARK, BRIGHT = (0, 0, 0), (86, 180, 233)
"""A bright line on a dark one is seen on any ground, by every kind of colour vision."""
SMOOTH = 3
"""Drawn so many times larger, as Pillow's lines have steps."""
MOST_PIXELS_SMOOTH = 1_500_000
MOST_PIXELS_A_SIDE = {"image/webp": 16_383, "image/jpeg": 65_500}
"""What the formats, or Pillow's encoders, can have."""


def draw(
    data: bytes, max_pixels: int, longest_side: int | None, circles: Sequence[Circle], media_type: str
) -> bytes:
    """The picture as JPEG or WebP, its longest side at most so many pixels, its circles drawn.

    Pixels are as they are stored, as detectors see them: an EXIF orientation is not applied, so that the
    coordinates of circles hold, times the change of size. What the format cannot have is made smaller. Raises
    InvalidImage.
    """
    with open_checked(data, max_pixels) as opened:
        width, height = opened.size
        longest_side = min(longest_side or max(width, height), MOST_PIXELS_A_SIDE[media_type])
        scale = min(1.0, longest_side / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        opened.draft("RGB", (2 * size[0], 2 * size[1]))  # of a large JPEG a part of the work
        picture = Image.fromarray(pixels(opened))
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if circles:
        _stroke(picture, circles, size[0] / width, size[1] / height)
    written = io.BytesIO()
    picture.save(written, FORMATS[media_type], quality=QUALITY)
    return written.getvalue()


def _stroke(picture: Image.Image, circles: Sequence[Circle], across: float, down: float) -> None:
    width, height = picture.size
    finer = SMOOTH if width * height <= MOST_PIXELS_SMOOTH else 1
    line = max(2.0, max(width, height) / 300)
    for extra, colour in ((line, DARK), (0, BRIGHT)):
        mask = Image.new("L", (width * finer, height * finer))
        brush = ImageDraw.Draw(mask)
        thick = max(1, round((line + extra) * finer))
        for circle in circles:
            # The line's middle is the circle's edge; of a pixel, the centre is at a whole coordinate.
            x, y = (circle.x + 0.5) * across * finer - 0.5, (circle.y + 0.5) * down * finer - 0.5
            a, b = circle.radius * across * finer + thick / 2, circle.radius * down * finer + thick / 2
            brush.ellipse((x - a, y - b, x + a, y + b), outline=255, width=thick)
        if finer > 1:
            mask = mask.resize(picture.size, Image.Resampling.BOX)
        picture.paste(colour, (0, 0), mask)
