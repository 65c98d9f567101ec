"""Pictures made smaller, with circles where the detector saw them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from detector.errors import InvalidImage
from detector.images import decode
from query_api.drawing import BRIGHT, FORMATS, draw
from query_api.view.newest import Circle

GREY = 128


def file(width: int, height: int, kind: str = "PNG", orientation: int = 1, mode: str = "RGB") -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    written = io.BytesIO()
    Image.new(mode, (width, height), (GREY,) * 3 if mode == "RGB" else GREY).save(written, kind, exif=exif)
    return written.getvalue()


def circle(x: float, y: float, radius: float) -> Circle:
    return Circle(b"0" * 16, x, y, radius, 0.9, x - radius, y - radius, x + radius, y + radius)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("media_type", FORMATS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_line_is_where_the_circle_is_in_the_stored_pixels(
    kind: str, media_type: str, orientation: int
) -> None:
    data = file(600, 400, kind, orientation)
    for size, scale in ((None, 1.0), (300, 0.5)):
        drawn = decode(draw(data, 10**7, size, [circle(400, 150, 100)], media_type)).astype(int)
        assert drawn.shape == (round(400 * scale), round(600 * scale), 3)
        changed = np.argwhere(np.abs(drawn - GREY).max(axis=2) > 60)
        away = np.hypot(changed[:, 1] - 400 * scale, changed[:, 0] - 150 * scale)
        assert len(changed) > 500 * scale
        assert away.min() > 94 * scale - 3 and away.max() < 106 * scale + 3
        assert abs(np.median(away) - 100 * scale) < 1
        top, x = round(50 * scale), round(400 * scale)
        assert np.abs(drawn[top - 2 : top + 3, x] - BRIGHT).max(axis=1).min() < 60


def test_without_circles_it_is_the_picture_smaller_and_never_larger() -> None:
    drawn = decode(draw(file(600, 400), 10**7, 64, (), "image/jpeg"))
    assert drawn.shape == (43, 64, 3)
    assert np.abs(drawn.astype(int) - GREY).max() <= 3
    assert decode(draw(file(20, 400, mode="L"), 10**7, 1024, (), "image/webp")).shape == (400, 20, 3)
    assert decode(draw(file(1, 4000), 10**7, 32, (), "image/webp")).shape == (32, 1, 3)


@pytest.mark.parametrize(
    ("side", "kind", "drawn"),
    [(17_000, "image/webp", 16_383), (17_000, "image/jpeg", 17_000), (66_000, "image/jpeg", 65_500)],
)
def test_what_a_format_cannot_have_is_made_smaller(side: int, kind: str, drawn: int) -> None:
    for size in (None, side):
        assert decode(draw(file(side, 20), 10**7, size, (circle(90, 9, 5),), kind)).shape[1] == drawn


def test_16_bit_grey_keeps_its_shades() -> None:
    written = io.BytesIO()
    Image.fromarray(np.full((40, 40), GREY * 256, np.uint16)).save(written, "PNG")
    drawn = decode(draw(written.getvalue(), 10**7, 32, (), "image/jpeg"))
    assert np.abs(drawn.astype(int) - GREY).max() <= 3


@pytest.mark.parametrize("data", [b"", b"GIF89a", file(600, 400)[:-400]])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        draw(data, 10**7, 64, (), "image/jpeg")


def test_the_size_is_looked_at_before_pixels_are_decoded() -> None:
    with pytest.raises(InvalidImage, match="too many pixels"):
        draw(file(600, 400), 600 * 399, 64, (), "image/jpeg")
