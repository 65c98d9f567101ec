"""Draws docs/circles.jpg: what the newest model finds in a photograph that comes with scikit-image.

It has no known copyright restrictions (Brooklyn Museum).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import coins

from detector import detect
from detector.evaluation.drawing import RIGHT, Line, draw

LONG_SIDE = 760


def main() -> None:
    grey: NDArray[np.uint8] = np.asarray(coins())
    drawn = draw(
        np.repeat(grey[..., None], 3, axis=2), {Line("found", RIGHT.colour): detect(grey)}, LONG_SIDE
    )
    Image.fromarray(drawn).save(Path(__file__).with_name("circles.jpg"), quality=88)


if __name__ == "__main__":
    main()
