"""Scenes of thin things, as under a microscope: each darkens what lies below it, and hides nothing."""

from __future__ import annotations

import cv2
import numpy as np

from detector.circles import make
from detector.scenes import discs, tables
from detector.scenes.hard import MIN_SIDE, HardScene, drawn_for, ground, photograph, place
from detector.scenes.tables import Canvas


def render_thin(seed: int, width: int = 640, height: int = 480) -> HardScene:
    """The scene of this seed: the same pixels and circles each time. Sides in pixels, >= 64."""
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"a scene is at least {MIN_SIDE} x {MIN_SIDE} pixels, not {width} x {height}")
    random = np.random.default_rng([seed, 11])
    canvas = ground(random, width, height)
    canvas = canvas * 0.08 + tables.colour(random, 150, 240).astype(np.float32)
    placed = place(random, width, height, smear=True)
    kind = discs.smeared(random)
    for disc in placed:
        patch, warp = drawn_for(random, disc, kind)
        passed = light_through(patch)
        canvas *= cv2.warpAffine(passed, warp, (width, height), flags=cv2.INTER_LINEAR, borderValue=(1, 1, 1))
    canvas = tables.light(random, canvas)
    rows = np.array(placed, float).reshape(-1, 5)
    found = make(rows, np.ones(len(rows)), (width, height))
    return HardScene(photograph(random, canvas), found, found[:0])


def light_through(patch: Canvas) -> Canvas:
    """The part of the light, (S, S, 3), that a coloured thing with its coverage, (S, S, 4), lets pass."""
    passed = 1 - patch[..., 3:] * (1 - np.clip(patch[..., :3] / 255, 0, 1))
    return np.asarray(passed, np.float32)
