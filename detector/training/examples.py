"""Candidates whose truth is known, of rendered scenes and of annotated photographs."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.circles import FloatArray, make
from detector.evaluation.dataset import AnnotatedImage
from detector.evaluation.overlap import box_iou, boxes
from detector.images import decode
from detector.scenes import HardScene, render_hard, render_thin
from detector.v2.edges import packed, smooth
from detector.v2.fine import Fine, refined
from detector.v2.model import LONG_SIDE, SEARCH_SIDE, scaled
from detector.v2.propose import Candidates, propose, reduced

SIZES = ((640, 480), (640, 480), (480, 640), (640, 360), (640, 640), (360, 640), (560, 420))

THIN = 9
"""One of so many scenes is of thin things."""

DOUBTFUL = 0.4
"""IoU with a doubtful disc from which a candidate is neither right nor wrong."""

VARIANTS = (0, 1, 2, 3)
"""Of a photograph: as it is, mirrored, upside down, turned; the last two smaller too."""

SEARCHED_AT = (SEARCH_SIDE, SEARCH_SIDE, 290, 260)


class Example(NamedTuple):
    """One picture's candidates, all of them refined too.

    iou: (n,) with the best of the truth; fine_iou: the same, refined; doubtful: (n,).
    """

    candidates: Candidates
    fine: Fine
    iou: FloatArray
    fine_iou: FloatArray
    doubtful: NDArray[np.bool_]


def rendered(number: int, first: int = 0) -> HardScene:
    """The scene of this number, of those whose seeds begin at `first`."""
    render = render_thin if number % THIN == THIN // 2 else render_hard
    return render(first + number, *SIZES[number % len(SIZES)])


def of_scene(number: int) -> Example:
    """The candidates of a rendered scene."""
    cv2.setNumThreads(1)
    scene = rendered(number)
    return label(scene.image, boxes(scene.circles), boxes(scene.doubtful), SEARCH_SIDE)


def of_photograph(annotated: AnnotatedImage, variant: int) -> Example:
    """The candidates of a photograph, or of a variant of it."""
    cv2.setNumThreads(1)
    image = decode(annotated.path.read_bytes())
    middle = reduced(image, LONG_SIDE)
    height, width = middle.shape[:2]
    truth = boxes(annotated.truth) * (width / image.shape[1])
    if variant == 1:
        middle = middle[:, ::-1]
        truth = np.column_stack([width - truth[:, 2], truth[:, 1], width - truth[:, 0], truth[:, 3]])
    elif variant == 2:
        middle = middle[::-1]
        truth = np.column_stack([truth[:, 0], height - truth[:, 3], truth[:, 2], height - truth[:, 1]])
    elif variant == 3:
        middle = np.rot90(middle)
        truth = np.column_stack([truth[:, 1], width - truth[:, 2], truth[:, 3], width - truth[:, 0]])
    return label(np.ascontiguousarray(middle), truth, np.empty((0, 4)), SEARCHED_AT[variant])


def label(image: NDArray[np.uint8], truth: FloatArray, doubtful: FloatArray, side: int) -> Example:
    """Propose in an image, (H, W, 3), and compare with boxes of the truth, rows of corners."""
    middle = reduced(image, LONG_SIDE)
    small = reduced(middle, side)
    candidates = propose(small)
    ellipses = scaled(candidates.ellipses, small, middle)
    fine = refined(packed(smooth(middle)), ellipses)
    found, better = (boxes_of(in_image(rows, middle, image), image) for rows in (ellipses, fine.ellipses))
    return Example(
        candidates, fine, best(found, truth), best(better, truth), best(found, doubtful) > DOUBTFUL
    )


def in_image(ellipses: FloatArray, middle: NDArray[np.uint8], image: NDArray[np.uint8]) -> FloatArray:
    """As `find_all` gives them: pixel centres of the image lie at halves."""
    moved = scaled(ellipses, middle, image).astype(float)
    moved[:, :2] += 0.5
    return moved


def boxes_of(ellipses: FloatArray, image: NDArray[np.uint8]) -> FloatArray:
    """Boxes (n, 4) of ellipses in their order, whatever lies outside the image, (H, W, 3), cut off."""
    height, width = image.shape[:2]
    numbered = make(ellipses, np.linspace(1, 0, len(ellipses)), (width, height))
    assert len(numbered) == len(ellipses), "a candidate without a box"
    return boxes(numbered)


def best(found: FloatArray, truth: FloatArray) -> FloatArray:
    """IoU of each box found, (n, 4), with the best of the true ones, (m, 4): (n,)."""
    return np.asarray(box_iou(found, truth).max(axis=1, initial=0))
