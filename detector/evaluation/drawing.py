"""Circles drawn over a photograph, told apart by colour and by kind of line, with a legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from detector.circles import Circles, FloatArray

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""

SUBPIXEL_BITS = 4
SAMPLE = 46
INK, PAPER = (235, 235, 235), (24, 24, 24)


@dataclass(frozen=True, slots=True)
class Line:
    """How a kind of circle is drawn. Dash and gap are in widths of the line, gap 0 for none.

    The colours are three of Okabe and Ito's, which every kind of colour vision tells apart.
    """

    name: str
    colour: tuple[int, int, int]
    dash: float = 1
    gap: float = 0


RIGHT = Line("right", (86, 180, 233))
MISSED = Line("missed", (240, 228, 66), dash=5, gap=4)
FALSE = Line("false", (213, 94, 0), dash=1, gap=3)
LINES = (RIGHT, MISSED, FALSE)


def draw(image: Picture, kinds: Mapping[Line, Circles], long_side: int) -> Picture:
    """The image with its long side of that many pixels, and all circles over it."""
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    quality = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(image, size, interpolation=quality).astype(np.uint8)
    thickness = max(2, round(long_side / 400))
    for line, circles in kinds.items():
        for circle in circles:
            stroke(canvas, outline(circle) * scale, line, thickness)
    return canvas


def outline(circle: np.void) -> FloatArray:
    """(n, 2): points of a circle's ellipse, closed."""
    turn = np.linspace(0, 2 * np.pi, 181)
    along, across = float(circle["major"]) * np.cos(turn), float(circle["minor"]) * np.sin(turn)
    cos, sin = np.cos(float(circle["angle"])), np.sin(float(circle["angle"]))
    x, y = along * cos - across * sin, along * sin + across * cos
    return np.column_stack([float(circle["x"]) + x, float(circle["y"]) + y])


def stroke(canvas: Picture, points: FloatArray, line: Line, thickness: int) -> None:
    """Draw a line, (n, 2) points in pixels, over a dark one that sets it off from any background."""
    pieces = [
        np.round((piece - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
        for piece in dashes(points, line.dash * thickness, line.gap * thickness)
    ]
    for colour, width in ((PAPER, thickness + 2), (line.colour, thickness)):
        cv2.polylines(canvas, pieces, False, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)


def dashes(points: FloatArray, dash: float, gap: float) -> list[FloatArray]:
    """The pieces of a line that are drawn: all of it, or as many equal dashes as fit on it."""
    if gap == 0:
        return [points]
    walked = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    count = max(1, round(walked[-1] / (dash + gap)))
    starts = np.arange(count) * walked[-1] / count
    at = starts[:, None] + np.linspace(0, dash, 5)
    return [np.column_stack([np.interp(piece, walked, points[:, axis]) for axis in (0, 1)]) for piece in at]


def legend(width: int, title: str, counts: Mapping[Line, int]) -> Picture:
    """A strip of this width: each kind of line with its name and how many there are, then a title."""
    font = ImageFont.load_default(15)
    strip = Image.new("RGB", (width, 50), PAPER)
    pen = ImageDraw.Draw(strip)
    x, samples = 10, []
    for line, count in counts.items():
        samples.append((x, line))
        text = f"{line.name} {count}"
        pen.text((x + SAMPLE + 8, 5), text, INK, font)
        x += SAMPLE + 8 + round(pen.textlength(text, font)) + 18
    pen.text((10, 27), shortened(pen, title, width - 20, font), INK, font)
    canvas = np.array(strip)
    for x, line in samples:
        stroke(canvas, np.array([[x, 14.0], [x + SAMPLE, 14.0]]), line, 2)
    return canvas


def shortened(
    pen: ImageDraw.ImageDraw, text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """The text, or as much of its end as fits: file names differ at their ends."""
    kept = text
    while kept and pen.textlength("…" + kept, font) > width:
        kept = kept[1:]
    return text if kept == text else "…" + kept
