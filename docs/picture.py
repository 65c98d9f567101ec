"""Draws docs/circles.jpg: what the newest model finds in two photographs that come with scikit-image.

The coins have no known copyright restrictions (Brooklyn Museum); the coffee is CC0 (Rachel Michetti).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import coffee, coins

from detector import detect
from detector.evaluation.drawing import RIGHT, Line, draw

HEIGHT = 480


def main() -> None:
    panels = [panel(np.asarray(photograph)) for photograph in (coins(), coffee())]
    Image.fromarray(np.hstack(panels)).save(Path(__file__).with_name("circles.jpg"), quality=88)


def panel(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photograph with its circles, HEIGHT pixels high."""
    colours = photograph if photograph.ndim == 3 else np.repeat(photograph[..., None], 3, axis=2)
    height, width = colours.shape[:2]
    circles = {Line("found", RIGHT.colour): detect(photograph)}
    return draw(colours, circles, round(HEIGHT * max(1.0, width / height)))


if __name__ == "__main__":
    main()
